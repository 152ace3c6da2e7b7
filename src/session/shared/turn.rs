//! Whose turn it is to refresh a session: one replica's at a time, by a lock in the store.
//!
//! A refresh at Bitbucket kills both old tokens at once, so a replica that has the lock looks at
//! the record once more before it asks. It notes that it is about to ask; that note goes when its
//! owner knows that no answer can come any more. Should a replica find the note of another one
//! that has lost its lock (killed, or standing still), it waits until no answer may come any more,
//! and takes an `invalid_grant` only for final when that other had time to store what it got.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Shared, place};
use crate::session::Session;
use crate::session::place::Place;
use crate::session::store::Whose;
use crate::store::{Attempt, Loaded, Lock, LockToken, StoreError};

/// How often who waits looks for itself: news may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a turn takes besides two calls' time (to wait for a place among calls, and the call): a
/// few operations of the store.
const MARGIN: Duration = Duration::from_secs(6);

/// How long a replica that stood still in the middle has to store what it got.
const LATE_WRITER_WITHIN: Duration = Duration::from_secs(15);

/// The right to refresh a session. It ends by itself if its owner dies.
pub struct Turn {
    lock: Option<LockToken>,
    lasts: Duration,
    /// Another replica sent the same refresh token, and it is not known what came of it.
    has_rival: bool,
}

impl Turn {
    /// Where there is nobody else.
    pub fn only_one() -> Self {
        Self { lock: None, lasts: Duration::ZERO, has_rival: false }
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
        let (token, lasts) = (LockToken::generate(), call * 2 + MARGIN);
        loop {
            let news = place.news().notified();
            tokio::pin!(news);
            // From now on, lest it comes between a look and the wait for it.
            news.as_mut().enable();
            let lock = self.store.lock(name, &token, lasts).await?;
            let turn = || Turn { lock: Some(token.clone()), lasts, has_rival: false };
            let loaded = match self.look(session).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.give_back(session, Turn { has_rival: true, ..turn() });
                    return Err(error);
                }
            };
            let is_newer = session.tokens().generation > stale;
            let Some(loaded) = loaded.filter(|_| !is_newer && !session.has_ended()) else {
                self.give_back(session, Turn { has_rival: true, ..turn() });
                return Ok(Whose::Settled);
            };
            let wait = match (lock, answer_may_come(&loaded, call)) {
                (Lock::Held(remaining), _) | (Lock::Ours, Some(remaining)) => remaining,
                (Lock::Ours, None) => {
                    let has_rival = loaded.attempted_ago.is_some();
                    return Ok(Whose::Ours(Turn { has_rival, ..turn() }));
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
        let place: &Place = place(session);
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
            if let Some(token) = &turn.lock {
                self.store.lock(place.key.name(), token, turn.lasts).await?;
            }
            let _ = tokio::time::timeout(left.min(LOOK_EVERY), news).await;
        }
    }

    /// See [`crate::session::store::Store::give_back`].
    pub fn give_back(self: &Arc<Self>, session: &Session, turn: Turn) {
        let Some(token) = turn.lock else { return };
        let (shared, name) = (Arc::clone(self), place(session).key.name());
        // Of a rival only time tells.
        let attempt = if turn.has_rival { Attempt::Open } else { Attempt::Over };
        let unlock = async move {
            if let Err(error) = shared.store.unlock(name, &token, attempt).await {
                tracing::debug!("a turn to refresh ends by its time: {error}");
            }
        };
        self.tasks.spawn_on(unlock, &self.control);
    }
}

/// How long an answer to another replica may still come.
fn answer_may_come(loaded: &Loaded, call: Duration) -> Option<Duration> {
    let attempted_ago = loaded.attempted_ago?;
    Some(call.saturating_sub(attempted_ago)).filter(|left| !left.is_zero())
}
