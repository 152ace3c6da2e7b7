//! A connection of HTTP/2 (RFC 9113): its bounds, and its streams as requests.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connection::{Activity, Watched, Wish};
use super::flood::FloodGate;
use super::gathered::gathered;
use super::peer::Peer;
use super::stream::Rewound;
use super::worker::{Application, Registered};

/// Requests at a time on one connection; browsers are content with 100.
const STREAMS: u32 = 128;

/// Bytes of a request body that a client may send ahead of what `CodeScan` has taken, for one
/// stream and for all of a connection. They bound memory, and with the round trip the speed.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of an answer's body that wait for a slow reader, besides the piece that was read last.
const SEND_BUFFER: usize = 128 * 1024;

/// Streams that were reset before they were looked at, and streams that we had to reset, before
/// the connection is ended (CVE-2023-44487 and its like).
const RESETS_UNSEEN: usize = 20;
const RESETS_OF_OURS: usize = 256;

/// How often a silent client is asked whether it is still there, and how long it may think.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

const REQUEST_ID: &str = "x-request-id";

/// Serves a connection to its end.
pub(super) async fn serve<A: Application>(place: &Registered<A>, stream: Rewound, peer: Peer) {
    let (this, activity) = (&place.worker, &place.activity);
    let service = service_fn(|request: Request<Incoming>| {
        let worker = Rc::clone(this);
        // Boxed, as hyper and tokio move what serves a stream about.
        Box::pin(async move {
            let mut answer = worker.application.answer(request, peer).await;
            keep_out_of_table(answer.headers_mut());
            Ok::<_, Infallible>(answer)
        })
    });
    let stream = FloodGate::new(Watched::new(stream, Arc::clone(activity)));
    let (stream, sender) = gathered(stream);
    let connection = builder(Streams::new(activity), this.application.head_buffer())
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    loop {
        let turn = poll_fn(|cx| {
            let served = connection.as_mut().poll(cx);
            // With an error the connection has ended.
            let sent = sender.poll_send(cx);
            if served.is_ready() || matches!(sent, Poll::Ready(Err(_))) {
                return Poll::Ready(());
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            // What a client did wrong on the wire is no news.
            () = turn => return,
            wish = activity.wished() => {
                let leaves = activity.takes_leave();
                if wish == Wish::Close && !leaves {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Has the id of a request sent as it is: none comes twice, so that in the table of fields (RFC 7541
/// §2.3.2) it would only push out those that do.
fn keep_out_of_table(fields: &mut HeaderMap) {
    if let Some(id) = fields.get_mut(REQUEST_ID) {
        id.set_sensitive(true);
    }
}

fn builder(streams: Streams, head_buffer: usize) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(head_buffer).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_OF_OURS)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

/// Runs what serves the streams of one connection, and knows how many there are: each request
/// until its answer is handed over, and each tunnel until it ends.
#[derive(Clone)]
struct Streams(Rc<Open>);

struct Open {
    count: Cell<usize>,
    activity: Arc<Activity>,
}

impl Streams {
    fn new(activity: &Arc<Activity>) -> Self {
        Self(Rc::new(Open { count: Cell::new(0), activity: Arc::clone(activity) }))
    }

    fn open(&self) -> Stream {
        self.0.count.set(self.0.count.get() + 1);
        self.0.activity.serves(false);
        Stream(Rc::clone(&self.0))
    }
}

/// One of them, while it lives.
struct Stream(Rc<Open>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.activity.rests();
        }
    }
}

impl<F: Future + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        let stream = self.open();
        // Ends with its connection, which tells the stream that nobody is there any more.
        drop(tokio::task::spawn_local(async move {
            future.await;
            drop(stream);
        }));
    }
}
