//! Bodies on their way through: streamed, counted, never gathered.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::ForwardError;
use super::pool::Lease;

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
    pub(super) fn fault(&self, error: &hyper::Error) -> ForwardError {
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

/// A body on its way to the client: ours, or `CodeScan`'s.
pub enum ResponseBody {
    Own(Option<Bytes>),
    Upstream { incoming: Incoming, connection: Option<Box<(Lease, Upload)>> },
}

impl ResponseBody {
    pub(super) fn upstream(incoming: Incoming, lease: Lease, upload: Upload) -> Self {
        let mut body = Self::Upstream { incoming, connection: Some(Box::new((lease, upload))) };
        if body.is_end_stream() {
            body.give_back();
        }
        body
    }

    pub fn empty() -> Self {
        Self::Own(None)
    }

    /// After an answer that ended cleanly its connection can serve again.
    fn give_back(&mut self) {
        if let Self::Upstream { connection, .. } = self
            && let Some(connection) = connection.take()
        {
            let (lease, upload) = *connection;
            lease.give_back(&upload);
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
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = match &mut *self {
            Self::Own(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Upstream { incoming, .. } => ready!(Pin::new(incoming).poll_frame(cx)),
        };
        let ended = frame.is_none() || (matches!(frame, Some(Ok(_))) && self.is_end_stream());
        if ended {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
