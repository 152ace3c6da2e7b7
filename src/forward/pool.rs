//! One worker's keep-alive connections to `CodeScan`, within the [`Bound`] of the whole program.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};

use super::ForwardError;
use super::bound::{Bound, Grant, Lender, Permit, Ticket};
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

/// Who waited for a connection in vain is told to come back after this.
const COME_BACK_AFTER: Duration = Duration::from_secs(5);

pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// Kept for the one of this worker with this number, who waits for it.
    handed: RefCell<Vec<(u64, Idle)>>,
    shared: Connections,
    bound: Arc<Bound>,
    /// Its number there.
    worker: usize,
    lender: Arc<Lender>,
    /// Who asked for a connection last had to wait.
    is_full: Cell<bool>,
    /// As of the last tick.
    now: Cell<Instant>,
    metrics: Arc<WorkerMetrics>,
}

struct Idle {
    connection: Box<Connection>,
    target: Arc<Target>,
    since: Instant,
    permit: Permit,
    counted: Held,
}

/// A connection in use.
pub struct Lease {
    pub connection: Box<Connection>,
    pub place: Place,
}

/// What a request goes out on.
pub enum Way {
    /// A connection of its own.
    Alone(Lease),
    /// A stream of a shared one.
    Stream(h2::connection::Place),
}

impl Way {
    /// Whether the connection has served before, and so may have been closed just now.
    pub fn is_reused(&self) -> bool {
        match self {
            Self::Alone(lease) => lease.place.is_reused,
            Self::Stream(place) => place.is_reused(),
        }
    }
}

/// Where a connection in use belongs. Dropped without [`Place::give_back`], the connection that
/// it was for is closed.
pub struct Place {
    target: Arc<Target>,
    pool: Rc<Pool>,
    permit: Permit,
    counted: Held,
    is_reused: bool,
}

impl Place {
    /// For a connection whose exchange ended cleanly on both sides.
    pub fn give_back(self, connection: Box<Connection>) {
        let Self { target, pool, permit, mut counted, .. } = self;
        counted.becomes(|worker| &worker.upstream_idle);
        let since = pool.now.get();
        pool.keep(Idle { connection, target, since, permit, counted });
    }

    /// The answer is an event stream, whose end nobody knows.
    pub fn streams(&mut self) {
        self.counted.becomes(|worker| &worker.upstream_streaming);
    }

    /// The connection has gone on as another protocol.
    pub fn tunnels(&mut self) {
        self.counted.becomes(|worker| &worker.upstream_tunnel);
    }
}

impl Pool {
    /// Must be called on the runtime of its worker.
    pub fn new(metrics: Arc<WorkerMetrics>, bound: Arc<Bound>) -> Rc<Self> {
        let (worker, lender) = bound.enter();
        let pool = Rc::new(Self {
            idle: RefCell::default(),
            handed: RefCell::default(),
            shared: Connections::default(),
            is_full: Cell::new(false),
            bound,
            worker,
            lender,
            now: Cell::new(Instant::now()),
            metrics,
        });
        tokio::task::spawn_local(lend(Rc::clone(&pool)));
        pool
    }

    /// What is there already for a request to this target.
    pub(super) fn at_hand(self: &Rc<Self>, target: &Arc<Target>, upgrades: bool) -> Option<Way> {
        match target.protocol(upgrades) {
            Protocol::Http1 => self.reuse(target).map(Way::Alone),
            Protocol::Http2 => self.shared.find(target).map(Way::Stream),
        }
    }

    /// A connection of the program's bound, or a stream of one that others have opened. Who has
    /// waited for `limit` in vain gets [`ForwardError::Overloaded`]. May be dropped at any time.
    pub(super) async fn open(
        self: &Rc<Self>,
        target: &Arc<Target>,
        upgrades: bool,
        limit: Duration,
    ) -> Result<Way, ForwardError> {
        if target.protocol(upgrades) == Protocol::Http2 {
            return self.share(target, limit).await;
        }
        let permit = match self.permit(limit).await? {
            Waited::Permit(permit) => permit,
            Waited::Handed(idle) => match self.wake(idle, target) {
                Ok(lease) => return Ok(Way::Alone(lease)),
                Err(permit) => permit,
            },
        };
        self.connect(target, upgrades, permit, limit).await
    }

