//! What is still to be written to `CodeScan`: the head, then pieces of the body.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::forward::connect::Stream;

/// Bytes that may wait before the client's body is read on. Backpressure: what `CodeScan` does
/// not take, the client cannot send.
const FULL: usize = 128 * 1024;

/// Pieces that go out with one system call.
const PIECES_AT_ONCE: usize = 16;

#[derive(Default)]
pub struct Outbox {
    /// Kept from request to request.
    head: Vec<u8>,
    head_sent: usize,
    pieces: VecDeque<Bytes>,
    waiting: usize,
}

impl Outbox {
    /// The buffer to write a request's head into.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.head.clear();
        self.head_sent = 0;
        self.pieces.clear();
        self.waiting = 0;
        &mut self.head
    }

    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.waiting += piece.len();
            self.pieces.push_back(piece);
        }
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
        while self.head_sent < self.head.len() || !self.pieces.is_empty() {
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
        if self.pieces.is_empty() {
            return Pin::new(stream).poll_write(cx, head);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        slices[0] = IoSlice::new(head);
        for (slice, piece) in slices[1..].iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        let from = usize::from(head.is_empty());
        let to = (self.pieces.len() + 1).min(PIECES_AT_ONCE);
        Pin::new(stream).poll_write_vectored(cx, &slices[from..to])
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
    }
}
