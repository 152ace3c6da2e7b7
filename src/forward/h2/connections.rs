//! The shared connections of one worker: one as a rule, more where `CodeScan` limits streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, Notify};

use super::connection::{Connection, Place};
use crate::forward::bound::Permit;
use crate::forward::connect::{ConnectError, Stream, Target};
use crate::telemetry::worker_metrics::WorkerMetrics;

pub struct Connections {
    open: RefCell<Vec<Rc<Connection>>>,
    /// Who holds it opens a connection. The others wait, and then find room on that one.
    opening: Mutex<()>,
    /// Rung when there may be room.
    freed: Rc<Notify>,
    metrics: Arc<WorkerMetrics>,
}

impl Connections {
    pub fn new(metrics: Arc<WorkerMetrics>) -> Self {
        Self { open: RefCell::default(), opening: Mutex::default(), freed: Rc::default(), metrics }
    }

    /// Room on a connection that is open, the first that has some, so that the others come to
    /// rest and are closed.
    pub fn find(&self, target: &Arc<Target>) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.serves(target));
        open.iter().find_map(Connection::place)
    }

    /// Resolves when there may be room. For one who waits, in turn.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits for the turn to open a connection.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Makes a fresh connection one of these, and takes the first stream on it.
    pub async fn join(
        &self,
        stream: Stream,
        target: &Arc<Target>,
        permit: Permit,
    ) -> Result<Place, ConnectError> {
        let opening = Connection::open(stream, target, permit, &self.metrics, &self.freed);
        let connection = opening.await?;
        let place = connection.place();
        self.open.borrow_mut().push(connection);
        self.freed.notify_waiters();
        place.ok_or_else(|| ConnectError::Http("it takes no stream".to_owned()))
    }

    /// Lets go of those that have carried nothing for `limit`.
    pub fn sweep(&self, limit: Duration, now: Instant) {
        self.open.borrow_mut().retain(|connection| !connection.has_rested(limit, now));
    }

    /// Lets go of all that carry nothing; tells how many that were.
    pub fn release_idle(&self) -> usize {
        let mut open = self.open.borrow_mut();
        let before = open.len();
        open.retain(|connection| !connection.is_idle());
        before - open.len()
    }

    /// How many carry nothing.
    pub fn idle(&self) -> usize {
        self.open.borrow().iter().filter(|connection| connection.is_idle()).count()
    }
}
