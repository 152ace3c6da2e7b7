//! Bodies on their way through: streamed, counted, never gathered.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connect::Target;
use super::h1::exchange::{Exchange, ExchangeError};
use super::pace::Pace;
use super::pool::{Lease, Place, Way};
use super::sink::Either;
use super::trailers::Upwards;
use super::{ForwardError, Head, h2};

/// What is known of the client's body while it goes up. Shared between the body and its watcher.
#[derive(Clone)]
pub struct Upload(Rc<Progress>);

struct Progress {
    limit: Option<u64>,
    trailers: Option<Upwards>,
    marks_end: bool,
    seen: Cell<u64>,
    has_ended: Cell<bool>,
    stuck_since: Cell<Option<Instant>>,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    TooLarge,
    TooSlow,
    Broken,
}

impl Upload {
    /// For a body of at most `limit` bytes. What follows it is dropped but for what `trailers`
    /// lets pass. `version` is that of the client's request.
    pub fn new(limit: Option<u64>, trailers: Option<Upwards>, version: Version) -> Self {
        Self(Rc::new(Progress {
            limit,
            trailers,
            marks_end: version == Version::HTTP_2,
            seen: Cell::new(0),
            has_ended: Cell::new(false),
            stuck_since: Cell::new(None),
            fault: Cell::new(None),
        }))
    }

    /// Whether the last byte was handed over, or the body given up.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended.get()
    }

    /// Since when `CodeScan` has taken nothing of what waits for it.
    pub fn stuck_since(&self) -> Option<Instant> {
        self.0.stuck_since.get()
    }

    fn end(&self) {
        self.0.has_ended.set(true);
    }

    /// Counts a piece; an error once the limit is passed.
    fn count(&self, length: usize) -> Result<(), BodyError> {
        self.0.seen.set(self.0.seen.get() + length as u64);
        if self.0.limit.is_some_and(|limit| self.0.seen.get() > limit) {
            self.0.fault.set(Some(Fault::TooLarge));
            return Err(BodyError);
        }
        Ok(())
    }

    /// What of a piece goes on to `CodeScan`: data as it is.
    fn filter(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        frame.into_trailers().map_or_else(
            |data| data,
            |trailers| {
                let filter = self.0.trailers.as_ref();
                Frame::trailers(filter.map(|it| it.filter(&trailers)).unwrap_or_default())
            },
        )
    }

    /// Whose fault a failed exchange was: the client's body, if that failed first.
    pub(super) fn fault(&self, error: &ExchangeError) -> ForwardError {
        match self.0.fault.get() {
            Some(Fault::TooLarge) => ForwardError::BodyTooLarge,
            Some(Fault::TooSlow) => ForwardError::BodyTooSlow,
            Some(Fault::Broken) => ForwardError::BadBody,
            None => ForwardError::Unreachable(error.to_string()),
        }
    }
}

/// The client's body broke off; [`Upload`] knows why.
#[derive(Debug, thiserror::Error)]
#[error("the client's body ended badly")]
pub struct BodyError;

/// A request body on its way to `CodeScan`.
pub struct RequestBody {
    incoming: Option<Incoming>,
    upload: Upload,
    pace: Pace,
}

impl RequestBody {
    pub fn new(incoming: Option<Incoming>, upload: Upload) -> Self {
        if incoming.is_none() {
            upload.end();
        }
        Self { incoming, upload, pace: Pace::default() }
    }

    /// Notes whether something waits for `CodeScan` to take it, and whether it just took some.
    pub(super) fn note_stuck(&self, waits: bool, took_some: bool) {
        let stuck = &self.upload.0.stuck_since;
        let since = stuck.get().filter(|_| !took_some);
        stuck.set(waits.then(|| since.unwrap_or_else(Instant::now)));
    }

