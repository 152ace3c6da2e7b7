//! Answers that come in pieces.

use super::state::State;
use crate::answer::{self, Body};
use crate::form::Form;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderName, TRAILER};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use std::sync::Arc;
use std::time::Duration;

/// The bytes of `/bytes/{n}` repeat with this period, which no power of two divides.
const PERIOD: u8 = 251;

/// `/api/push/sonarlint_events`: one event at once, then one a second and one for each that a
/// test pushes.
pub(super) fn events(state: &Arc<State>) -> Response<Body> {
    let mut pushed = state.events.subscribe();
    let open = state.event_streams.enter();
    let mut response = answer::written("text/event-stream", |mut sender| async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        let mut number = 0_u64;
        loop {
            let event = tokio::select! {
                _ = seconds.tick() => {
                    number += 1;
                    format!("event: tick\ndata: {{\"number\":{number}}}\n\n")
                }
                // One that lags has lost events; the stream goes on with the next.
                data = pushed.recv() => match data {
                    Ok(data) => format!("event: pushed\ndata: {data}\n\n"),
                    Err(_) => continue,
                },
            };
            if sender.send_data(event.into()).await.is_err() {
                return;
            }
        }
    });
    answer::set(&mut response, CACHE_CONTROL, "no-cache, no-transform");
    response.map(|body| answer::guarded(body, open))
}

/// `/bytes/{n}`: byte `i` is `i % 251`. With `?chunked` the length is not told.
pub(super) fn bytes(count: &str, uri: &Uri) -> Response<Body> {
    let Ok(count) = count.parse::<usize>() else {
        return answer::empty(StatusCode::BAD_REQUEST);
    };
    let mut response = answer::written("application/octet-stream", move |mut sender| async move {
        // A piece starts where the last one ended, which is a multiple of the period.
        let piece: Vec<u8> = (0..PERIOD).cycle().take(64 * usize::from(PERIOD)).collect();
        let piece = Bytes::from(piece);
        let mut left = count;
        while left > 0 {
            let now = left.min(piece.len());
            left -= now;
            if sender.send_data(piece.slice(..now)).await.is_err() {
                return;
            }
        }
    });
    if !Form::of_query(uri).has("chunked") {
        answer::set(&mut response, CONTENT_LENGTH, &count.to_string());
    }
    response
}

/// `/chunked?n=5&ms=0`: so many lines, each on its own, with a pause between them.
pub(super) fn chunked(uri: &Uri) -> Response<Body> {
    let query = Form::of_query(uri);
    let (count, pause) = (query.number("n", 5), query.number("ms", 0));
    answer::written("text/plain", move |mut sender| async move {
        for number in 1..=count {
            tokio::time::sleep(Duration::from_millis(pause as u64)).await;
            if sender.send_data(format!("chunk {number}\n").into()).await.is_err() {
                return;
            }
        }
    })
}

/// `/trailers`: a body and the trailer field `X-Checksum` (sent to those who say `TE: trailers`).
pub(super) fn trailers() -> Response<Body> {
    let mut response = answer::written("text/plain", |mut sender| async move {
        let name = HeaderName::from_static("x-checksum");
        let checksum = (name, HeaderValue::from_static("12345"));
        let sent = sender.send_data(Bytes::from_static(b"before the trailers\n")).await;
        if sent.is_ok() {
            // The reader may be gone by now.
            let _ = sender.send_trailers(HeaderMap::from_iter([checksum])).await;
        }
    });
    answer::set(&mut response, TRAILER, "x-checksum");
    response
}
