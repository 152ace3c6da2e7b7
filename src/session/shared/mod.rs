//! Sessions in a store that all replicas see. What this process holds of them is a cache, so that
//! a request costs no round trip.
//!
//! - A session held here is relied on for [`GOOD_FOR`] while other replicas' changes are heard,
//!   and for [`GOOD_FOR_UNHEARD`] while they are not. After that, or after news of it, the next
//!   request looks it up first ([`Shared::look_up`]). A store that does not answer changes
//!   nothing of what is held.
//! - Of two generations of tokens the newer counts, whoever has it. Should it be this process, as
//!   the store lost what was written or could not be reached, it stores them again.
//! - Who ends a session removes its record. Until that is done it is not fetched here again.
//! - One replica refreshes a session at a time ([`turn`]).

pub mod claims;
mod news;
mod record;
pub mod turn;
mod writes;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::record::Record;
use super::held::Held;
use super::id::{SessionId, SessionKey};
use super::place::Place;
use super::{Lifetimes, Session};
use crate::store::{
    Condition, HealthReport, Lives, Loaded, OPERATION_TIMEOUT, RecordName, Store, StoreError,
    Trouble,
};

/// How long a session is used without a look into the store, which is the net below what is heard.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// The same while changes are not heard.
const GOOD_FOR_UNHEARD: Duration = Duration::from_secs(1);

/// Strangers' cookies are looked for, too.
const FETCHES_AT_A_TIME: usize = 256;

pub struct Shared {
    store: Store,
    pub(super) held: Arc<Held>,
    /// Writes that must not be cut off by the program's end.
    tasks: TaskTracker,
    control: Handle,
    /// Grows with each piece of news, and with each end.
    heard: AtomicU64,
    /// Ended here, and perhaps not yet removed from the store.
    ending: Mutex<HashSet<SessionKey>>,
    count: AtomicU64,
    fetches: Semaphore,
}

impl Shared {
    /// Listens for news until the runtime ends.
    pub fn start(store: Store, held: Arc<Held>, tasks: TaskTracker, control: Handle) -> Arc<Self> {
        let shared = Arc::new(Self {
            store,
            held,
            tasks,
            control,
            heard: AtomicU64::new(0),
            ending: Mutex::default(),
            count: AtomicU64::new(0),
            fetches: Semaphore::new(FETCHES_AT_A_TIME),
        });
        shared.control.spawn(news::follow(Arc::clone(&shared)));
        shared.control.spawn(news::keep_counting(Arc::clone(&shared)));
        shared
    }

    pub async fn keep(
        &self,
        session: Session,
        lifetimes: Lifetimes,
        per_person: usize,
    ) -> Result<(Arc<Session>, Vec<SessionKey>), StoreError> {
        let place = place(&session);
        let lives = Lives { whole: place.whole, idle: idle_life(lifetimes) };
        let tokens = Arc::clone(&session.tokens());
        let (since, asked) = (place.doubts(), Instant::now());
        let value = Record::of(&session, &tokens, place, asked).to_bytes();
        if !self.store.create(&place.key, tokens.generation, &value, lives).await? {
            // Of 256 random bits there are no two: somebody has written there.
            return Err(StoreError::Damaged);
        }
        let surplus = self.count_in(&session, lives, per_person).await.unwrap_or_else(|error| {
            tracing::warn!("a login is not counted by session.per_person: {error}");
            Vec::new()
        });
        let session = self.held.insert(session);
        // For the sake of what is known of the person, which is held once; counted is elsewhere.
        self.held.join_person(&session, usize::MAX);
        session.confirm(since, self.good_until(asked));
        Ok((session, surplus.into_iter().map(SessionKey::from).collect()))
    }

    /// Counts a new session as its person's, and names those that are then too many.
    async fn count_in(
        &self,
        session: &Session,
        lives: Lives,
        per_person: usize,
    ) -> Result<Vec<RecordName>, StoreError> {
        let place = place(session);
        let Some(person) = &place.person else { return Ok(Vec::new()) };
        // What is told once a minute only must be known now.
        for fellow in self.held.fellows(session) {
            let (name, unused_for) = (fellow.key.record_name(), fellow.last_use().elapsed());
            self.store.note_person_use(person, name, unused_for).await?;
        }
        let surplus = self.store.join_person(person, place.key.name(), lives, per_person).await?;
        // They are ended by who asked, who may not hold them and know whose they are.
        self.store.leave_person(person, &surplus).await?;
        Ok(surplus)
    }

