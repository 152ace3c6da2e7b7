//! One connection: its bounds, the task that moves it, and the streams on it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::error::StreamError;
use crate::forward::bound::Permit;
use crate::forward::connect::{ConnectError, Stream, Target};
use crate::telemetry::worker_metrics::Held;

/// Requests at a time on one connection, whatever more `CodeScan` would take.
const STREAMS: u32 = 100;

/// Bytes of an answer that wait for a slow reader. The window of the connection has room for that
/// on every stream, so that slow readers never stop the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// Bytes of a request's body that wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// Bytes of an answer's head, as RFC 9113 §6.5.2 counts them.
const LARGEST_HEAD: u32 = 64 * 1024;

/// Streams that we reset and may still hear of, and those that we had to reset because of what
/// came on them, before the connection is ended.
const RESETS_REMEMBERED: usize = 128;
const RESETS_OF_OURS: usize = 256;

/// How often the other side is asked whether it is still there, and how long it may think.
const PING_AFTER: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// How long saying goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// A connection that can be shared. It is closed when nobody holds it any more: neither the
/// worker nor a stream.
pub struct Connection {
    sender: RefCell<SendRequest<Bytes>>,
    target: Arc<Target>,
    streams: Cell<u32>,
    has_served: Cell<bool>,
    /// When the last stream ended.
    idle_since: Cell<Instant>,
    counted: RefCell<Held>,
    bells: Rc<Bells>,
    unused: Rc<Notify>,
}

impl Connection {
    /// Greets, and waits for the settings of the other side: without them nobody knows how many
    /// streams it takes, nor whether it speaks HTTP/2 at all. Waits for ever; dropped, it closes
    /// the connection. `permit` is held until that is closed.
    pub(super) async fn open(
        stream: Stream,
        target: &Arc<Target>,
        permit: Permit,
        counted: Held,
        bells: &Rc<Bells>,
    ) -> Result<Rc<Self>, ConnectError> {
        let (sender, mut driver) = builder().handshake(stream).await.map_err(no_http2)?;
        poll_fn(|cx| poll_settings(&sender, &mut driver, cx)).await?;
        let unused = Rc::new(Notify::new());
        tokio::task::spawn_local(drive(driver, Rc::clone(&unused), permit));
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            target: Arc::clone(target),
            streams: Cell::new(0),
            has_served: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            counted: RefCell::new(counted),
            bells: Rc::clone(bells),
            unused,
        }))
    }

    /// Whether new requests to this target may go out on it.
    pub(super) fn serves(&self, target: &Arc<Target>) -> bool {
        Arc::ptr_eq(&self.target, target) && self.is_open()
    }

    /// Whether it is there, and the other side has not said goodbye.
    pub(super) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.borrow_mut().poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Room for one more stream, if there is.
    pub(super) fn place(self: &Rc<Self>) -> Option<Place> {
        let taken = self.sender.borrow().current_max_send_streams();
        let most = u32::try_from(taken).map_or(STREAMS, |most| most.min(STREAMS));
        if self.streams.get() >= most {
            return None;
        }
        if self.streams.replace(self.streams.get() + 1) == 0 {
            self.counted.borrow_mut().becomes(|worker| &worker.upstream_active);
        }
        let is_reused = self.has_served.replace(true);
        Some(Place { connection: Rc::clone(self), is_reused })
    }

    /// Whether it carries nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// Whether it has carried nothing for longer than this.
    pub(super) fn has_rested(&self, limit: Duration, now: Instant) -> bool {
        self.is_idle() && now.saturating_duration_since(self.idle_since.get()) > limit
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.unused.notify_one();
    }
}

/// Rung when streams end.
#[derive(Default)]
pub(super) struct Bells {
    /// There may be room for one more.
    pub freed: Notify,
    /// A connection carries nothing any more.
    pub rested: Notify,
}

/// Room for one stream on a connection.
pub struct Place {
    connection: Rc<Connection>,
    is_reused: bool,
}

impl Place {
    /// Whether the connection has served before, and so may have been closed just now.
    pub fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Sends the head of a request.
    pub(super) fn open(
        &self,
        head: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A handle of its own: one waits for the stream that it has opened.
        self.connection.sender.borrow().clone().send_request(head, ends)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        // First, so that one of this worker takes the room before a connection at rest makes
        // room for others.
        connection.bells.freed.notify_one();
        if connection.streams.replace(connection.streams.get() - 1) == 1 {
            connection.idle_since.set(Instant::now());
            connection.counted.borrow_mut().becomes(|worker| &worker.upstream_idle);
            connection.bells.rested.notify_one();
        }
    }
}

fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        // None before it has said how many it takes.
        .initial_max_send_streams(0)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(LARGEST_HEAD)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .max_local_error_reset_streams(Some(RESETS_OF_OURS));
    builder
}

type Driver = client::Connection<Stream, Bytes>;

/// Moves a new connection until the first settings have come.
fn poll_settings(
    sender: &SendRequest<Bytes>,
    driver: &mut Driver,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ConnectError>> {
    let moved = Pin::new(driver).poll(cx);
    if sender.current_max_send_streams() > 0 {
        return Poll::Ready(Ok(()));
    }
    moved.map(|ended| match ended {
        Ok(()) => Err(ConnectError::Http("it was closed at once".to_owned())),
        Err(error) => Err(no_http2(error)),
    })
}

fn no_http2(error: h2::Error) -> ConnectError {
    ConnectError::Http(StreamError::from(error).to_string())
}

/// Moves a connection until it ends, nobody uses it any more, or nobody answers on it. Then it is
/// dropped, which ends the streams that are left.
async fn drive(mut driver: Driver, unused: Rc<Notify>, permit: Permit) {
    let pings = driver.ping_pong();
    tokio::select! {
        ended = &mut driver => {
            if let Err(error) = ended {
                tracing::debug!("a connection to CodeScan: {}", StreamError::from(error));
            }
        }
        // Moved on, it sees that nobody is left, and says goodbye.
        () = unused.notified() => drop(timeout(GOODBYE_WITHIN, &mut driver).await),
        () = silence(pings) => tracing::warn!("CodeScan no longer answers on a connection"),
    }
    drop(driver);
    drop(permit);
}

/// Resolves when the other side does not answer a ping in time.
async fn silence(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(PING_AFTER).await;
        if !matches!(timeout(PONG_WITHIN, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_answers_pings_is_there_and_who_does_not_is_not() {
        let (ours, theirs) = duplex(64 * 1024);
        let server = tokio::spawn(async move {
            let mut server = h2::server::handshake(theirs).await.expect("a connection");
            // Nothing is asked for; meanwhile pings are answered.
            let _ = timeout(10 * PING_AFTER, server.accept()).await;
            std::future::pending::<()>().await;
        });
        let (_sender, mut driver) = client::handshake(ours).await.expect("a connection");
        let pings = driver.ping_pong();
        tokio::spawn(driver);
        let began = tokio::time::Instant::now();
        silence(pings).await;
        assert!(began.elapsed() >= 10 * PING_AFTER, "{:?}", began.elapsed());
        assert!(began.elapsed() <= 11 * PING_AFTER + PONG_WITHIN, "{:?}", began.elapsed());
        server.abort();
    }
}
