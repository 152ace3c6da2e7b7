//! A reverse-proxy sidecar that signs people in to `CodeScan` through Bitbucket Data Center.
//!
//! # The map
//!
//! To follow a request, begin at [`gateway::Gateway::handle`], which walks its whole way; to see
//! how the rooms are joined, at [`commands::serve::run`]. `docs/architecture.md` says what each
//! room does not know, and why the house is as it is.
//!
//! **The way of a request**
//!
//! - [`server`] takes connections, within limits of number, time and size.
//! - [`gateway`] walks each request from its head to the head of its answer: it names the address
//!   ([`gateway::route`]), asks for the session and the decision, and picks a redirect, a page or
//!   JSON for those who are refused ([`gateway::negotiate`]).
//! - [`access::decide`] is the one decision about who passes, a pure function.
//! - [`forward`] sends what passes to `CodeScan` and streams both ways; [`forward::fields`] is
//!   what is removed, cut and set.
//!
//! **Signing in**
//!
//! - [`login`] has the proxy's own addresses: [`login::start`] sends a person to Bitbucket,
//!   [`login::callback`] takes them back, [`login::exchange`] turns the code into a session,
//!   [`login::logout`] ends it. An attempt is kept by the browser alone ([`login::attempt`]).
//! - [`bitbucket`] is the client of Bitbucket: tokens, and whose they are.
//! - [`session`] is the life of a session, its cookie and the fields made of its tokens.
//! - [`store`] is the client of the Redis or Valkey that replicas share; it knows no sessions.
//! - [`error`] says in each situation what went wrong and what to do; [`pages`] draws it.
//!
//! **Around it**
//!
//! - [`commands`] is what the program can be told to do; [`commands::serve`] builds and joins all.
//! - [`config`] reads settings through one table of keys ([`config::keys::KEYS`]).
//! - [`admin`] shows health and metrics; [`telemetry`] gathers them, and writes the log.
//! - [`seal`] seals and derives, [`tls`] makes TLS configurations, [`secret`] is a value that is
//!   not shown, [`digits`] writes numbers.
//!
//! # The arrows
//!
//! ```text
//! main > commands > gateway > login > session > bitbucket, store
//!                   gateway, login > access, pages > error      commands > all
//!                   gateway > forward, server (the peer only)
//!                   gateway > bitbucket, tls (a snapshot made ready for use)
//!                   store > seal, tls
//! config (types), seal, tls, secret, digits, telemetry: used by many, they use no room above them
//! ```
//!
//! `tests/house/arrows.rs` reads every `crate::` path against the whole list.
//!
//! # Threads
//!
//! A worker is an OS thread with a runtime of its own, and nothing on it blocks. Everything slow
//! (Bitbucket, files, the admin listener) runs on one ordinary runtime, "control", and goes on
//! when the browser that waited for it has left.

pub mod access;
pub mod admin;
pub mod bitbucket;
pub mod commands;
pub mod config;
pub mod digits;
pub mod error;
pub mod forward;
pub mod gateway;
pub mod login;
pub mod pages;
pub mod seal;
pub mod secret;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod tls;
