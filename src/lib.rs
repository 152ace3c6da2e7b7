//! A reverse-proxy sidecar that signs people in to `CodeScan` through Bitbucket Data Center.

pub mod access;
pub mod admin;
pub mod bitbucket;
pub mod commands;
pub mod config;
pub mod error;
pub mod forward;
pub mod gateway;
pub mod login;
pub mod pages;
pub mod seal;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod tls;
