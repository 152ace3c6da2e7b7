//! Renews the tokens of sessions (RFC 6749 §6), one refresh at a time for each.
//!
//! A refresh at Bitbucket kills both old tokens at once, and an answer that is lost loses both. So
//! it runs apart from any client's connection, and all who need the token wait for one and the
//! same; those who come late find the new token in the session. Ahead of need it is done for
//! sessions in use only, at a moment when none of their requests waits for `CodeScan`.
//!
//! There is no loop that retries: what failed leaves a [`Setback`], and the next try is begun by
//! the queue of those that come due, or by a request that cannot go on without.

mod attempt;
mod due;
pub(super) mod setback;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::attempt::Flight;
use self::due::{Due, DueQueue};
pub use self::setback::Obstacle;
use self::setback::Setback;
use super::tokens::Tokens;
use super::{Session, Sessions};
use crate::bitbucket::Client;
use crate::telemetry::metrics::Metrics;

/// Calls to Bitbucket at a time.
const AT_A_TIME: usize = 256;

/// How long a request waits for a refresh while it could also go on with the token there is.
const WITH_A_LIVE_TOKEN: Duration = Duration::from_secs(2);

/// What a refresh goes by, as the settings say now.
pub struct Terms {
    pub bitbucket: Client,
    /// For one call.
    pub timeout: Duration,
    pub refresh_before: Duration,
}

/// Reads the settings in force; `None` when the program ends.
pub type CurrentTerms = Box<dyn Fn() -> Option<Terms> + Send + Sync>;

/// Why a request cannot have a live access token.
#[derive(Debug)]
pub enum NoToken {
    /// The session has ended.
    Ended,
    /// None is to be had at the moment. The session is kept.
    Trouble { error: Obstacle, retry_after: Duration },
}

/// What of a session's refresh is under way, and what went wrong with the last.
#[derive(Default)]
pub struct Renewal {
    flight: Option<Progress>,
    /// Boxed, as each session has room for one and few have one.
    setback: Option<Box<Setback>>,
    /// One more than the generation of the tokens that Bitbucket has refused for good, or 0.
    refused: u64,
}

impl Renewal {
    pub(super) fn is_under_way(&self) -> bool {
        self.flight.is_some()
    }
}

/// Turns `true` when new tokens are stored, and closes when all is done.
type Progress = watch::Receiver<bool>;

/// Refreshes the sessions of this process.
pub struct Refresher {
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    terms: CurrentTerms,
    turns: Semaphore,
    due: DueQueue,
}

impl Refresher {
    /// All of it runs on the control runtime of `sessions`.
    pub fn new(sessions: Arc<Sessions>, metrics: Arc<Metrics>, terms: CurrentTerms) -> Self {
        let (turns, due) = (Semaphore::new(AT_A_TIME), DueQueue::default());
        Self { sessions, metrics, terms, turns, due }
    }

    /// A request uses the session: its tokens are to be refreshed before they expire.
    pub fn used(&self, session: &Arc<Session>) {
        let is_known = session.in_use.load(Ordering::Relaxed);
        if !is_known && session.is_renewable && !session.in_use.swap(true, Ordering::SeqCst) {
            self.queue(session);
        }
    }

    /// A request waits for `CodeScan`'s response head until the result is dropped.
    pub fn request<'a>(self: &'a Arc<Self>, session: &'a Arc<Session>) -> Request<'a> {
        session.in_flight.fetch_add(1, Ordering::SeqCst);
        Request { refresher: self, session }
    }

    /// Waits for a token that a request can go on with. The wait ends with the refresh that is
    /// under way, which two calls' time bounds; may be dropped at any time, the refresh goes on.
    pub async fn ready(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), NoToken> {
        self.sessions.look_up(session).await;
        let _waiter = self.metrics.refresh_waiter();
        let tokens = Arc::clone(&session.tokens());
        let flight = if tokens.has_expired(Instant::now()) {
            self.join(session, tokens.generation, true)
        } else {
            session.flight()
        };
        if let Some(flight) = flight {
            wait(session, flight).await;
        }
        session.usable(Instant::now())
    }

    /// Newer tokens than those of generation `stale`. Whether there are any.
    pub async fn renew(self: &Arc<Self>, session: &Arc<Session>, stale: u64) -> bool {
        let _waiter = self.metrics.refresh_waiter();
        if let Some(mut flight) = self.join(session, stale, true) {
            stored(&mut flight).await;
        }
        !session.has_ended() && session.tokens().generation > stale
    }

    /// The machine has slept so long: all tokens are older than they seem.
    pub fn slept(&self, by: Duration) {
        for session in self.sessions.held.all_that(|session| session.is_renewable) {
            session.age(by);
            if session.in_use.load(Ordering::SeqCst) {
                self.queue(&session);
            }
        }
    }

    /// Refreshes ahead of need what comes due. Never ends.
    pub async fn keep_refreshing(self: Arc<Self>) {
        loop {
            let due = self.due.next().await;
            self.come_due(&due);
        }
    }

    fn come_due(self: &Arc<Self>, due: &Due) {
        let Some(session) = due.session.upgrade() else { return };
        let tokens = Arc::clone(&session.tokens());
        let is_over = tokens.generation != due.generation || session.has_ended();
        if is_over || !session.in_use.load(Ordering::SeqCst) {
            return;
        }
        // Set before it is looked for a request, which looks for this when it is over.
        session.awaited.store(due.generation + 1, Ordering::SeqCst);
        let is_at_rest = session.in_flight.load(Ordering::SeqCst) == 0;
        if is_at_rest || Instant::now() >= tokens.latest() {
            self.join(&session, tokens.generation, false);
        } else {
            self.due.push(tokens.latest(), &session, tokens.generation);
        }
    }

