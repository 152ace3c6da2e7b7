//! All sessions, as the rest of the program sees them.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::held::{Held, Surplus};
use super::id::{SessionId, SessionKey};
use super::people;
use super::place::Place;
use super::shared::Shared;
use super::store::Store;
use super::tokens::Tokens;
use super::{Lifetimes, Session};
use crate::bitbucket::Person;
use crate::config::settings;
use crate::seal::Sealer;
use crate::store::{self, Condition, HealthReport, PersonKey, StoreError};

/// Called with the reason when a session is removed before its life was over.
pub type EvictionNotice = Box<dyn Fn(&'static str) + Send + Sync>;

/// The sessions of this process, and of all replicas where they share a store.
pub struct Sessions {
    pub(super) held: Arc<Held>,
    pub store: Store,
    on_eviction: Arc<EvictionNotice>,
    /// What must not be cut off half-way: refreshes, and writes to the store.
    pub(super) tasks: TaskTracker,
    pub(super) control: Handle,
}

/// What a completed login knows.
pub struct NewSession<'a> {
    /// `None` where identity is not asked for.
    pub person: Option<Person>,
    pub tokens: Tokens,
    pub lifetimes: Lifetimes,
    /// How many live sessions a person may have.
    pub per_person: usize,
    pub sealer: &'a Sealer,
    /// The one that the browser brought, which ends.
    pub replaces: Option<&'a Session>,
}

impl Sessions {
    /// Kept in the memory of this process. `on_eviction` hears of sessions that go because of a
    /// limit.
    pub fn in_memory(capacity: u64, on_eviction: EvictionNotice, control: Handle) -> Self {
        let on_eviction = Arc::new(on_eviction);
        let notice = Arc::clone(&on_eviction);
        let over_capacity = Box::new(move || notice("capacity"));
        let held = Arc::new(Held::new(capacity, Surplus::Ends, over_capacity));
        let store = Store::Memory(Arc::clone(&held));
        Self { held, store, on_eviction, tasks: TaskTracker::new(), control }
    }

    /// Kept in a store that replicas share, a `capacity` of them in memory too.
    pub fn shared(
        store: store::Store,
        capacity: u64,
        on_eviction: EvictionNotice,
        control: Handle,
    ) -> Self {
        let held = Arc::new(Held::new(capacity, Surplus::LivesOn, Box::new(|| {})));
        let tasks = TaskTracker::new();
        let shared = Shared::start(store, Arc::clone(&held), tasks.clone(), control.clone());
        let store = Store::Shared(shared);
        Self { held, store, on_eviction: Arc::new(on_eviction), tasks, control }
    }

    /// By the settings. Returns at once, whether the store answers or not.
    pub fn new(settings: &settings::Session, on_eviction: EvictionNotice, control: Handle) -> Self {
        match &settings.store {
            settings::Store::Memory => Self::in_memory(settings.capacity, on_eviction, control),
            settings::Store::Redis(address) => {
                let _runtime = control.enter();
                let store = store::Store::open(address.clone(), settings.ca_file.clone());
                Self::shared(store, settings.capacity, on_eviction, control)
            }
        }
    }

    /// A new session with a new id. For the control runtime.
    pub async fn create(
        &self,
        new: NewSession<'_>,
    ) -> Result<(SessionId, Arc<Session>), StoreError> {
        let NewSession { person, mut tokens, lifetimes, per_person, sealer, replaces } = new;
        if let Some(old) = replaces {
            self.end(old);
            self.store.count_out(old).await;
        }
        let id = SessionId::generate();
        let whole = match &tokens.refresh {
            Some(_) => lifetimes.absolute,
            None => lifetimes.absolute.min(tokens.life()),
        };
        let place = matches!(self.store, Store::Shared(_)).then(|| {
            let person = person.as_ref().map(|it| PersonKey::new(sealer, &people::identity(it)));
            Box::new(Place::new(id.record_key(), person, whole))
        });
        self.held.share_scopes(&mut tokens.scopes);
        let person = person.map(|person| self.held.share_person(person));
        let session = Session::new(&id, person, tokens, Instant::now(), place);
        let (session, surplus) = self.store.keep(session, lifetimes, per_person).await?;
        for key in surplus {
            self.store.end(&key, self.held.find(&key).as_deref());
            (self.on_eviction)("per_person");
        }
        Ok((id, session))
    }