    /// Room on a shared connection, or, where `CodeScan` has only HTTP/1.1, a connection.
    async fn share(
        self: &Rc<Self>,
        target: &Arc<Target>,
        limit: Duration,
    ) -> Result<Way, ForwardError> {
        let by = Instant::now() + limit;
        let found = timeout_at(by.into(), self.find_or_connect(target, limit)).await;
        found.unwrap_or_else(|_| {
            let too_late = ConnectError::Timeout(limit).into();
            Err(if self.is_full.get() { OVERLOADED } else { too_late })
        })
    }

    /// One at a time opens a connection, and the others find room on it; or on one that is there,
    /// if that comes first.
    async fn find_or_connect(
        self: &Rc<Self>,
        target: &Arc<Target>,
        limit: Duration,
    ) -> Result<Way, ForwardError> {
        loop {
            if let Some(way) = self.at_hand(target, false) {
                return Ok(way);
            }
            let _turn = tokio::select! {
                biased;
                () = self.shared.freed() => continue,
                turn = self.shared.turn() => turn,
            };
            if let Some(way) = self.at_hand(target, false) {
                return Ok(way);
            }
            let permit = tokio::select! {
                biased;
                () = self.shared.freed() => continue,
                waited = self.permit(limit) => waited?.into_permit(),
            };
            return self.connect(target, false, permit, limit).await;
        }
    }

