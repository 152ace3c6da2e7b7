//! One worker: takes connections, serves them on one thread, and looks after them once a tick.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::{Activity, Limits, Served, Watched, Wish};
use super::drain::Drain;
use super::entrance::{self, Entrance};
use super::listen::Listener;
use super::peer::Peer;
use super::raw_head::{Followed, Verdicts};
use super::stream::Rewound;
use crate::telemetry::worker_metrics::WorkerMetrics;

/// How often a worker looks after things.
pub const TICK: Duration = Duration::from_millis(500);

/// Rest after an `accept` that failed, as it does when files run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Answers requests. Shared by all connections of one worker.
pub trait Application: 'static {
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Unpin
        + 'static;

    /// Answers one request; one with a [`HeadFault`](super::raw_head::HeadFault) among its
    /// extensions must be refused and its connection closed. Dropped when the client leaves.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Self::Body>>;

    /// Called every [`TICK`]; must not block.
    fn tick(&self, now: Instant);

    /// Limits as they are now.
    fn limits(&self) -> Limits;

    /// Bytes of a head that the parser takes in: more than the limit that is told to people, so
    /// that they get a page.
    fn head_buffer(&self) -> usize;

    /// How a connection of this peer comes in, as the settings are now.
    fn entrance(&self, peer: Peer) -> Entrance;
}

/// A worker's connections and what serves them.
pub struct Worker<A> {
    pub(super) application: A,
    pub(super) metrics: Arc<WorkerMetrics>,
    connections: RefCell<HashMap<u64, Arc<Activity>>>,
    next: Cell<u64>,
}

impl<A: Application> Worker<A> {
    pub fn new(application: A, metrics: Arc<WorkerMetrics>) -> Rc<Self> {
        Rc::new(Self { application, metrics, connections: RefCell::default(), next: Cell::new(0) })
    }

    /// Serves until draining has begun and the last connection is gone. Must run within a
    /// `LocalRuntime`.
    pub async fn run(self: Rc<Self>, listener: Listener, mut drain: Drain) {
        let ticking = tokio::task::spawn_local(Rc::clone(&self).keep_ticking());
        tokio::select! {
            () = self.accept_all(&listener) => {}
            () = drain.begun() => {}
        }
        drop(listener);
        for activity in self.connections.borrow().values() {
            activity.ask(Wish::Finish);
        }
        let mut waiting = interval(Duration::from_millis(20));
        while !self.connections.borrow().is_empty() {
            waiting.tick().await;
        }
        ticking.abort();
        self.application.tick(Instant::now());
    }

    async fn accept_all(self: &Rc<Self>, listener: &Listener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.metrics.connection_accepted();
                    // Known before it runs, so that a drain that begins now does not pass it by.
                    let place = Registered::new(Rc::clone(self), Activity::begin(Instant::now()));
                    // Dropped with the runtime, which lives as long as the worker.
                    drop(tokio::task::spawn_local(entrance::serve(place, stream, peer)));
                }
                Err(error) => {
                    rest(&error).await;
                }
            }
        }
    }

    async fn keep_ticking(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            self.application.tick(now);
            let limits = self.application.limits();
            for activity in self.connections.borrow().values() {
                if activity.is_overdue(limits, now) {
                    activity.ask(Wish::Close);
                }
            }
        }
    }
}

async fn rest(error: &io::Error) {
    tracing::warn!(%error, "the public listener cannot take a connection");
    tokio::time::sleep(ACCEPT_REST).await;
}

/// Serves a connection of HTTP/1.1, and of HTTP/1.0.
pub(super) async fn serve_http1<A: Application>(
    place: &Registered<A>,
    stream: Rewound,
    peer: Peer,
) {
    let (this, activity) = (&place.worker, &place.activity);
    let verdicts = Arc::new(Verdicts::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        activity.serves(!request.body().is_end_stream());
        if let Err(fault) = verdicts.take() {
            request.extensions_mut().insert(fault);
        }
        let activity = Arc::clone(activity);
        let verdicts = Arc::clone(&verdicts);
        let worker = Rc::clone(this);
        async move {
            let answer = worker.application.answer(request, peer).await;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                verdicts.tunnels();
            }
            Ok::<_, Infallible>(answer.map(|body| Served::new(body, activity)))
        }
    });
    let watched = Watched::new(stream, Arc::clone(activity));
    let io = TokioIo::new(Followed::new(watched, Arc::clone(&verdicts)));
    let connection = http1::Builder::new()
        // At most 100 fields, as is the parser's default: to allow more costs each request two
        // allocations of several KiB.
        .max_buf_size(this.application.head_buffer())
        // The tick sees to it.
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(connection);
    loop {
        tokio::select! {
            // What a client did wrong on the wire is no news.
            _ = connection.as_mut() => return,
            wish = activity.wished() => match wish {
                Wish::Finish => connection.as_mut().graceful_shutdown(),
                Wish::Close => return,
            },
        }
    }
}

/// A connection's place among its worker's.
pub(super) struct Registered<A> {
    pub(super) worker: Rc<Worker<A>>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl<A> Registered<A> {
    fn new(worker: Rc<Worker<A>>, activity: Arc<Activity>) -> Self {
        let number = worker.next.get();
        worker.next.set(number + 1);
        worker.connections.borrow_mut().insert(number, Arc::clone(&activity));
        Self { worker, number, activity }
    }
}

impl<A> Drop for Registered<A> {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.number);
    }
}
