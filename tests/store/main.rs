//! The client of the shared store against real servers: alone, over TLS, as a cluster, behind a
//! Sentinel.
//!
//! `server` is one process, `stage` a whole store of one kind, `suite` what must hold for every
//! kind; each other module tells of one subject. Each test starts servers of its own on loopback
//! and ends them.
//!
//! Without `redis-server` each test says so and is skipped; with `REDIS_REQUIRED=1` it fails.

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
mod server;
mod stage;

mod outages;
mod races;
mod secrecy;
mod sign_in;
mod suite;
