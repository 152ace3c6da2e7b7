//! Writes that are gathered, so that all the frames of one turn leave with one system call, and
//! over TLS in one record.
//!
//! The h2 crate flushes after each frame with data. Here that does nothing: whoever polls the
//! connection sends what was gathered when there is no more to come, before it waits for anything.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are gathered at most: as many as a record of TLS holds (RFC 8446 §5.1).
const MOST: usize = 16 * 1024;

/// Pieces that are written with one system call: what waits, and the head and body of a frame.
const SLICES: usize = 4;

/// A stream whose writes wait to be sent by its [`Sender`].
pub struct Gathered<S>(Rc<RefCell<Outgoing<S>>>);

/// Sends what was written to a [`Gathered`] stream.
pub struct Sender<S>(Rc<RefCell<Outgoing<S>>>);

struct Outgoing<S> {
    stream: S,
    /// Takes memory only while something waits.
    waiting: Vec<u8>,
    /// Bytes of `waiting` that were sent.
    sent: usize,
    needs_flush: bool,
}

/// The two sides of `stream`.
pub fn gathered<S>(stream: S) -> (Gathered<S>, Sender<S>) {
    let outgoing = Outgoing { stream, waiting: Vec::new(), sent: 0, needs_flush: false };
    let shared = Rc::new(RefCell::new(outgoing));
    (Gathered(Rc::clone(&shared)), Sender(shared))
}

impl<S: AsyncWrite + Unpin> Sender<S> {
    /// Sends what waits. To be called after each poll of what writes, by the same task.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}

impl<S: AsyncWrite + Unpin> Outgoing<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            ready!(self.poll_write_through(cx, &[]))?;
        }
        if self.needs_flush {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn gather(&mut self, slices: &[IoSlice<'_>]) {
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(MOST);
        }
        for slice in slices {
            self.waiting.extend_from_slice(slice);
        }
    }

    /// Writes what waits, and behind it what does not have to; the bytes of that which were taken.
    fn poll_write_through(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waits = self.waiting.len() - self.sent;
        let mut all = [IoSlice::new(&self.waiting[self.sent..]); SLICES];
        let behind = &mut all[1..];
        let count = behind.len().min(slices.len());
        behind[..count].copy_from_slice(&slices[..count]);
        let all = &all[..=count];
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, all))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.needs_flush = true;
        if written < waits {
            self.sent += written;
            return Poll::Ready(Ok(0));
        }
        (self.waiting, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(written - waits))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut *self.0.borrow_mut();
        ready!(outgoing.poll_send(cx))?;
        Pin::new(&mut outgoing.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outgoing = &mut *self.0.borrow_mut();
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        while outgoing.waiting.len() + length > MOST {
            let taken = ready!(outgoing.poll_write_through(cx, slices))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
        outgoing.gather(slices);
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Counts what it is written with one call.
    struct Calls(Vec<usize>);

    impl AsyncWrite for Calls {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.poll_flush(cx)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let length = slices.iter().map(|slice| slice.len()).sum();
            self.0.push(length);
            Poll::Ready(Ok(length))
        }
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_leaves_with_one_call() {
        let (mut stream, sender) = gathered(Calls(Vec::new()));
        for _ in 0..8 {
            stream.write_all(&[1; 1000]).await.expect("room");
            stream.flush().await.expect("room");
        }
        assert!(sender.0.borrow().stream.0.is_empty(), "more may come");
        poll_fn(|cx| sender.poll_send(cx)).await.expect("room");
        assert_eq!(sender.0.borrow().stream.0, [8000]);
        assert_eq!(sender.0.borrow().waiting.capacity(), 0, "an idle connection keeps nothing");
    }

    #[tokio::test]
    async fn more_than_may_wait_goes_out_behind_what_waits() {
        let (mut stream, sender) = gathered(Calls(Vec::new()));
        stream.write_all(&[1; 100]).await.expect("room");
        stream.write_all(&[2; MOST]).await.expect("room");
        assert_eq!(sender.0.borrow().stream.0, [MOST + 100]);
        stream.write_all(&[3; 10]).await.expect("room");
        stream.shutdown().await.expect("room");
        assert_eq!(sender.0.borrow().stream.0, [MOST + 100, 10]);
    }

    #[tokio::test]
    async fn a_slow_reader_gets_every_byte_in_order() {
        let (theirs, ours) = duplex(777);
        let (mut stream, sender) = gathered(ours);
        let pieces = [1, 5000, 3, 40_000, 16_000, 900, 16_384, 7].into_iter().zip(1u8..);
        let pieces: Vec<Vec<u8>> = pieces.map(|(length, byte)| vec![byte; length]).collect();
        let wanted = pieces.concat();
        let reading = tokio::spawn(async move {
            let (mut theirs, mut got) = (theirs, Vec::new());
            theirs.read_to_end(&mut got).await.map(|_| got)
        });
        for piece in pieces {
            stream.write_all(&piece).await.expect("a reader");
            if piece.len() < 5000 {
                poll_fn(|cx| sender.poll_send(cx)).await.expect("a reader");
            }
        }
        stream.shutdown().await.expect("a reader");
        assert!(reading.await.expect("no panic").expect("a writer") == wanted);
    }

    #[tokio::test]
    async fn no_more_waits_than_may() {
        let (_theirs, ours) = duplex(1);
        let (mut stream, sender) = gathered(ours);
        let mut written = 0;
        poll_fn(|cx| {
            while let Poll::Ready(more) = Pin::new(&mut stream).poll_write(cx, &[0; 1000]) {
                written += more.expect("room");
            }
            assert!(sender.poll_send(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!((MOST - 1000..=MOST + 1).contains(&written), "{written}");
    }

    #[tokio::test]
    async fn a_broken_stream_is_told_of() {
        let (theirs, ours) = duplex(1);
        drop(theirs);
        let (mut stream, sender) = gathered(ours);
        stream.write_all(b"gathered").await.expect("it is not yet looked at");
        poll_fn(|cx| sender.poll_send(cx)).await.expect_err("nobody reads");
    }
}
