//! One client's connection: what it is at, and how long it may be at it.
//!
//! No timer runs for a connection. It notes what it is at, and the worker's tick looks at all.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::raw_head::Verdicts;
use super::stream::Rewound;

/// How long a connection may be at what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To receive a request head.
    pub header: Duration,
    /// Between an answer and the next head.
    pub idle: Duration,
    /// In all workers together.
    pub connections: usize,
}

/// What a connection is at. Shared by its stream, its answers and the tick.
pub struct Activity {
    opened: Instant,
    phase: AtomicU8,
    /// Milliseconds from `opened` to the phase's beginning.
    since: AtomicU64,
    /// The request served last has a body, of which some may still be on its way.
    uploads: AtomicBool,
    /// Milliseconds from `opened` to when it began to linger.
    lingers_from: AtomicU64,
    /// Nothing but its socket is kept.
    parked: AtomicBool,
    wish: AtomicU8,
    wished: Notify,
    /// Its stream was dropped.
    gone: Notify,
    /// HTTP/1.x: what its heads are like. Here, so that a connection has one such piece of memory.
    pub verdicts: Verdicts,
}

const READS_HEAD: u8 = 0;
const SERVES: u8 = 1;
const IDLES: u8 = 2;
const LINGERS: u8 = 3;
/// The answer is made, and its end may still wait for a slow reader.
const FLUSHES: u8 = 4;
/// HTTP/2 with no open stream. Frames may still come, which are no head.
const RESTS: u8 = 5;
/// HTTP/2 that was told to go away, and has to say that it heard.
const LEAVES: u8 = 6;
/// It carries another protocol, and no limit of HTTP's holds.
const TUNNELS: u8 = 7;

/// How long a closed connection may be silent before nothing more is expected on it.
const LINGER: Duration = Duration::from_secs(2);

/// How long it may linger in all: a byte now and then must not keep it open for ever.
const LINGER_AT_MOST: Duration = Duration::from_secs(10);

/// How long an HTTP/2 connection that is told to go away may take to.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 connection idles before it is parked.
const PARKED_AFTER: Duration = Duration::from_millis(500);

/// Bytes thrown away at a time.
const SCRATCH: usize = 16 * 1024;

/// What the worker wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// End after the answer under way.
    Finish,
    /// End now.
    Close,
    /// Let go of everything but the socket until the next bytes come.
    Park,
}