    /// See [`super::store::Store::fetch`].
    pub async fn fetch(
        &self,
        id: &SessionId,
        lifetimes: Lifetimes,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let (heard, key) = (self.heard.load(Ordering::SeqCst), id.record_key());
        if self.ending().contains(&id.key()) {
            return Ok(None);
        }
        let asked = Instant::now();
        let turn = timeout(OPERATION_TIMEOUT, self.fetches.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(StoreError::Unavailable(Trouble::TimedOut)) };
        let loaded = match self.store.load(&key).await {
            Ok(loaded) => loaded,
            Err(StoreError::Damaged) => return Ok(damaged()),
            Err(error) => return Err(error),
        };
        let Some(loaded) = loaded else { return Ok(None) };
        let Some(record) = Record::from_bytes(&loaded.value) else { return Ok(damaged()) };
        let session = self.session(id, record, &loaded, asked);
        // It may have been used elsewhere since that was noted.
        let unused_for = loaded.unused_for.saturating_sub(lifetimes.use_told_every());
        session.note_use(asked.checked_sub(unused_for).unwrap_or(asked));
        let session = self.held.insert(session);
        self.held.join_person(&session, usize::MAX);
        // What was heard in between may have been of this session, when it was not held yet.
        if self.heard.load(Ordering::SeqCst) == heard {
            session.confirm(place(&session).doubts(), self.good_until(asked));
        }
        Ok(Some(session))
    }

    fn session(&self, id: &SessionId, record: Record, loaded: &Loaded, now: Instant) -> Session {
        let whole = record.whole();
        let ago = |by: Duration| now.checked_sub(by).unwrap_or(now);
        let (person, counted_as, mut tokens) =
            record.take_apart(loaded.generation, ago(loaded.written_ago));
        self.held.share_scopes(&mut tokens.scopes);
        let person = person.map(|person| self.held.share_person(person));
        let place = Box::new(Place::new(id.record_key(), counted_as, whole));
        let created = ago(whole.saturating_sub(loaded.ends_in));
        Session::new(id, person, tokens, created, Some(place))
    }

    /// See [`super::store::Store::look_up`]. One look serves all who wait for it.
    pub async fn look_up(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), StoreError> {
        let place = place(session);
        let _look = place.look.lock().await;
        if session.has_ended() || session.is_confirmed(Instant::now()) {
            return Ok(());
        }
        self.look(session).await.map(drop)
    }

    /// Looks at the record and takes over what is newer there. The record; nothing if the session
    /// is over, which it then is here too.
    async fn look(self: &Arc<Self>, session: &Arc<Session>) -> Result<Option<Loaded>, StoreError> {
        let place = place(session);
        let (since, asked) = (place.doubts(), Instant::now());
        let loaded = match self.load(place).await {
            Ok(loaded) => loaded,
            Err(error) => {
                // For a moment, lest each request asks anew.
                session.confirm(since, Instant::now() + GOOD_FOR_UNHEARD);
                return Err(error);
            }
        };
        let Some(loaded) = loaded else {
            self.held.end(session);
            return Ok(None);
        };
        self.take_over(session, &loaded, asked);
        session.confirm(since, self.good_until(asked));
        Ok(Some(loaded))
    }

    /// A record that cannot be read is none.
    async fn load(&self, place: &Place) -> Result<Option<Loaded>, StoreError> {
        let report = self.store.health();
        if report.condition == Condition::Degraded {
            // It has just been tried, and is again as soon as there is a connection.
            return Err(StoreError::Unavailable(report.last_trouble.unwrap_or(Trouble::NotYet)));
        }
        match self.store.load(&place.key).await {
            Err(StoreError::Damaged) => Ok(damaged()),
            outcome => outcome,
        }
    }

    fn take_over(self: &Arc<Self>, session: &Arc<Session>, loaded: &Loaded, asked: Instant) {
        let ago = |by: Duration| asked.checked_sub(by).unwrap_or(asked);
        session.note_use(ago(loaded.unused_for));
        let known = session.tokens().generation;
        if loaded.generation < known {
            self.save_in_the_end(session, None);
        } else if loaded.generation > known
            && let Some(record) = Record::from_bytes(&loaded.value)
        {
            let (person, _, mut tokens) =
                record.take_apart(loaded.generation, ago(loaded.written_ago));
            self.held.share_scopes(&mut tokens.scopes);
            if let Some(person) = person {
                session.person.store(Some(self.held.share_person(person)));
            }
            session.store(tokens);
            // The next request queues it for the refresh of these.
            session.in_use.store(false, Ordering::SeqCst);
        }
    }

    fn good_until(&self, asked: Instant) -> Instant {
        let hears = self.store.health().hears_changes;
        asked + if hears { GOOD_FOR } else { GOOD_FOR_UNHEARD }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub fn health(&self) -> HealthReport {
        self.store.health()
    }

    fn ending(&self) -> MutexGuard<'_, HashSet<SessionKey>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the store is told: a use is noted some time after the one that was noted last, which must
/// not shorten a life.
fn idle_life(lifetimes: Lifetimes) -> Duration {
    lifetimes.idle + lifetimes.use_told_every()
}

/// That of a session which this store keeps: all of them have one.
fn place(session: &Session) -> &Place {
    session.place.as_deref().expect("a session of a shared store has its place there")
}

fn damaged<T>() -> Option<T> {
    tracing::warn!("a session in the store cannot be read: it counts as ended");
    None
}