    /// The refresh of the tokens of generation `stale` that is under way, begun if it has to be.
    /// `None` if newer ones are there, if it is not yet time to try again, or for a session that
    /// has ended.
    fn join(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stale: u64,
        somebody_waits: bool,
    ) -> Option<Progress> {
        let mut renewal = session.renewal();
        if session.has_ended() || !session.is_renewable {
            return None;
        }
        if renewal.flight.is_some() {
            return renewal.flight.clone();
        }
        let rests_until = renewal.setback.as_ref().map(|it| it.next_try(somebody_waits));
        let is_late = session.tokens().generation > stale;
        if is_late || rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let (flight, progress) = Flight::new(Arc::clone(self), Arc::clone(session));
        renewal.flight = Some(progress.clone());
        session.hold_requests();
        session.in_use.store(false, Ordering::SeqCst);
        session.awaited.store(0, Ordering::SeqCst);
        // A runtime that is shutting down drops what it is given, which then lands and locks.
        drop(renewal);
        self.sessions.tasks.spawn_on(flight.fly(), &self.sessions.control);
        Some(progress)
    }

    /// The flight is over: `error` if there are no new tokens.
    fn land(&self, session: &Arc<Session>, error: Option<Obstacle>) {
        let now = Instant::now();
        let mut renewal = session.renewal();
        let before = renewal.setback.take();
        let failed =
            |error| Box::new(Setback::after(before.as_deref(), error, now, fastrand::f64()));
        renewal.setback = error.map(failed);
        renewal.flight = None;
        session.open();
        let next_try = renewal.setback.as_ref().map(|setback| setback.next_try(false));
        drop(renewal);
        self.look_ahead(session, next_try, now);
    }

    /// Queues the session for its next refresh, where no request has to ask for it.
    fn look_ahead(&self, session: &Arc<Session>, next_try: Option<Instant>, now: Instant) {
        let tokens = Arc::clone(&session.tokens());
        match next_try {
            None if session.in_use.load(Ordering::SeqCst) => self.queue(session),
            None => {}
            Some(at) if !tokens.has_expired(now) => {
                session.in_use.store(true, Ordering::SeqCst);
                self.due.push(at, session, tokens.generation);
            }
            // From here on the next request begins the next try.
            Some(_) => session.in_use.store(false, Ordering::SeqCst),
        }
    }

    fn queue(&self, session: &Arc<Session>) {
        let Some(terms) = (self.terms)() else { return };
        let tokens = session.tokens();
        let at = tokens.due(terms.refresh_before, fastrand::f64());
        self.due.push(at, session, tokens.generation);
    }
}

/// A request of a session, from its sending to its response head.
pub struct Request<'a> {
    refresher: &'a Arc<Refresher>,
    session: &'a Arc<Session>,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let is_last = self.session.in_flight.fetch_sub(1, Ordering::SeqCst) == 1;
        if !is_last || self.session.awaited.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Of the generation that was due then: newer tokens may be there meanwhile.
        let awaited = self.session.awaited.swap(0, Ordering::SeqCst);
        if let Some(stale) = awaited.checked_sub(1) {
            self.refresher.join(self.session, stale, false);
        }
    }
}

impl Session {
    /// The refresh under way, if there is one.
    fn flight(&self) -> Option<Progress> {
        self.renewal().flight.clone()
    }

    /// Waits until no refresh is under way, so that the tokens are the newest that there will be
    /// of a session that has ended.
    pub async fn settled(&self) {
        if let Some(mut flight) = self.flight() {
            over(&mut flight).await;
        }
    }

    fn usable(&self, now: Instant) -> Result<(), NoToken> {
        if self.has_ended() {
            return Err(NoToken::Ended);
        }
        match &self.renewal().setback {
            Some(setback) if self.tokens().has_expired(now) => Err(NoToken::Trouble {
                error: setback.error.clone(),
                retry_after: setback.next_try(true).saturating_duration_since(now),
            }),
            _ => Ok(()),
        }
    }

    fn is_refused(&self, tokens: &Tokens) -> bool {
        self.renewal().refused > tokens.generation
    }

    /// Bitbucket does not accept the refresh token of these any more: it must not be sent again.
    fn note_refusal(&self, tokens: &Tokens) {
        self.renewal().refused = tokens.generation + 1;
    }

    fn age(&self, by: Duration) {
        let renewal = self.renewal();
        self.tokens.store(Arc::new(self.tokens().older_by(by)));
        if renewal.flight.is_none() {
            self.open();
        }
    }

    /// Puts the newer pair in the place of the older. Under the lock, as nothing else may change
    /// the tokens meanwhile.
    pub(super) fn store(&self, tokens: Tokens) {
        let _renewal = self.renewal();
        if tokens.generation > self.tokens().generation {
            self.tokens.store(Arc::new(tokens));
        }
    }
}

/// Waits as long as a request of this session has to.
async fn wait(session: &Session, mut flight: Progress) {
    let left = || session.tokens().expires_at.saturating_duration_since(Instant::now());
    let at_first = left();
    if !at_first.is_zero() {
        let is_over = timeout(WITH_A_LIVE_TOKEN.min(at_first), over(&mut flight)).await.is_ok();
        if is_over || !left().is_zero() {
            return;
        }
    }
    stored(&mut flight).await;
}

/// Waits for new tokens, and a little for what Bitbucket says of their person.
async fn stored(flight: &mut Progress) {
    // An error says that it is over, without them.
    let _ = flight.wait_for(|is_stored| *is_stored).await;
    let _ = timeout(WITH_A_LIVE_TOKEN, over(flight)).await;
}

async fn over(flight: &mut Progress) {
    while flight.changed().await.is_ok() {}
}
