//! A client of HTTP/2 (RFC 9113), for `codescan.http2`: many exchanges share a connection.
//!
//! Over the `h2` crate itself, not hyper's client above it: that one takes a body which `CodeScan`
//! breaks off with `NO_ERROR` for a whole one, keeps a stalled upload when its client has left,
//! and needs tasks for each request. Here an exchange has none, as in [`super::h1`]; only a
//! connection has.
//!
//! [`connection`] is a connection with its bounds, and who may use it; [`connections`] are those
//! of one worker; [`exchange`] is one request and its answer, [`request`] makes its head and
//! [`upload`] sends its body; [`error`] is what may end it.

pub mod connection;
pub mod connections;
pub mod error;
pub mod exchange;
pub mod request;
mod upload;
