//! Bodies on their way through: streamed, counted, never gathered.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ForwardError;
use super::h1::connection::Connection;
use super::h1::exchange::{Exchange, ExchangeError};
use super::h2;
use super::pool::Place;

/// What is known of the client's body while it goes up. Shared between the body and its watcher.
#[derive(Clone)]
pub struct Upload(Rc<Progress>);

struct Progress {
    limit: Option<u64>,
    seen: Cell<u64>,
    ended_at: Cell<Option<Instant>>,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    TooLarge,
    Broken,
}

impl Upload {
    /// For a body of at most `limit` bytes.
    pub fn new(limit: Option<u64>) -> Self {
        Self(Rc::new(Progress {
            limit,
            seen: Cell::new(0),
            ended_at: Cell::new(None),
            fault: Cell::new(None),
        }))
    }

    /// When the last byte was handed over, or the body was given up.
    pub fn ended_at(&self) -> Option<Instant> {
        self.0.ended_at.get()
    }

    fn end(&self) {
        if self.0.ended_at.get().is_none() {
            self.0.ended_at.set(Some(Instant::now()));
        }
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

    /// Whose fault a failed exchange was: the client's body, if that failed first.
    pub(super) fn fault(&self, error: &ExchangeError) -> ForwardError {
        match self.0.fault.get() {
            Some(Fault::TooLarge) => ForwardError::BodyTooLarge,
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
}

impl RequestBody {
    pub fn new(incoming: Option<Incoming>, upload: Upload) -> Self {
        if incoming.is_none() {
            upload.end();
        }
        Self { incoming, upload }
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
        match ready!(Pin::new(incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let counted = self.upload.count(length);
                if self.is_end_stream() {
                    self.upload.end();
                }
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Some(Err(_)) => {
                self.upload.0.fault.set(Some(Fault::Broken));
                Poll::Ready(Some(Err(BodyError)))
            }
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

/// An exchange whose answer's head has been read.
pub enum Carried {
    /// On a connection of its own, and where that belongs.
    Own(Exchange, Place),
    /// On a stream of a shared one.
    Stream(h2::exchange::Exchange),
}

impl Carried {
    /// The answer's body.
    pub(super) fn into_body(self) -> ResponseBody {
        if self.uploads() {
            // The answer came first. Client and `CodeScan` may each wait for the other to read
            // before it writes on, so both directions must move on their own.
            let length = self.length_left();
            let (sender, receiver) = mpsc::channel(1);
            let task = tokio::task::spawn_local(self.pump(sender));
            return ResponseBody::Piped { receiver, length, _task: OnDrop(task) };
        }
        let mut body = ResponseBody::Upstream(Some(Box::new(self)));
        body.give_back_if_ended();
        body
    }

    fn uploads(&self) -> bool {
        match self {
            Self::Own(exchange, _) => exchange.uploads(),
            Self::Stream(exchange) => exchange.uploads(),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Own(exchange, _) => exchange.has_ended(),
            Self::Stream(exchange) => exchange.has_ended(),
        }
    }

    fn length_left(&self) -> Option<u64> {
        match self {
            Self::Own(exchange, _) => exchange.length_left(),
            Self::Stream(exchange) => exchange.length_left(),
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        match self {
            Self::Own(exchange, _) => exchange.poll_upload(cx),
            Self::Stream(exchange) => exchange.poll_upload(cx),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self {
            Self::Own(exchange, _) => exchange.poll_body(cx),
            Self::Stream(exchange) => exchange.poll_body(cx),
        }
    }

    /// Moves pieces into the channel, and the upload on while it is full.
    async fn pump(mut self, sender: mpsc::Sender<Piece>) {
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

    /// A stream is over when it is dropped; its connection stays.
    fn give_back(self) {
        if let Self::Own(exchange, place) = self
            && let Some(connection) = exchange.into_connection()
        {
            place.give_back(connection);
        }
    }

    fn into_upgraded(self) -> Option<Connection> {
        match self {
            Self::Own(exchange, _) => Some(exchange.into_upgraded()),
            Self::Stream(_) => None,
        }
    }
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
    pub fn take_upgraded(&mut self) -> Option<Connection> {
        match self {
            Self::Upstream(carried) => carried.take().and_then(|it| it.into_upgraded()),
            Self::Own(_) | Self::Piped { .. } => None,
        }
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
