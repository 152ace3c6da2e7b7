//! Taking connections and requests, within limits of number, time and size.
//!
//! Each worker thread runs [`worker::Worker::run`] with a runtime of its own. What a request means is not
//! known here: it is handed on with the [`peer::Peer`] it came from.

mod accept_faults;
pub mod capacity;
pub mod connection;
pub mod drain;
pub mod entrance;
pub mod flood;
mod followed;
mod gathered;
mod http1;
mod http2;
pub mod listen;
pub mod open_files;
pub mod peer;
pub mod proxy_protocol;
pub mod raw_head;
pub mod stream;
pub mod worker;