    /// An idle connection to the same target that is still open, the youngest first.
    fn reuse(self: &Rc<Self>, target: &Arc<Target>) -> Option<Lease> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            self.tell_idle();
            if let Ok(lease) = self.wake(idle, target) {
                return Some(lease);
            }
        }
    }

    /// The right to open a connection, or one that somebody else has done with.
    async fn permit(&self, limit: Duration) -> Result<Waited, ForwardError> {
        let waited = match self.bound.acquire(self.worker) {
            Ok(permit) => Ok(Waited::Permit(permit)),
            Err(ticket) => {
                self.is_full.set(true);
                self.wait(ticket, limit).await
            }
        };
        self.is_full.set(waited.is_err());
        waited
    }

    async fn connect(
        self: &Rc<Self>,
        target: &Arc<Target>,
        upgrades: bool,
        permit: Permit,
        limit: Duration,
    ) -> Result<Way, ForwardError> {
        let counted = self.metrics.hold(|worker| &worker.upstream_active);
        let connecting = async {
            let (stream, protocol) = connect::connect(target, upgrades).await?;
            if protocol == Protocol::Http2 {
                return self.shared.join(stream, target, permit, counted).await.map(Way::Stream);
            }
            let (target, pool) = (Arc::clone(target), Rc::clone(self));
            let place = Place { target, pool, permit, counted, is_reused: false };
            Ok(Way::Alone(Lease { connection: Box::new(Connection::new(stream)), place }))
        };
        let connected = timeout(limit, connecting).await;
        connected.unwrap_or(Err(ConnectError::Timeout(limit))).map_err(|error| {
            self.metrics.upstream_connect_failed();
            error.into()
        })
    }

    /// Closes what has been idle too long or was closed by the other side, and lets the rest go
    /// without its buffers. Called from the worker's tick.
    pub(super) fn sweep(&self, now: Instant, max_connections: usize) {
        self.now.set(now);
        self.bound.limit_to(max_connections);
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            let stays = idle.is_fresh(now) && idle.connection.is_quiet();
            idle.connection.rest();
            stays
        });
        drop(idle);
        self.shared.sweep(IDLE_FOR, now);
        self.tell_idle();
    }

    fn tell_idle(&self) {
        self.lender.has(self.idle.borrow().len() + self.shared.idle());
    }

    async fn wait(&self, ticket: Ticket, limit: Duration) -> Result<Waited, ForwardError> {
        let mut waiting = Waiting { ticket, pool: self };
        match timeout(limit, &mut waiting.ticket.granted).await {
            Ok(Ok(Grant::Permit(permit))) => Ok(Waited::Permit(permit)),
            Ok(Ok(Grant::Handed)) => waiting.take().map(Waited::Handed).ok_or(OVERLOADED),
            Ok(Err(_)) | Err(_) => Err(OVERLOADED),
        }
    }

    /// Makes use of an idle connection, or of its permit alone.
    fn wake(self: &Rc<Self>, mut idle: Idle, target: &Arc<Target>) -> Result<Lease, Permit> {
        let is_right = Arc::ptr_eq(&idle.target, target);
        if !(is_right && idle.is_fresh(self.now.get()) && idle.connection.is_quiet()) {
            return Err(idle.permit);
        }
        let Idle { connection, target, permit, mut counted, .. } = idle;
        counted.becomes(|worker| &worker.upstream_active);
        let place = Place { target, pool: Rc::clone(self), permit, counted, is_reused: true };
        Ok(Lease { connection, place })
    }

    /// Keeps a connection, unless somebody waits for it.
    fn keep(&self, idle: Idle) {
        let Some(idle) = self.hand(idle) else { return };
        if self.idle.borrow().len() >= IDLE_AT_MOST {
            return;
        }
        self.idle.borrow_mut().push(idle);
        self.tell_idle();
        // Who began to wait before this was said has not seen it.
        if self.bound.is_waited_for() {
            self.lend();
        }
    }

    /// Gives a connection to who waits longest: as it is to one of this worker, and else the
    /// right to open another. Returns it if nobody waits.
    fn hand(&self, mut idle: Idle) -> Option<Idle> {
        while self.bound.is_waited_for() {
            let waiter = self.bound.next_of(self.worker)?;
            let number = waiter.number;
            self.handed.borrow_mut().push((number, idle));
            if waiter.hand() {
                return None;
            }
            idle = self.take_handed(number)?;
        }
        Some(idle)
    }

    fn take_handed(&self, number: u64) -> Option<Idle> {
        let mut handed = self.handed.borrow_mut();
        let at = handed.iter().position(|(of, _)| *of == number)?;
        Some(handed.swap_remove(at).1)
    }

    /// Closes idle connections, the longest idle first, as long as somebody waits.
    fn lend(&self) {
        while self.bound.is_waited_for() {
            let mut all = self.idle.borrow_mut();
            if all.is_empty() {
                break;
            }
            let oldest = all.remove(0);
            drop(all);
            drop(oldest);
        }
        if self.bound.is_waited_for() {
            self.shared.release_idle();
        }
        self.tell_idle();
    }
}

const OVERLOADED: ForwardError = ForwardError::Overloaded(COME_BACK_AFTER);

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) <= IDLE_FOR
    }
}

/// What was waited for.
enum Waited {
    Permit(Permit),
    Handed(Idle),
}

impl Waited {
    /// The right alone.
    fn into_permit(self) -> Permit {
        match self {
            Self::Permit(permit) => permit,
            Self::Handed(idle) => idle.permit,
        }
    }
}

/// One who waits. Dropped, what was kept for it goes to the next.
struct Waiting<'p> {
    ticket: Ticket,
    pool: &'p Pool,
}

impl Waiting<'_> {
    fn take(&self) -> Option<Idle> {
        self.pool.take_handed(self.ticket.number)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(idle) = self.take() {
            self.pool.keep(idle);
        }
    }
}

async fn lend(pool: Rc<Pool>) {
    loop {
        tokio::select! {
            () = pool.lender.wanted() => {}
            () = pool.shared.rested() => {}
        }
        pool.lend();
    }
}
