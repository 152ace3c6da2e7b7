//! One connection to `CodeScan`, and what has been read from it and not yet used.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::task::coop::unconstrained;

use super::outbox::Outbox;
use crate::forward::connect::Stream;

/// Bytes read at a time while a head is awaited.
const HEAD_READ: usize = 8 * 1024;

/// Bytes read at a time of a body, at most.
const BODY_READ: usize = 128 * 1024;

pub struct Connection {
    pub(super) stream: Stream,
    pub(super) incoming: BytesMut,
    pub(super) outbox: Outbox,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self { stream, incoming: BytesMut::new(), outbox: Outbox::default() }
    }

    /// Whether an idle connection can carry a request: it is open, and nothing was sent on it
    /// that nobody asked for.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Without tokio's budget: once it is spent, a connection that was closed, or holds an
        // answer to nobody, looks quiet too.
        let read = pin!(unconstrained(poll_fn(|cx| self.poll_read(HEAD_READ, cx))));
        read.poll(&mut cx).is_pending() && self.incoming.is_empty()
    }

    /// Gives back what an idle connection does not need.
    pub fn rest(&mut self) {
        self.incoming = BytesMut::new();
        self.outbox.rest();
    }

    /// The bare connection, and what had been read ahead.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.incoming)
    }

    /// Reads some more; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        want: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.incoming.reserve(want.clamp(1, BODY_READ));
        let read = pin!(self.stream.read_buf(&mut self.incoming));
        // Holds no state between polls, so a new future each time reads on where the last left.
        read.poll(cx)
    }

    pub(super) fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_read(HEAD_READ, cx)
    }

    /// Reads on in a body of which `left` bytes are known to come.
    pub(super) fn poll_read_body(
        &mut self,
        left: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let want = usize::try_from(left).unwrap_or(BODY_READ);
        let read = ready!(self.poll_read(want, cx))?;
        Poll::Ready(Ok(read))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    #[tokio::test]
    async fn unasked_bytes_are_seen_by_a_task_that_has_spent_its_budget() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut connection = Connection::new(Stream::Unix(ours));
        assert!(connection.is_quiet());
        theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("room");
        tokio::task::yield_now().await;
        while has_budget_remaining() {
            consume_budget().await;
        }
        assert!(!connection.is_quiet());
    }
}
