//! What is written to the store without anybody waiting for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::turn::Turn;
use super::{Shared, idle_life, place};
use crate::session::id::SessionKey;
use crate::session::shared::record::Record;
use crate::session::store::Saved;
use crate::session::{Lifetimes, Session};
use crate::store::{PersonKey, Replaced, StoreError};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Shared {
    /// Ends a session here at once, and in the store as soon as that can be done.
    pub fn end(self: &Arc<Self>, key: &SessionKey, session: Option<&Session>) {
        // In this order: what is fetched meanwhile is either not let in or looked up again.
        self.ending().insert(*key);
        self.heard.fetch_add(1, Ordering::SeqCst);
        if let Some(session) = session {
            self.held.end(session);
            session.doubt();
        }
        let person = session.and_then(|session| place(session).person.clone());
        let removal = Arc::clone(self).remove(*key, person);
        self.tasks.spawn_on(removal, &self.control);
    }

    /// A session that has ended takes nobody's place among its person's any more.
    pub async fn count_out(&self, session: &Session) {
        let Some(person) = &place(session).person else { return };
        let name = session.key.record_name();
        if let Err(error) = self.store.leave_person(person, &[name]).await {
            tracing::debug!("a session that ended is still counted: {error}");
        }
    }

    async fn remove(self: Arc<Self>, key: SessionKey, person: Option<PersonKey>) {
        let name = key.record_name();
        let mut pause = Pause::new();
        while let Err(error) = self.store.remove(name).await {
            pause.after("the end of a session is still to be stored", &error).await;
        }
        self.ending().remove(&key);
        if let Some(person) = person
            && let Err(error) = self.store.leave_person(&person, &[name]).await
        {
            tracing::debug!("a session that ended is still counted: {error}");
        }
    }

    /// See [`crate::session::store::Store::note_use`].
    pub fn note_use(self: &Arc<Self>, session: &Arc<Session>, lifetimes: Lifetimes) {
        let (shared, session) = (Arc::clone(self), Arc::clone(session));
        self.control.spawn(async move {
            let place = place(&session);
            let name = place.key.name();
            let began = Instant::now();
            let used = session.last_use();
            let ago = began.saturating_duration_since(used);
            let noted = shared.store.note_use(name, ago, idle_life(lifetimes)).await;
            match noted {
                Ok(Some(generation)) if generation == session.tokens().generation => {}
                // The next request looks what it is.
                Ok(_) => session.doubt(),
                Err(error) => tracing::debug!("a session's use is not noted: {error}"),
            }
            if let Some(person) = &place.person
                && let Err(error) = shared.store.note_person_use(person, name, ago).await
            {
                tracing::debug!("a session's use is not noted for its person: {error}");
            }
        });
    }

    /// See [`crate::session::store::Store::save`].
    pub async fn save(self: &Arc<Self>, session: &Arc<Session>, turn: &mut Turn) -> Saved {
        match self.replace(session).await {
            Ok(saved) => saved,
            Err(error) => {
                tracing::warn!("new tokens are still to be stored, and used meanwhile: {error}");
                self.save_in_the_end(session, Some(turn.leave()));
                Saved::Yes
            }
        }
    }

    /// Stores the session's tokens as soon as that can be done, and gives back the turn in which
    /// they came.
    pub(super) fn save_in_the_end(self: &Arc<Self>, session: &Arc<Session>, turn: Option<Turn>) {
        if place(session).is_unsaved.swap(true, Ordering::SeqCst) {
            // Whoever is at it takes the newest. The turn, if there is one, ends by its time: until
            // they are stored nobody must think that no answer came.
            return;
        }
        let (shared, session) = (Arc::clone(self), Arc::clone(session));
        let saving = async move {
            shared.keep_replacing(&session).await;
            if let Some(turn) = turn {
                shared.give_back(&session, turn);
            }
        };
        self.tasks.spawn_on(saving, &self.control);
    }

    /// Until the newest tokens are stored.
    async fn keep_replacing(self: &Arc<Self>, session: &Arc<Session>) {
        let is_unsaved = &place(session).is_unsaved;
        let mut pause = Pause::new();
        loop {
            let generation = session.tokens().generation;
            if let Err(error) = self.replace(session).await {
                pause.after("new tokens are still to be stored", &error).await;
                continue;
            }
            is_unsaved.store(false, Ordering::SeqCst);
            let is_newest = session.tokens().generation == generation;
            if is_newest || is_unsaved.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// What is known of the person has changed, which the others shall know.
    pub async fn save_person(self: &Arc<Self>, session: &Arc<Session>) {
        session.store(session.tokens().next_edition());
        if let Err(error) = self.replace(session).await {
            tracing::debug!("what is known of a person is still to be stored: {error}");
            self.save_in_the_end(session, None);
        }
    }

    /// Stores the newest tokens; whoever has newer ones wins.
    async fn replace(self: &Arc<Self>, session: &Arc<Session>) -> Result<Saved, StoreError> {
        let place = place(session);
        if session.has_ended() {
            return Ok(Saved::Ended);
        }
        let (tokens, now) = (Arc::clone(&session.tokens()), Instant::now());
        let value = Record::of(session, &tokens, place, now).to_bytes();
        match self.store.replace(&place.key, tokens.generation, &value).await {
            Ok(Replaced::Stored) => Ok(Saved::Yes),
            Ok(Replaced::Newer(loaded)) => {
                self.take_over(session, &loaded, now);
                Ok(Saved::Yes)
            }
            // Of no use to anybody.
            Ok(Replaced::Gone) | Err(StoreError::Damaged) => {
                self.held.end(session);
                Ok(Saved::Ended)
            }
            Err(error) => Err(error),
        }
    }
}

/// Between tries: each twice as long as the one before.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(SHORTEST_PAUSE)
    }

    async fn after(&mut self, what: &str, error: &StoreError) {
        tracing::debug!("{what}: {error}");
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
