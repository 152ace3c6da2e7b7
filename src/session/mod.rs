//! The life of a session: made by a completed login, found by its cookie, ended once for all.
//!
//! Sessions live in memory. This room knows tokens and people, and nothing of requests but their
//! cookies; who may do what with a session is for [`crate::access`].

pub mod cookie;
pub mod fields;
pub mod id;
mod index;
mod people;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::notification::RemovalCause;
use tokio::sync::Notify;

use self::id::{PublicHash, SessionId, SessionKey};
use self::index::Index;
use self::people::People;
use crate::bitbucket::{Person, TokenSet};
use crate::config::settings;
use crate::secret::Secret;

/// How often, at most, moka hears that a session is in use.
const USE_TOLD_EVERY: Duration = Duration::from_mins(1);

/// One person's login in one browser.
pub struct Session {
    pub key: SessionKey,
    /// `None` where identity is not asked for (`bitbucket.whoami_url` empty).
    pub person: Option<Arc<Person>>,
    public_hash: PublicHash,
    pub tokens: Tokens,
    created: Instant,
    /// Seconds from `created` to the last request.
    last_used: AtomicU64,
    /// Seconds from `created` to the last use that moka heard of.
    told: AtomicU64,
    ended: AtomicBool,
    end_notice: Notify,
}

/// What Bitbucket gave at the exchange.
pub struct Tokens {
    pub access: Secret,
    pub refresh: Option<Secret>,
    pub scopes: Arc<[String]>,
    pub expires_at: Instant,
}

impl Tokens {
    pub fn new(set: TokenSet, now: Instant) -> Self {
        Self {
            access: set.access_token,
            refresh: set.refresh_token,
            scopes: set.scopes.into(),
            expires_at: now + set.expires_in,
        }
    }
}

/// How long sessions live, as the settings say.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    pub idle: Duration,
    pub absolute: Duration,
}

impl Lifetimes {
    pub fn new(settings: &settings::Session) -> Self {
        Self { idle: settings.idle_timeout, absolute: settings.max_lifetime }
    }
}

impl Session {
    /// Whether a request may still use the session. By value, as a worker may hold what the
    /// store has dropped.
    pub fn is_live(&self, lifetimes: Lifetimes, now: Instant) -> bool {
        !self.has_ended()
            && now < self.tokens.expires_at
            && !self.remaining(lifetimes, now).is_zero()
    }

    /// Until the idle or the absolute life ends, whichever is first.
    pub fn remaining(&self, lifetimes: Lifetimes, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.created);
        let used = Duration::from_secs(self.last_used.load(Ordering::Relaxed));
        let idle = (used + lifetimes.idle).saturating_sub(age);
        idle.min(lifetimes.absolute.saturating_sub(age))
    }

    /// Notes a request. Whether moka should hear of it.
    fn touch(&self, now: Instant) -> bool {
        let used = now.saturating_duration_since(self.created).as_secs();
        if used > self.last_used.load(Ordering::Relaxed) {
            self.last_used.store(used, Ordering::Relaxed);
        }
        let is_news =
            used.saturating_sub(self.told.load(Ordering::Relaxed)) >= USE_TOLD_EVERY.as_secs();
        if is_news {
            self.told.store(used, Ordering::Relaxed);
        }
        is_news
    }

    fn last_use(&self) -> Instant {
        self.created + Duration::from_secs(self.last_used.load(Ordering::Relaxed))
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Resolves when the session has ended. May be dropped at any time.
    pub async fn ended(&self) {
        let notice = self.end_notice.notified();
        tokio::pin!(notice);
        // Listening must begin before the flag is read, lest an end in between is missed.
        notice.as_mut().enable();
        if !self.has_ended() {
            notice.await;
        }
    }

    fn mark_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.end_notice.notify_waiters();
    }

    /// The person's Bitbucket user name, where it is known.
    pub fn user(&self) -> Option<&str> {
        self.person.as_ref().map(|person| person.name.as_str())
    }
}

/// Called with the reason when a session is removed before its life was over.
pub type EvictionNotice = Box<dyn Fn(&'static str) + Send + Sync>;

/// All sessions of this process.
pub struct Sessions {
    /// Owns them: their number, and which of them goes first.
    live: moka::sync::Cache<SessionKey, Arc<Session>>,
    index: Arc<Index>,
    people: People,
    /// Those of the last login: they are the same for nearly all, and held once.
    scopes: Mutex<Arc<[String]>>,
    on_eviction: Arc<EvictionNotice>,
}

impl Sessions {
    /// `on_eviction` hears of sessions that go because of a limit.
    pub fn new(settings: &settings::Session, on_eviction: EvictionNotice) -> Self {
        let on_eviction = Arc::new(on_eviction);
        let notice = Arc::clone(&on_eviction);
        let index = Arc::new(Index::new());
        let indexed = Arc::clone(&index);
        let live = moka::sync::Cache::builder()
            .max_capacity(settings.capacity)
            // The default policy refuses new keys when full: a fresh login would vanish.
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .eviction_listener(move |key, session: Arc<Session>, cause| {
                session.mark_ended();
                indexed.remove(&key);
                if cause == RemovalCause::Size {
                    notice("capacity");
                }
            })
            .build();
        Self { live, index, people: People::default(), scopes: Mutex::default(), on_eviction }
    }

    /// A new session with a new id, for a completed login.
    pub fn create(
        &self,
        person: Option<Person>,
        mut tokens: Tokens,
        per_person: usize,
        now: Instant,
    ) -> (SessionId, Arc<Session>) {
        let id = SessionId::generate();
        self.share_scopes(&mut tokens.scopes);
        let session = Arc::new(Session {
            key: id.key(),
            person: person.map(|person| self.people.share(person)),
            public_hash: id.public_hash(),
            tokens,
            created: now,
            last_used: AtomicU64::new(0),
            told: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            end_notice: Notify::new(),
        });
        self.index.insert(Arc::clone(&session));
        self.live.insert(session.key, Arc::clone(&session));
        for surplus in self.people.add(&session, per_person) {
            self.end(&surplus);
            (self.on_eviction)("per_person");
        }
        (id, session)
    }

    fn share_scopes(&self, scopes: &mut Arc<[String]>) {
        let mut last = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == *scopes {
            *scopes = Arc::clone(&last);
        } else {
            *last = Arc::clone(scopes);
        }
    }

    /// The live session with this key; notes its use.
    pub fn find(
        &self,
        key: &SessionKey,
        lifetimes: Lifetimes,
        now: Instant,
    ) -> Option<Arc<Session>> {
        let session = self.index.find(key)?;
        if !session.is_live(lifetimes, now) {
            self.end(&session);
            return None;
        }
        if session.touch(now) {
            self.live.get(key);
        }
        Some(session)
    }

    /// Ends a session: from now on no request finds it, on any worker.
    pub fn end(&self, session: &Session) {
        session.mark_ended();
        self.live.invalidate(&session.key);
    }

    /// How many sessions there are, roughly.
    pub fn count(&self) -> u64 {
        self.live.entry_count()
    }

    /// Ends what has run out, so that memory and the count follow time. Called now and then.
    pub fn tidy(&self, lifetimes: Lifetimes, now: Instant) {
        for session in self.index.all_that(|session| !session.is_live(lifetimes, now)) {
            self.end(&session);
        }
        self.live.run_pending_tasks();
        self.people.tidy();
    }
}
