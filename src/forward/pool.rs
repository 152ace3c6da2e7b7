//! One worker's keep-alive connections to `CodeScan`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::bound::Bound;
use super::connect::{self, ConnectError, Protocol, Target};
use super::h1::connection::Connection;
use super::h2;
use super::h2::connections::Connections;
use crate::telemetry::worker_metrics::{Held, WorkerMetrics};

/// Shorter than the keep-alive of `CodeScan`'s web server (Tomcat: 20 s where nothing is set), so
/// that we let go first.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// Idle connections that a worker keeps.
const IDLE_AT_MOST: usize = 256;

pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    shared: Connections,
    bound: Arc<Bound>,
    metrics: Arc<WorkerMetrics>,
}

struct Idle {
    connection: Connection,
    target: Arc<Target>,
    since: Instant,
    _counted: Held,
}

/// A connection in use.
pub struct Lease {
    pub connection: Connection,
    pub place: Place,
    /// It has served before, and so may have been closed just now.
    pub is_reused: bool,
}

/// What a request goes out on.
pub enum Way {
    /// A connection of its own.
    Own(Lease),
    /// A stream of a shared one.
    Stream(h2::connection::Place),
}

/// Where a connection in use belongs. Dropped without [`Place::give_back`], the connection that
/// it was for is closed.
pub struct Place {
    target: Arc<Target>,
    pool: Rc<Pool>,
    _counted: Held,
}

impl Place {
    /// For a connection whose exchange ended cleanly on both sides.
    pub fn give_back(self, connection: Connection) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < IDLE_AT_MOST {
            idle.push(Idle {
                connection,
                target: self.target,
                since: Instant::now(),
                _counted: self.pool.metrics.hold(|worker| &worker.upstream_idle),
            });
        }
    }
}

impl Pool {
    pub fn new(metrics: Arc<WorkerMetrics>) -> Rc<Self> {
        let shared = Connections::new(Arc::clone(&metrics));
        Rc::new(Self { idle: RefCell::default(), shared, bound: Arc::default(), metrics })
    }

    /// What a request can go out on: what is there, else a new connection within `limit`. After a
    /// connection that was there has failed, `afresh`.
    pub(super) async fn way(
        self: &Rc<Self>,
        target: &Arc<Target>,
        upgrades: bool,
        afresh: bool,
        limit: Duration,
    ) -> Result<Way, ConnectError> {
        if let Some(way) = self.at_hand(target, upgrades, afresh) {
            return Ok(way);
        }
        let opened = timeout(limit, self.new_way(target, upgrades)).await;
        let opened = opened.unwrap_or(Err(ConnectError::Timeout(limit)));
        if opened.is_err() {
            self.metrics.upstream_connect_failed();
        }
        opened
    }

    fn at_hand(self: &Rc<Self>, target: &Arc<Target>, upgrades: bool, afresh: bool) -> Option<Way> {
        match target.protocol(upgrades) {
            Protocol::Http1 if afresh => None,
            Protocol::Http1 => self.reuse(target).map(Way::Own),
            Protocol::Http2 => self.shared.find(target).map(Way::Stream),
        }
    }

    /// One at a time opens a shared connection, and the others wait for room on it.
    async fn new_way(
        self: &Rc<Self>,
        target: &Arc<Target>,
        upgrades: bool,
    ) -> Result<Way, ConnectError> {
        while target.protocol(upgrades) == Protocol::Http2 {
            if let Some(place) = self.shared.find(target) {
                return Ok(Way::Stream(place));
            }
            tokio::select! {
                biased;
                () = self.shared.freed() => {}
                _turn = self.shared.turn() => {
                    if let Some(way) = self.at_hand(target, upgrades, false) {
                        return Ok(way);
                    }
                    return self.open(target, upgrades).await;
                }
            }
        }
        self.open(target, upgrades).await
    }

    async fn open(
        self: &Rc<Self>,
        target: &Arc<Target>,
        upgrades: bool,
    ) -> Result<Way, ConnectError> {
        let permit = self.bound.acquire(usize::MAX, 0).map_err(|_| ConnectError::Name)?;
        let (stream, protocol) = connect::connect(target, upgrades).await?;
        Ok(match protocol {
            Protocol::Http1 => Way::Own(self.lease(Connection::new(stream), target, false)),
            Protocol::Http2 => Way::Stream(self.shared.join(stream, target, permit).await?),
        })
    }

    /// An idle connection to the same target that is still open, the youngest first.
    fn reuse(self: &Rc<Self>, target: &Arc<Target>) -> Option<Lease> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            let is_fresh = idle.since.elapsed() <= IDLE_FOR;
            if is_fresh && Arc::ptr_eq(&idle.target, target) && idle.connection.is_quiet() {
                return Some(self.lease(idle.connection, target, true));
            }
        }
    }

    /// Closes what has been idle too long or was closed by the other side, and lets the rest go
    /// without its buffers.
    pub(super) fn sweep(&self, now: Instant) {
        self.shared.sweep(IDLE_FOR, now);
        self.idle.borrow_mut().retain_mut(|idle| {
            let is_fresh = now.saturating_duration_since(idle.since) <= IDLE_FOR;
            let stays = is_fresh && idle.connection.is_quiet();
            idle.connection.rest();
            stays
        });
    }

    fn lease(
        self: &Rc<Self>,
        connection: Connection,
        target: &Arc<Target>,
        is_reused: bool,
    ) -> Lease {
        let place = Place {
            target: Arc::clone(target),
            pool: Rc::clone(self),
            _counted: self.metrics.hold(|worker| &worker.upstream_active),
        };
        Lease { connection, place, is_reused }
    }
}
