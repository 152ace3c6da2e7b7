//! Ends a connection of HTTP/2 that keeps us busy with frames which ask for nothing.
//!
//! The h2 crate bounds what frames make it remember, not how many come: pings and settings are
//! each answered before the next is read, so that a flood costs no memory, but it costs time for
//! as long as it lasts (RFC 9113 §10.5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::write_through;

/// Frames of the kinds counted that may come within [`PERIOD`]: far more than a client needs that
/// cancels requests and pings, and far fewer than one sends that means harm.
const MOST: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(10);

/// Bytes of a frame's head (RFC 9113 §4.1).
const FRAME_HEAD: usize = 9;
/// Bytes of the connection preface, which is no frame.
const PREFACE: usize = 24;

/// A stream of frames that fails once too many came of those that ask for nothing.
pub struct FloodGate<S> {
    stream: S,
    frames: Frames,
}

impl<S> FloodGate<S> {
    /// `stream` begins with the connection preface.
    pub fn new(stream: S) -> Self {
        Self { stream, frames: Frames::new(Instant::now()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FloodGate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let calm = self.frames.pass(&buffer.filled()[before..], Instant::now);
        Poll::Ready(if calm { Ok(()) } else { Err(io::Error::other("a flood of frames")) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FloodGate<S> {
    write_through!();
}

/// Follows frames by their heads.
pub struct Frames {
    /// Bytes that belong to the preface, or to the frame whose head came last.
    rest: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of the next head that have come.
    known: usize,
    /// Frames counted since then.
    count: u32,
    since: Instant,
}

impl Frames {
    /// At the beginning of a connection, at `now`.
    pub fn new(now: Instant) -> Self {
        Self { rest: PREFACE, head: [0; FRAME_HEAD], known: 0, count: 0, since: now }
    }

    /// Takes note of bytes; false if it is a flood. The clock is looked at now and then only.
    pub fn pass(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> bool {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let length = self.rest.min(bytes.len());
                self.rest -= length;
                bytes = &bytes[length..];
                continue;
            }
            let length = (FRAME_HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + length].copy_from_slice(&bytes[..length]);
            self.known += length;
            bytes = &bytes[length..];
            if self.known == FRAME_HEAD && !self.count_frame(&now) {
                return false;
            }
        }
        true
    }

    fn count_frame(&mut self, now: &impl Fn() -> Instant) -> bool {
        let [long, mid, short, kind, ..] = self.head;
        self.rest = usize::from(long) << 16 | usize::from(mid) << 8 | usize::from(short);
        self.known = 0;
        if carries_traffic(kind) {
            return true;
        }
        self.count += 1;
        if self.count < MOST {
            return true;
        }
        let (now, then) = (now(), self.since);
        (self.count, self.since) = (0, now);
        now.duration_since(then) > PERIOD
    }
}

/// Bodies, heads and windows, of which h2 bounds what is empty or too much. What is left:
/// priorities, resets, settings, pings, goodbyes, and what nobody knows.
fn carries_traffic(kind: u8) -> bool {
    matches!(kind, 0 | 1 | 8 | 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const DATA: u8 = 0;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let head = [0, 0, length, kind, 0, 0, 0, 0, 0];
        [&head[..], &vec![PING; usize::from(length)]].concat()
    }

    fn frames(kind: u8, length: u8, count: u32) -> Vec<u8> {
        let preface = vec![PING; PREFACE];
        (0..count).fold(preface, |all, _| [all, frame(kind, length)].concat())
    }

    fn is_calm(bytes: &[u8], piece: usize, lasts: Duration) -> bool {
        let begin = Instant::now();
        let mut frames = Frames::new(begin);
        bytes.chunks(piece).all(|piece| frames.pass(piece, || begin + lasts))
    }

    #[test]
    fn a_flood_is_seen_however_it_is_cut() {
        for piece in [1, 7, 9, 4096, usize::MAX] {
            let flood = frames(PING, 8, MOST);
            assert!(!is_calm(&flood, piece, PERIOD), "{piece}");
            assert!(is_calm(&flood[..flood.len() - 17], piece, PERIOD), "{piece}");
        }
    }

    #[test]
    fn the_same_over_a_longer_time_is_none() {
        assert!(is_calm(&frames(PING, 8, MOST), 4096, PERIOD * 2));
    }

    #[test]
    fn traffic_is_not_counted() {
        assert!(is_calm(&frames(DATA, 200, MOST * 3), 4096, Duration::ZERO));
    }
}
