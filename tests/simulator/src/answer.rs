//! Making responses, the well-behaved ones and those that break off.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::fmt::{self, Display};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Any body that a double sends.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a handler gives back: a response, or the wish to close the connection without one.
pub(crate) type Answer = Result<Response<Body>, HangUp>;

/// The connection is closed without a response.
#[derive(Debug)]
pub(crate) struct HangUp;

impl Display for HangUp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the double closes the connection, as it was told to")
    }
}

impl std::error::Error for HangUp {}

/// A response of one piece.
pub(crate) fn full(
    status: StatusCode,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let whole = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(whole);
    *response.status_mut() = status;
    if !content_type.is_empty() {
        set(&mut response, CONTENT_TYPE, content_type);
    }
    response
}

/// A response with nothing in it.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    full(status, "", Bytes::new())
}

/// JSON with the content type that Bitbucket and `SonarQube` write.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    full(status, "application/json;charset=UTF-8", value.to_string())
}

/// An HTML page.
pub(crate) fn html(status: StatusCode, page: String) -> Response<Body> {
    full(status, "text/html;charset=UTF-8", page)
}

/// Plain text.
pub(crate) fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Body> {
    full(status, "text/plain;charset=UTF-8", words)
}

/// 302 to `location`.
pub(crate) fn found(location: &str) -> Response<Body> {
    redirect(StatusCode::FOUND, location)
}

/// 303 to `location`: what follows is a GET.
pub(crate) fn see_other(location: &str) -> Response<Body> {
    redirect(StatusCode::SEE_OTHER, location)
}

fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, LOCATION, location);
    response
}

/// Sets a header; text that no header can carry is left out.
pub(crate) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds a header line beside those of the same name.
pub(crate) fn add(response: &mut Response<Body>, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        response.headers_mut().append(name, value);
    }
}

/// A body to be written while it is read.
pub(crate) fn stream() -> (Sender<Bytes, io::Error>, Body) {
    let (sender, body) = Channel::new(4);
    (sender, body.boxed_unsync())
}

/// A response whose body `write` produces; the writer ends when the reader goes away.
pub(crate) fn written<W, F>(content_type: &str, write: W) -> Response<Body>
where
    W: FnOnce(Sender<Bytes, io::Error>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, body) = stream();
    tokio::spawn(write(sender));
    let mut response = Response::new(body);
    set(&mut response, CONTENT_TYPE, content_type);
    response
}

/// A body that holds `guard` until it is sent or dropped.
pub(crate) fn guarded<G: Send + Unpin + 'static>(body: Body, guard: G) -> Body {
    Guarded { body, _guard: guard }.boxed_unsync()
}

struct Guarded<G> {
    body: Body,
    _guard: G,
}

impl<G: Unpin> http_body::Body for Guarded<G> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