    fn broken(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.upload.0.fault.set(Some(fault));
        Poll::Ready(Some(Err(BodyError)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
            ready!(self.pace.poll_too_slow(cx));
            return self.broken(Fault::TooSlow);
        };
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.pace.came(length);
                let counted = self.upload.count(length);
                if self.is_end_stream() {
                    self.upload.end();
                }
                Poll::Ready(Some(counted.map(|()| self.upload.filter(frame))))
            }
            Some(Err(_)) => self.broken(Fault::Broken),
            // hyper takes a stream that was reset with NO_ERROR or CANCEL for one that has ended.
            None if self.upload.0.marks_end && !self.is_end_stream() => self.broken(Fault::Broken),
            None => {
                self.upload.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.upload.end();
    }
}

/// A request and its answer, on their way.
pub enum Carried {
    /// On a connection of its own, and where that belongs.
    Alone(Exchange, Place),
    /// On a stream of a shared one.
    Stream(h2::exchange::Exchange),
}

/// How far a request came that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// `CodeScan` promises not to have looked at it.
    Nowhere,
    /// The connection ended before a byte of an answer came.
    Unknown,
    Otherwise,
}

impl Carried {
    pub(super) fn begin<F: Fn(Either<'_>)>(
        way: Way,
        target: &Target,
        head: &Head<'_, F>,
        body: RequestBody,
    ) -> Box<Self> {
        Box::new(match way {
            Way::Alone(Lease { connection, place }) => {
                let (method, asks) = (head.method.clone(), head.asks);
                let exchange = Exchange::new(connection, method, asks, body, |out| head.write(out));
                Self::Alone(exchange, place)
            }
            Way::Stream(place) => {
                let (scheme, map) = (target.scheme(), head.map());
                let head = h2::request::head(head.method, head.target, scheme, map, &body);
                Self::Stream(h2::exchange::Exchange::begin(place, head, body))
            }
        })
    }

    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, ExchangeError>> {
        match self {
            Self::Alone(exchange, _) => exchange.poll_head(cx),
            Self::Stream(exchange) => exchange.poll_head(cx),
        }
    }

    /// How far it came, whose head did not.
    pub(super) fn came(&self, error: &ExchangeError) -> Came {
        match (self, error) {
            (Self::Alone(exchange, _), ExchangeError::Closed | ExchangeError::Io(_))
                if !exchange.has_received() =>
            {
                Came::Unknown
            }
            (Self::Stream(_), ExchangeError::Stream(error)) if error.was_refused() => Came::Nowhere,
            (Self::Stream(exchange), ExchangeError::Stream(error))
                if error.is_lost_connection() && !exchange.has_received() =>
            {
                Came::Unknown
            }
            _ => Came::Otherwise,
        }
    }

    /// The answer that this is its head of.
    pub(super) fn answered(mut self: Box<Self>, head: Response<()>) -> Response<ResponseBody> {
        if let Self::Alone(exchange, place) = &mut *self
            && exchange.length_left().is_none()
            && is_event_stream(head.headers())
        {
            place.streams();
        }
        head.map(|()| self.into_body())
    }

    /// The answer's body.
    fn into_body(self: Box<Self>) -> ResponseBody {
        if self.uploads() {
            // The answer came first. Client and `CodeScan` may each wait for the other to read
            // before it writes on, so both directions must move on their own.
            let length = self.length_left();
            let (sender, receiver) = mpsc::channel(1);
            let task = tokio::task::spawn_local(self.pump(sender));
            return ResponseBody::Piped { receiver, length, _task: OnDrop(task) };
        }
        let mut body = ResponseBody::Upstream(Some(self));
        body.give_back_if_ended();
        body
    }

    /// Moves pieces into the channel, and the upload on while it is full.
    async fn pump(mut self: Box<Self>, sender: mpsc::Sender<Piece>) {
        loop {
            let room = tokio::select! {
                biased;
                room = sender.reserve() => room,
                _ = poll_fn(|cx| self.poll_upload(cx)), if self.uploads() => {
                    continue;
                }
            };
            let (Ok(room), Some(piece)) = (room, poll_fn(|cx| self.poll_body(cx)).await) else {
                return self.give_back();
            };
            let is_broken = piece.is_err();
            room.send(piece);
            if is_broken {
                return;
            }
        }
    }

    /// A stream needs no more than to be dropped.
    fn give_back(self) {
        if let Self::Alone(exchange, place) = self
            && let Some(connection) = exchange.into_connection()
        {
            place.give_back(connection);
        }
    }

    fn uploads(&self) -> bool {
        match self {
            Self::Alone(exchange, _) => exchange.uploads(),
            Self::Stream(exchange) => exchange.uploads(),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Alone(exchange, _) => exchange.has_ended(),
            Self::Stream(exchange) => exchange.has_ended(),
        }
    }

