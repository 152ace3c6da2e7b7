//! One worker's keep-alive connections to `CodeScan`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connect::{self, ConnectError, Target};
use super::h1::connection::Connection;
use crate::telemetry::worker_metrics::{Held, WorkerMetrics};

/// Shorter than the keep-alive of `CodeScan`'s web server (Tomcat: 20 s where nothing is set), so
/// that we let go first.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// Idle connections that a worker keeps.
const IDLE_AT_MOST: usize = 256;

pub struct Pool {
    idle: RefCell<Vec<Idle>>,
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
        Rc::new(Self { idle: RefCell::default(), metrics })
    }

    /// An idle connection to the same target that is still open, the youngest first.
    pub(super) fn reuse(self: &Rc<Self>, target: &Arc<Target>) -> Option<Lease> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            let is_fresh = idle.since.elapsed() <= IDLE_FOR;
            if is_fresh && Arc::ptr_eq(&idle.target, target) && idle.connection.is_quiet() {
                return Some(self.lease(idle.connection, target));
            }
        }
    }

    pub(super) async fn connect(
        self: &Rc<Self>,
        target: &Arc<Target>,
        limit: Duration,
    ) -> Result<Lease, ConnectError> {
        match connect::connect(target, true, limit).await {
            Ok((stream, _)) => Ok(self.lease(Connection::new(stream), target)),
            Err(error) => {
                self.metrics.upstream_connect_failed();
                Err(error)
            }
        }
    }

    /// Closes what has been idle too long or was closed by the other side, and lets the rest go
    /// without its buffers.
    pub(super) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain_mut(|idle| {
            let is_fresh = now.saturating_duration_since(idle.since) <= IDLE_FOR;
            let stays = is_fresh && idle.connection.is_quiet();
            idle.connection.rest();
            stays
        });
    }

    fn lease(self: &Rc<Self>, connection: Connection, target: &Arc<Target>) -> Lease {
        let place = Place {
            target: Arc::clone(target),
            pool: Rc::clone(self),
            _counted: self.metrics.hold(|worker| &worker.upstream_active),
        };
        Lease { connection, place }
    }
}
