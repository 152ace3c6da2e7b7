//! What the binary can be asked to do, a module each.

pub mod healthcheck;
