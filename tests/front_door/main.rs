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
mod bitbucket_faults;
mod callback;
mod callback_shared;
mod capacity;
mod commands;
mod cookies;
mod cross_site;
mod destinations;
mod draining;
mod errors;
mod every_way;
mod expect_continue;
mod fields;
mod forwarded;
mod forwarding;
mod header_map;
mod hostile;
mod http2;
mod http2_floods;
mod limits;
mod listening;
mod logging;
mod login;
mod login_cookies;
mod login_settings;
mod logout;
mod loops;
mod main_job;
mod negotiation;
mod odd_answers;
mod open_redirect;
mod outages;
mod parking;
mod people;
mod pooling;
mod proxy_protocol;
mod refresh;
mod reloading;
mod replicas;
mod rfc9112;
mod rfc9113;
mod rolling_restart;
mod session_limits;
mod sessions;
mod slow;
mod slow_clients;
mod smuggling;
mod streaming;
mod tls;
mod trailers;
mod upgrade;
mod upstream_http2;
mod upstream_http2_streams;
mod upstream_limit;
mod via;
mod websocket;
mod websocket_http2;
mod without_session;
