//! The shared connections of one worker: one as a rule, more where `CodeScan` limits streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::connection::{Bells, Connection, Place};
use crate::forward::bound::Permit;
use crate::forward::connect::{ConnectError, Stream, Target};
use crate::telemetry::worker_metrics::Held;

#[derive(Default)]
pub struct Connections {
    open: RefCell<Vec<Rc<Connection>>>,
    /// Who holds it opens a connection. The others wait, and then find room on that one.
    opening: Mutex<()>,
    bells: Rc<Bells>,
}

impl Connections {
    /// Room on a connection that is open, the first that has some, so that the others come to
    /// rest and are closed.
    pub fn find(&self, target: &Arc<Target>) -> Option<Place> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| connection.serves(target));
        open.iter().find_map(Connection::place)
    }

    /// Resolves when there may be room. For one who waits, in turn.
    pub async fn freed(&self) {
        self.bells.freed.notified().await;
    }

    /// Resolves when a connection has come to rest.
    pub async fn rested(&self) {
        self.bells.rested.notified().await;
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
        counted: Held,
    ) -> Result<Place, ConnectError> {
        let opening = Connection::open(stream, target, permit, counted, &self.bells);
        let connection = opening.await?;
        let place = connection.place();
        self.open.borrow_mut().push(connection);
        self.bells.freed.notify_waiters();
        place.ok_or_else(|| ConnectError::Http("it takes no stream".to_owned()))
    }

    /// Lets go of those that were ended, and of those that have carried nothing for `limit`.
    pub fn sweep(&self, limit: Duration, now: Instant) {
        let stays = |it: &Rc<Connection>| it.is_open() && !it.has_rested(limit, now);
        self.open.borrow_mut().retain(stays);
    }

    /// Lets go of all that carry nothing.
    pub fn release_idle(&self) {
        self.open.borrow_mut().retain(|connection| !connection.is_idle());
    }

    /// How many carry nothing.
    pub fn idle(&self) -> usize {
        self.open.borrow().iter().filter(|connection| connection.is_idle()).count()
    }
}
