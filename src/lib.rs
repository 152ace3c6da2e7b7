//! A reverse-proxy sidecar that signs people in to `CodeScan` through Bitbucket Data Center.

pub mod admin;
pub mod commands;
pub mod config;
pub mod error;
pub mod pages;
pub mod secret;
pub mod telemetry;
