//! A reverse-proxy sidecar that signs people in to `CodeScan` through Bitbucket Data Center.

pub mod commands;
pub mod config;
pub mod secret;
