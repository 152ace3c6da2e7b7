//! Backends that misbehave: they break off, never answer, or answer too early.

use crate::answer::{self, Answer, HangUp};
use crate::form::Form;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{StatusCode, Uri};
use std::io;

/// The answer of a path that does not read its request; `None` for all others.
pub(super) async fn before_reading(path: &str, uri: &Uri) -> Option<Answer> {
    match path {
        "/hang" => std::future::pending().await,
        "/early" => Some(Ok(early(uri))),
        "/die" => Some(Ok(breaks_off())),
        "/die-at-once" => Some(Err(HangUp)),
        _ => None,
    }
}

/// `/early?status=413`: the upload is never read.
fn early(uri: &Uri) -> http::Response<answer::Body> {
    let status = u16::try_from(Form::of_query(uri).number("status", 413)).unwrap_or_default();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::PAYLOAD_TOO_LARGE);
    answer::text(status, "I have heard enough.\n")
}

/// Announces 1000 bytes and closes the connection after ten.
fn breaks_off() -> http::Response<answer::Body> {
    let mut response = answer::written("text/plain", |mut sender| async move {
        // The reader may be gone first; then there is nothing left to break.
        let _ = sender.send_data(Bytes::from_static(b"ten bytes.")).await;
        sender.abort(io::Error::other("broken off, as the path says"));
    });
    answer::set(&mut response, CONTENT_LENGTH, "1000");
    response
}
