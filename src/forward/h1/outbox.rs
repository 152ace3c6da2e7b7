//! What is still to be written to `CodeScan`: the head, then pieces of the body.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use crate::forward::connect::Stream;

/// Bytes that may wait before the client's body is read on. Backpressure: what `CodeScan` does
/// not take, the client cannot send.
const FULL: usize = 128 * 1024;

/// Pieces that go out with one system call.
const PIECES_AT_ONCE: usize = 16;

/// A piece below this is copied to those before it: kept on its own it would hold much more
/// memory than its bytes, and a client chooses how small its chunks are.
const SMALL: usize = 1024;

#[derive(Default)]
pub struct Outbox {
    /// Kept from request to request.
    head: Vec<u8>,
    head_sent: usize,
    pieces: VecDeque<Bytes>,
    /// Small pieces in a row, after all of `pieces`.
    tail: BytesMut,
    waiting: usize,
}

impl Outbox {
    /// The buffer to write a request's head into.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.head.clear();
        self.head_sent = 0;
        self.pieces.clear();
        self.tail.clear();
        self.waiting = 0;
        &mut self.head
    }

    /// Gives back what bodies needed.
    pub fn rest(&mut self) {
        self.pieces = VecDeque::new();
        self.tail = BytesMut::new();
    }

    pub fn push(&mut self, piece: Bytes) {
        if piece.len() < SMALL {
            return self.push_slice(&piece);
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.waiting += piece.len();
        self.pieces.push_back(piece);
    }

    pub fn push_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.waiting += bytes.len();
    }

    /// One chunk (RFC 9112 §7.1).
    pub fn push_chunk(&mut self, data: Bytes) {
        // A chunk of no bytes would be the last one.
        if data.is_empty() {
            return;
        }
        let before = self.tail.len();
        // Writing to memory does not fail.
        let _ = write!(self.tail, "{:x}\r\n", data.len());
        self.waiting += self.tail.len() - before;
        self.push(data);
        self.push_slice(b"\r\n");
    }

    pub fn is_full(&self) -> bool {
        self.waiting >= FULL
    }

    /// Bytes that wait to be written.
    pub fn left(&self) -> usize {
        self.head.len() - self.head_sent + self.waiting
    }

    /// Writes as much as the connection takes; ready when all is written.
    pub fn poll_send(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.head_sent < self.head.len() || self.waiting > 0 {
            let sent = ready!(self.poll_write(stream, cx))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(sent);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_write(&self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let head = &self.head[self.head_sent..];
        if self.waiting == 0 {
            return Pin::new(stream).poll_write(cx, head);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        let pieces = self.pieces.iter().map(|piece| &piece[..]);
        let parts = std::iter::once(head).chain(pieces).chain([&self.tail[..]]);
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        Pin::new(stream).poll_write_vectored(cx, &slices[..count])
    }

    fn advance(&mut self, mut sent: usize) {
        let of_head = sent.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        sent -= of_head;
        self.waiting -= sent;
        while let Some(piece) = self.pieces.front_mut().filter(|_| sent > 0) {
            let of_piece = sent.min(piece.len());
            piece.advance(of_piece);
            sent -= of_piece;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.tail.advance(sent);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn tiny_chunks_take_no_more_memory_than_their_bytes() {
        let mut outbox = Outbox::default();
        outbox.begin();
        let read = Bytes::from(vec![b'x'; 64 * 1024]);
        while !outbox.is_full() {
            outbox.push_chunk(read.slice(..1));
        }
        assert!(outbox.pieces.is_empty());
        assert!(outbox.tail.capacity() <= 4 * FULL, "{}", outbox.tail.capacity());
        assert!(read.is_unique(), "what they were read into is held by nobody");
    }

    #[tokio::test]
    async fn pieces_of_every_size_leave_in_their_order() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut stream = Stream::Unix(ours);
        let mut outbox = Outbox::default();
        outbox.begin().extend_from_slice(b"head;");
        let mut wanted = b"head;".to_vec();
        for (number, length) in [1, 2000, 3, 5, 1024, 1023, 4000, 7].into_iter().enumerate() {
            let data = vec![b'a' + u8::try_from(number).expect("few"); length];
            wanted.extend_from_slice(format!("{length:x}\r\n").as_bytes());
            wanted.extend_from_slice(&data);
            wanted.extend_from_slice(b"\r\n");
            outbox.push_chunk(data.into());
        }
        poll_fn(|cx| outbox.poll_send(&mut stream, cx)).await.expect("room");
        drop(stream);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.expect("it was written");
        assert_eq!(got, wanted);
    }
}
