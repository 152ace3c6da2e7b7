//! The real binary over real sockets, between a Bitbucket simulator and a small upstream.
//!
//! `harness` sets the stage; each other module tells of one subject.

#![allow(
    clippy::format_collect,
    clippy::float_cmp,
    reason = "what a test writes is short; and what it counts are whole numbers"
)]

#[allow(dead_code, reason = "the harness is shared, and this is one of its users")]
mod harness;

mod access;
mod admin;
mod commands;
mod cookies;
mod cross_site;
mod draining;
mod fields;
mod forwarded;
mod forwarding;
mod header_map;
mod limits;
mod listening;
mod logging;
mod main_job;
mod negotiation;
mod outages;
mod pooling;
mod reloading;
mod streaming;
mod upgrade;