    /// The live session with this key, if this process holds it; notes its use.
    pub fn find(
        &self,
        key: &SessionKey,
        lifetimes: Lifetimes,
        now: Instant,
    ) -> Option<Arc<Session>> {
        let session = self.held.find(key)?;
        if !session.is_live(lifetimes, now) {
            self.store.run_out(&session);
            return None;
        }
        if session.touch(lifetimes, now) {
            self.held.note_use(key);
            self.store.note_use(&session, lifetimes);
        }
        Some(session)
    }

    /// Whether a session that [`Sessions::find`] does not find may be found by
    /// [`Sessions::fetch`].
    pub fn may_be_elsewhere(&self) -> bool {
        matches!(self.store, Store::Shared(_))
    }

    /// The live session with this id from the shared store. May be dropped at any time.
    pub async fn fetch(
        self: &Arc<Self>,
        id: SessionId,
        lifetimes: Lifetimes,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let sessions = Arc::clone(self);
        let fetched = self.control.spawn(async move {
            let fetched = sessions.store.fetch(&id, lifetimes).await?;
            let now = Instant::now();
            let live = fetched.filter(|session| session.is_live(lifetimes, now));
            if let Some(session) = &live {
                session.touch(lifetimes, now);
            }
            Ok(live)
        });
        // It fails only with the program's end.
        fetched.await.unwrap_or(Ok(None))
    }

    /// Makes sure that what is held of a session is the newest, where that is in doubt. A store
    /// that does not answer changes nothing. May be dropped at any time.
    pub(super) async fn look_up(self: &Arc<Self>, session: &Arc<Session>) {
        if session.is_confirmed(Instant::now()) {
            return;
        }
        let (sessions, session) = (Arc::clone(self), Arc::clone(session));
        let look = async move { sessions.store.look_up(&session).await };
        if let Ok(Err(error)) = self.control.spawn(look).await {
            tracing::debug!("a session is used as it is known here: {error}");
        }
    }

    /// Whether the session is this person's, who may have been renamed.
    pub(super) fn know_again(&self, session: &Session, person: Person) -> bool {
        let known = session.person.load();
        if known.as_ref().is_some_and(|known| !known.is_same_as(&person)) {
            return false;
        }
        let tells_less = person.id.is_none() && known.as_ref().is_some_and(|it| it.id.is_some());
        if !tells_less {
            session.person.store(Some(self.held.share_person(person)));
        }
        true
    }

    /// Ends a session: from now on no request finds it, on any worker, and soon on no replica.
    pub fn end(&self, session: &Session) {
        self.store.end(&session.key, Some(session));
    }

    /// How many sessions there are, roughly; in a shared store as of some seconds ago.
    pub fn count(&self) -> u64 {
        match &self.store {
            Store::Memory(held) => held.count(),
            Store::Shared(shared) => shared.count(),
        }
    }

    /// Whether the shared store answers, where there is one.
    pub fn health(&self) -> Option<HealthReport> {
        match &self.store {
            Store::Memory(_) => None,
            Store::Shared(shared) => Some(shared.health()),
        }
    }

    /// An error if it is known that a new session could not be kept.
    pub fn can_keep(&self) -> Result<(), StoreError> {
        match self.health() {
            Some(HealthReport { condition: Condition::Degraded, last_trouble, .. }) => {
                Err(StoreError::Unavailable(last_trouble.unwrap_or(store::Trouble::NotYet)))
            }
            _ => Ok(()),
        }
    }

    /// Lets go of what has run out, so that memory and the count follow time. Called now and then.
    pub fn tidy(&self, lifetimes: Lifetimes, now: Instant) {
        self.held.tidy(lifetimes, now, |session| self.store.run_out(session));
    }

    /// Waits for what outlives this process: refreshes whose tokens others will need, and writes
    /// to the store. May be dropped at any time.
    pub async fn finish(&self) {
        if let Store::Shared(_) = self.store {
            self.tasks.close();
            self.tasks.wait().await;
        }
    }
}