    fn length_left(&self) -> Option<u64> {
        match self {
            Self::Alone(exchange, _) => exchange.length_left(),
            Self::Stream(exchange) => exchange.length_left(),
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        match self {
            Self::Alone(exchange, _) => exchange.poll_upload(cx),
            Self::Stream(exchange) => exchange.poll_upload(cx),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self {
            Self::Alone(exchange, _) => exchange.poll_body(cx),
            Self::Stream(exchange) => exchange.poll_body(cx),
        }
    }
}

/// An answer that goes on as long as both sides like.
fn is_event_stream(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

type Piece = Result<Frame<Bytes>, ExchangeError>;

/// Ends a task with whom it works for.
pub struct OnDrop(JoinHandle<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body on its way to the client: ours, or `CodeScan`'s.
pub enum ResponseBody {
    Own(Option<Bytes>),
    /// `None` when it has ended and its connection was given back.
    Upstream(Option<Box<Carried>>),
    Piped {
        receiver: mpsc::Receiver<Piece>,
        length: Option<u64>,
        _task: OnDrop,
    },
}

impl ResponseBody {
    /// After a 101: the connection to `CodeScan`.
    pub fn take_upgraded(&mut self) -> Option<Lease> {
        let Self::Upstream(carried) = self else { return None };
        let Carried::Alone(exchange, mut place) = *carried.take()? else { return None };
        place.tunnels();
        Some(Lease { connection: exchange.into_upgraded(), place })
    }

    /// After an answer that ended cleanly its connection can serve again.
    fn give_back_if_ended(&mut self) {
        if let Self::Upstream(carried) = self
            && let Some(ended) = carried.take_if(|it| it.has_ended())
        {
            ended.give_back();
        }
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ExchangeError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = match &mut *self {
            Self::Own(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Upstream(None) => None,
            Self::Upstream(Some(carried)) => ready!(carried.poll_body(cx)),
            Self::Piped { receiver, .. } => ready!(receiver.poll_recv(cx)),
        };
        if !matches!(piece, Some(Err(_))) {
            self.give_back_if_ended();
        }
        Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(carried) => carried.is_none(),
            Self::Piped { length, .. } => *length == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match self {
            Self::Own(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Upstream(None) => Some(0),
            Self::Upstream(Some(carried)) => carried.length_left(),
            Self::Piped { length, .. } => *length,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// What became of the body of a request that `client` sends.
    async fn received(client: impl AsyncFnOnce(DuplexStream)) -> Result<usize, &'static str> {
        let (theirs, ours) = duplex(4096);
        let outcome = Rc::new(Cell::new(None));
        let noted = Rc::clone(&outcome);
        let service = service_fn(move |request: Request<Incoming>| {
            let noted = Rc::clone(&noted);
            async move {
                let upload = Upload::new(None, None, Version::HTTP_11);
                let body = RequestBody::new(Some(request.into_body()), upload.clone());
                let read = body.collect().await.map(|body| body.to_bytes().len());
                let said = |_| match upload.fault(&ExchangeError::Upload) {
                    ForwardError::BodyTooSlow => "too slow",
                    _ => "something else",
                };
                noted.set(Some(read.map_err(said)));
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(ours), service);
        let ((), _) = tokio::join!(client(theirs), serving);
        outcome.take().expect("a request")
    }

    async fn drip(mut client: DuplexStream, pieces: usize, piece: usize, pause: Duration) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            pieces * piece
        );
        client.write_all(head.as_bytes()).await.expect("room");
        for _ in 0..pieces {
            tokio::time::sleep(pause).await;
            if client.write_all(&vec![0; piece]).await.is_err() {
                return;
            }
        }
        // Who hangs up early is not answered.
        let _ = client.read_to_end(&mut Vec::new()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up_and_a_slow_one_is_not() {
        let second = Duration::from_secs(1);
        let slow = received(async |client| drip(client, 300, 300, second).await).await;
        assert_eq!(slow, Ok(90_000));
        let dripping = received(async |client| drip(client, 300, 30, second).await).await;
        assert_eq!(dripping, Err("too slow"));
    }
}
