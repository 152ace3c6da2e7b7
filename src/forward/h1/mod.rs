//! An HTTP/1.1 client for one thing: carrying a request to `CodeScan` and its answer back.
//!
//! Why not hyper's: towards an upstream that we know, the request head can be written straight
//! from the fields that came, the exchange needs no task of its own, and an idle connection holds
//! nothing but its socket. What strangers send is still read by hyper's parser; what `CodeScan`
//! answers is read by `httparse` and framed by the rules of RFC 9112 §6.3, strictly: what could
//! be read in two ways is an error, and its connection is closed.
//!
//! [`exchange`] is one request and its answer; [`upload`] sends the client's body, [`outbox`]
//! holds what is still to be written; [`head`], [`framing`] and [`chunked`] read the answer.

pub mod chunked;
pub mod connection;
pub mod exchange;
pub mod framing;
pub mod head;
mod outbox;
mod upload;
