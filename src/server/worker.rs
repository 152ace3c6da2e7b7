//! One worker: takes connections, serves them on one thread, and looks after them once a tick.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::accept_faults::AcceptFaults;
use super::capacity::{Place, Share};
use super::connection::{Activity, Limits, Wish};
use super::drain::{Drain, Phase};
use super::entrance::{self, Entrance};
use super::listen::Listener;
use super::peer::Peer;
use super::stream::ClientStream;
use crate::telemetry::worker_metrics::WorkerMetrics;

/// How often a worker looks after things.
pub const TICK: Duration = Duration::from_millis(500);

/// While draining: how long a client may take for a head, as it may have none to send.
const DRAIN_HEADER: Duration = Duration::from_secs(1);

/// Connections that are not parked before the next tick, whatever follows them.
const NEWCOMERS: usize = 64;

/// How long a draining worker takes those who wait in the queue.
const REST_OF_QUEUE: Duration = Duration::from_millis(50);

/// Answers requests. Shared by all connections of one worker.
pub trait Application: 'static {
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Unpin
        + 'static;

    /// Answers one request. Dropped when the client leaves.
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
    share: Share,
    phase: Cell<Phase>,
    accept_faults: AcceptFaults,
    connections: RefCell<HashMap<u64, Arc<Activity>>>,
    /// The numbers of those that were taken in last.
    newcomers: RefCell<VecDeque<u64>>,
    next: Cell<u64>,
}

impl<A: Application> Worker<A> {
    pub fn new(application: A, metrics: Arc<WorkerMetrics>, share: Share) -> Rc<Self> {
        Rc::new(Self {
            application,
            metrics,
            share,
            phase: Cell::new(Phase::Serving),
            accept_faults: AcceptFaults::default(),
            connections: RefCell::default(),
            newcomers: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Serves until draining has begun and the last connection is gone, or those that are left
    /// shall be cut: they are, when the runtime is dropped. Must run within a `LocalRuntime`.
    pub async fn run(self: Rc<Self>, listener: Listener, mut drain: Drain) {
        let ticking = tokio::task::spawn_local(Rc::clone(&self).keep_ticking());
        tokio::select! {
            () = self.accept_all(&listener) => {}
            () = self.follow(&mut drain) => {}
        }
        self.accept_rest(&listener).await;
        drop(listener);
        self.look_after_all(Instant::now());
        let mut waiting = interval(Duration::from_millis(20));
        while !self.connections.borrow().is_empty() {
            tokio::select! {
                _ = waiting.tick() => {}
                () = drain.reached(Phase::Cutting) => break,
            }
        }
        ticking.abort();
        self.application.tick(Instant::now());
    }

    async fn follow(&self, drain: &mut Drain) {
        for phase in [Phase::Leaving, Phase::Draining] {
            drain.reached(phase).await;
            self.phase.set(phase);
        }
    }

    async fn accept_all(self: &Rc<Self>, listener: &Listener) {
        let limit = || self.application.limits().connections;
        loop {
            let place = self.share.place(limit, || listener.has_waiting()).await;
            match listener.accept().await {
                Ok((stream, peer)) => self.take_in(place, stream, peer),
                Err(error) => self.accept_faults.handle(&error).await,
            }
        }
    }

    /// Takes those who wait in the queue when draining begins: the kernel told them that they
    /// are connected.
    async fn accept_rest(self: &Rc<Self>, listener: &Listener) {
        if listener.has_waiting() {
            let _ = timeout(REST_OF_QUEUE, self.accept_all(listener)).await;
        }
    }

    fn take_in(self: &Rc<Self>, place: Place, stream: ClientStream, peer: Peer) {
        self.metrics.connection_accepted();
        self.park_one_of_a_crowd();
        // Known before it runs, so that a drain that begins now does not pass it by.
        let activity = Activity::begin(Instant::now());
        let place = Registered::new(Rc::clone(self), activity, place.occupied());
        // Dropped with the runtime, which lives as long as the worker.
        drop(tokio::task::spawn_local(entrance::serve(place, stream, peer)));
    }

    /// When many come between two ticks, those who came before them are parked at once if they
    /// idle: so the many share the memory that their requests need for a moment.
    fn park_one_of_a_crowd(&self) {
        let mut newcomers = self.newcomers.borrow_mut();
        newcomers.push_back(self.next.get());
        if newcomers.len() > NEWCOMERS
            && let Some(number) = newcomers.pop_front()
            && let Some(activity) = self.connections.borrow().get(&number)
            && activity.idles_whole()
        {
            self.park(activity);
        }
    }

    fn park(&self, activity: &Activity) {
        self.metrics.connection_parked();
        activity.ask(Wish::Park);
    }

    async fn keep_ticking(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = Instant::now();
                    self.application.tick(now);
                    self.look_after_all(now);
                }
                () = self.share.called() => self.make_room(),
            }
        }
    }

    /// Closes what is overdue, and while draining asks everybody else to finish.
    fn look_after_all(&self, now: Instant) {
        let mut limits = self.application.limits();
        let drains = self.phase.get() >= Phase::Draining;
        if drains {
            limits.header = limits.header.min(DRAIN_HEADER);
        }
        let mut longest_idle = None;
        for activity in self.connections.borrow().values() {
            if activity.is_overdue(limits, now) {
                activity.ask(Wish::Close);
            } else if drains && !activity.is_asked() {
                activity.ask(Wish::Finish);
            } else if activity.may_park(now) {
                self.park(activity);
            }
            longest_idle = earlier(longest_idle, activity.idle_since());
        }
        self.share.tell(longest_idle);
    }

    /// Has the longest idle connection closed if that is wanted, and tells of the one after it.
    fn make_room(&self) {
        let connections = self.connections.borrow();
        let idle = |activity: &&Arc<Activity>| activity.idle_since().is_some();
        let all_idle = || connections.values().filter(idle);
        if self.share.shall_close()
            && let Some(longest) = all_idle().min_by_key(|activity| activity.idle_since())
        {
            longest.ask(Wish::Finish);
        }
        self.share.tell(all_idle().filter_map(|activity| activity.idle_since()).min());
    }

    /// HTTP/1.1: says in an answer that its connection ends with it, once others may not follow.
    pub(super) fn say_farewell<B>(&self, answer: &mut Response<B>) {
        if self.phase.get() >= Phase::Leaving {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The earlier of two moments, where there are two.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// A connection's place among its worker's.
pub(super) struct Registered<A> {
    pub(super) worker: Rc<Worker<A>>,
    number: u64,
    pub(super) activity: Arc<Activity>,
    _place: Place,
}

impl<A> Registered<A> {
    fn new(worker: Rc<Worker<A>>, activity: Arc<Activity>, place: Place) -> Self {
        let number = worker.next.get();
        worker.next.set(number + 1);
        worker.connections.borrow_mut().insert(number, Arc::clone(&activity));
        Self { worker, number, activity, _place: place }
    }
}

impl<A> Drop for Registered<A> {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.number);
    }
}