impl Activity {
    /// A new connection has to send a head at once.
    pub fn begin(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            opened: now,
            phase: AtomicU8::new(READS_HEAD),
            since: AtomicU64::new(0),
            uploads: AtomicBool::new(false),
            lingers_from: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            wish: AtomicU8::new(0),
            wished: Notify::new(),
            gone: Notify::new(),
            verdicts: Verdicts::default(),
        })
    }

    fn enter(&self, phase: u8) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        if self.phase.swap(phase, Ordering::Relaxed) != LINGERS {
            self.lingers_from.store(since, Ordering::Relaxed);
        }
    }

    /// A request's head has arrived.
    pub fn serves(&self, has_body: bool) {
        self.uploads.store(has_body, Ordering::Relaxed);
        self.phase.store(SERVES, Ordering::Relaxed);
    }

    /// HTTP/2: the last open stream has ended.
    pub fn rests(&self) {
        self.enter(RESTS);
    }

    /// HTTP/2: whether the connection was at rest, and may now take its leave.
    pub fn takes_leave(&self) -> bool {
        let rested = self.phase.load(Ordering::Relaxed) == RESTS;
        if rested {
            self.enter(LEAVES);
        }
        rested
    }

    /// Whether bytes may still come on a connection that is being closed.
    fn expects_more(&self) -> bool {
        let lingers = self.phase.load(Ordering::Relaxed) == LINGERS;
        if !lingers && self.uploads.load(Ordering::Relaxed) {
            self.enter(LINGERS);
            return true;
        }
        lingers
    }

    /// Whether the connection has been at what it is at for too long.
    pub fn is_overdue(&self, limits: Limits, now: Instant) -> bool {
        let limit = match self.phase.load(Ordering::Relaxed) {
            READS_HEAD => limits.header,
            IDLES | RESTS => limits.idle,
            LINGERS => LINGER,
            LEAVES => LEAVE_WITHIN,
            _ => return false,
        };
        self.age_of(&self.since, now) > limit || self.lingers_too_long(now)
    }

    fn lingers_too_long(&self, now: Instant) -> bool {
        self.phase.load(Ordering::Relaxed) == LINGERS
            && self.age_of(&self.lingers_from, now) > LINGER_AT_MOST
    }

    fn age_of(&self, moment: &AtomicU64, now: Instant) -> Duration {
        let moment = Duration::from_millis(moment.load(Ordering::Relaxed));
        now.saturating_duration_since(self.opened).saturating_sub(moment)
    }

    /// Since when it has been between two requests, if it is and was not asked to end.
    pub fn idle_since(&self) -> Option<Instant> {
        let idles = matches!(self.phase.load(Ordering::Relaxed), IDLES | RESTS);
        (idles && !self.is_asked())
            .then(|| self.opened + Duration::from_millis(self.since.load(Ordering::Relaxed)))
    }

    /// HTTP/1.1: whether it has idled for a while and may be parked.
    pub fn may_park(&self, now: Instant) -> bool {
        self.idles_whole() && self.age_of(&self.since, now) >= PARKED_AFTER
    }

    /// HTTP/1.1: whether it idles, and is not parked. Not after a request with a body: some of that
    /// may still be on its way.
    pub fn idles_whole(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == IDLES
            && !self.uploads.load(Ordering::Relaxed)
            && !self.parked.load(Ordering::Relaxed)
            && !self.is_asked()
    }

    /// It is parked from now on, or no longer.
    pub fn parks(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    /// Some of the next head is there already.
    pub fn reads_head(&self) {
        self.enter(READS_HEAD);
    }

    pub fn ask(&self, wish: Wish) {
        self.wish.store(wish as u8 + 1, Ordering::Relaxed);
        self.wished.notify_one();
    }

    /// Whether a wish was told and still holds.
    pub fn is_asked(&self) -> bool {
        self.wish.load(Ordering::Relaxed) != 0
    }

    /// Resolves with each wish of the worker.
    pub async fn wished(&self) -> Wish {
        loop {
            self.wished.notified().await;
            let (wish, phase) =
                (self.wish.load(Ordering::Relaxed), self.phase.load(Ordering::Relaxed));
            if wish == Wish::Close as u8 + 1 {
                return Wish::Close;
            }
            if wish == Wish::Finish as u8 + 1 && phase != READS_HEAD {
                return Wish::Finish;
            }
            // hyper would close it at once, and the request would be lost: asked again later.
            self.wish.store(0, Ordering::Relaxed);
            if wish == Wish::Park as u8 + 1 && phase == IDLES {
                return Wish::Park;
            }
        }
    }

    /// Resolves when the stream is gone. One that was not dropped with its connection has become
    /// a tunnel.
    pub async fn gone(&self) {
        self.phase.store(TUNNELS, Ordering::Relaxed);
        self.gone.notified().await;
    }
}

/// A stream that notes when the first bytes of a head arrive.
pub struct Watched {
    stream: Rewound,
    activity: Arc<Activity>,
}

impl Watched {
    pub fn new(stream: Rewound, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    /// Resolves when bytes, or the end, can be read.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.activity.gone.notify_one();
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        ready!(read)?;
        let came = buffer.filled().len() > before;
        if came && self.activity.phase.load(Ordering::Relaxed) == IDLES {
            self.activity.enter(READS_HEAD);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Called when every byte has been written; what TLS still holds goes with the flush.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.activity.phase.load(Ordering::Relaxed) == FLUSHES {
            self.activity.enter(IDLES);
        }
        Poll::Ready(Ok(()))
    }

    /// A client in the middle of an upload would lose the answer, were the connection closed
    /// with bytes unread: that resets it (RFC 9112 §9.6). So what still comes is read and
    /// thrown away, until the client ends or falls silent.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        // Left as it is: to fill it with zeros would cost more than all else at a connection's end.
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
        loop {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.activity.enter(LINGERS);
                }
                Poll::Pending if self.activity.expects_more() => return Poll::Pending,
                Poll::Ready(_) | Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// An answer's body: when it is gone and written, its connection idles.
pub struct Served<B> {
    body: B,
    activity: Arc<Activity>,
}

impl<B> Served<B> {
    pub fn new(body: B, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl<B> Drop for Served<B> {
    fn drop(&mut self) {
        self.activity.phase.store(FLUSHES, Ordering::Relaxed);
    }
}

impl<B: Body + Unpin> Body for Served<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
