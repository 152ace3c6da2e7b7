//! Whose turn it is to refresh a session: one replica's at a time, by a lock in the store.
//!
//! A refresh at Bitbucket kills both old tokens at once, so a replica that has the lock looks at
//! the record once more before it asks. It notes that it is about to ask; that note goes when its
//! owner knows that no answer can come any more. Should a replica find the note of another one
//! that has lost its lock (killed, or standing still), it waits until no answer may come any more,
//! and takes an `invalid_grant` only for final when that other had time to store what it got.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::{Shared, place};
use crate::session::Session;
use crate::session::store::Whose;
use crate::store::{Attempt, Loaded, Lock, LockToken, RecordName, StoreError};

/// How often who waits looks for itself: news may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a turn lasts whose owner has died, and how often it is prolonged while it lives.
const LASTS: Duration = Duration::from_secs(6);
const PROLONGED_EVERY: Duration = Duration::from_millis(1500);

/// How long a replica that stood still in the middle has to store what it got.
const LATE_WRITER_WITHIN: Duration = Duration::from_secs(15);

/// The right to refresh a session. It ends by itself if its owner dies.
pub struct Turn {
    lock: Option<(LockToken, AbortOnDropHandle<()>)>,
    /// Another replica sent the same refresh token, and it is not known what came of it.
    has_rival: bool,
}

impl Turn {
    /// Where there is nobody else.
    pub fn only_one() -> Self {
        Self { lock: None, has_rival: false }
    }

    /// Somebody else is to give it back.
    pub(super) fn leave(&mut self) -> Self {
        Self { lock: self.lock.take(), ..*self }
    }
}

impl Shared {
    /// See [`crate::session::store::Store::take_turn`].
    pub async fn take_turn(
        self: &Arc<Self>,
        session: &Arc<Session>,
        call: Duration,
    ) -> Result<Whose, StoreError> {
        let place = place(session);
        let (stale, name) = (session.tokens().generation, place.key.name());
        let token = LockToken::generate();
        loop {
            let news = place.news().notified();
            tokio::pin!(news);
            // From now on, lest it comes between a look and the wait for it.
            news.as_mut().enable();
            let lock = self.store.lock(name, &token, LASTS).await?;
            let loaded = match self.look(session).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.unlock(name, token, Attempt::Open);
                    return Err(error);
                }
            };
            let is_newer = session.tokens().generation > stale;
            let Some(loaded) = loaded.filter(|_| !is_newer && !session.has_ended()) else {
                self.unlock(name, token, Attempt::Open);
                return Ok(Whose::Settled);
            };
            let wait = match (lock, answer_may_come(&loaded, call)) {
                (Lock::Held(remaining), _) | (Lock::Ours, Some(remaining)) => remaining,
                (Lock::Ours, None) => {
                    let has_rival = loaded.attempted_ago.is_some();
                    let prolonging = Arc::clone(self).prolong(name, token.clone());
                    let prolonging = AbortOnDropHandle::new(self.control.spawn(prolonging));
                    let lock = Some((token, prolonging));
                    return Ok(Whose::Ours(Turn { lock, has_rival }));
                }
            };
            let _ = tokio::time::timeout(wait.min(LOOK_EVERY), news).await;
        }
    }

    /// See [`crate::session::store::Store::about_to_send`].
    pub async fn about_to_send(&self, session: &Session) -> Result<(), StoreError> {
        let (name, generation) = (place(session).key.name(), session.tokens().generation);
        self.store.note_attempt(name, generation).await.map(drop)
    }

    /// See [`crate::session::store::Store::has_newer`].
    pub async fn has_newer(
        self: &Arc<Self>,
        session: &Arc<Session>,
        turn: &Turn,
    ) -> Result<bool, StoreError> {
        let place = place(session);
        let (stale, began) = (session.tokens().generation, Instant::now());
        loop {
            let news = place.news().notified();
            tokio::pin!(news);
            news.as_mut().enable();
            self.look(session).await?;
            if session.has_ended() || session.tokens().generation > stale {
                return Ok(true);
            }
            let left = LATE_WRITER_WITHIN.saturating_sub(began.elapsed());
            if !turn.has_rival || left.is_zero() {
                return Ok(false);
            }
            let _ = tokio::time::timeout(left.min(LOOK_EVERY), news).await;
        }
    }

    /// See [`crate::session::store::Store::give_back`].
    pub fn give_back(self: &Arc<Self>, session: &Session, turn: Turn) {
        let Some((token, prolonging)) = turn.lock else { return };
        drop(prolonging);
        // Of a rival only time tells.
        let attempt = if turn.has_rival { Attempt::Open } else { Attempt::Over };
        self.unlock(place(session).key.name(), token, attempt);
    }

    fn unlock(self: &Arc<Self>, name: RecordName, token: LockToken, attempt: Attempt) {
        let shared = Arc::clone(self);
        let unlock = async move {
            if let Err(error) = shared.store.unlock(name, &token, attempt).await {
                tracing::debug!("a turn to refresh ends by its time: {error}");
            }
        };
        self.tasks.spawn_on(unlock, &self.control);
    }

    /// Until it is aborted.
    async fn prolong(self: Arc<Self>, name: RecordName, token: LockToken) {
        loop {
            tokio::time::sleep(PROLONGED_EVERY).await;
            if let Err(error) = self.store.lock(name, &token, LASTS).await {
                tracing::debug!("a turn to refresh is not prolonged: {error}");
            }
        }
    }
}

/// How long an answer to another replica may still come.
fn answer_may_come(loaded: &Loaded, call: Duration) -> Option<Duration> {
    let attempted_ago = loaded.attempted_ago?;
    Some(call.saturating_sub(attempted_ago)).filter(|left| !left.is_zero())
}
