//! What the program can be told to do, a module each.

pub mod check;
pub mod cli;
pub mod healthcheck;
mod reload;
pub mod serve;
mod trim;
mod watch;
