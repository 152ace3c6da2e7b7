//! The life of a session: made by a completed login, found by its cookie, ended once for all.
//!
//! Sessions live in memory. This room knows tokens and people, and nothing of requests but their
//! cookies; who may do what with a session is for [`crate::access`].

pub mod cookie;
pub mod fields;
pub mod id;
mod index;
mod people;
pub mod refresh;
pub mod slept;
pub mod tokens;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use moka::notification::RemovalCause;
use tokio::sync::Notify;

use self::id::{PublicHash, SessionId, SessionKey};
use self::index::Index;
use self::people::People;
use self::refresh::Renewal;
use self::tokens::Tokens;
use crate::bitbucket::Person;
use crate::config::settings;

/// How often, at most, moka hears that a session is in use.
const USE_TOLD_EVERY: Duration = Duration::from_mins(1);

/// One person's login in one browser.
pub struct Session {
    pub key: SessionKey,
    /// `None` where identity is not asked for (`bitbucket.whoami_url` empty).
    person: ArcSwapOption<Person>,
    public_hash: PublicHash,
    tokens: ArcSwap<Tokens>,
    /// Bitbucket gave a refresh token. Without one the session ends with its access token.
    is_renewable: bool,
    /// Milliseconds from `created` until which a request may go on without a closer look: the
    /// access token's expiry, or 0 while it is being refreshed.
    good_until: AtomicU64,
    created: Instant,
    /// Seconds from `created` to the last request.
    last_used: AtomicU64,
    /// Seconds from `created` to the last use that moka heard of.
    told: AtomicU64,
    ended: AtomicBool,
    end_notice: Notify,
    renewal: Mutex<Renewal>,
    /// A request has come since the last refresh was begun.
    in_use: AtomicBool,
    /// Requests that wait for a response head of `CodeScan`.
    in_flight: AtomicU32,
    /// A refresh is to begin when there is none of these: one more than the generation of the
    /// tokens that are then to be replaced, or 0.
    awaited: AtomicU64,
    /// A token just refreshed was a 401 too: `codescan.retry_on_401` is off for this session.
    distrusts_401: AtomicBool,
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
        !self.has_ended() && !self.remaining(lifetimes, now).is_zero()
    }

    /// Whether a request may go on at once: the access token lives, and is not being refreshed.
    pub fn has_good_token(&self, now: Instant) -> bool {
        self.millis(now) < self.good_until.load(Ordering::Acquire)
    }

    /// The tokens as they are now.
    pub fn tokens(&self) -> Guard<Arc<Tokens>> {
        self.tokens.load()
    }

    /// Whose it is, where that is known. It may be renamed while the session lives.
    pub fn person(&self) -> Guard<Option<Arc<Person>>> {
        self.person.load()
    }

    /// Requests go on until the access token expires.
    fn open_until_expiry(&self) {
        let expiry = self.millis(self.tokens().expires_at);
        self.good_until.store(expiry, Ordering::Release);
    }

    /// Requests wait, or look closer, until [`Session::open_until_expiry`].
    fn hold_requests(&self) {
        self.good_until.store(0, Ordering::Release);
    }

    fn renewal(&self) -> MutexGuard<'_, Renewal> {
        self.renewal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a 401 of `CodeScan` may mean that the token has died.
    pub fn believes_401(&self) -> bool {
        !self.distrusts_401.load(Ordering::Relaxed)
    }

    /// A 401 came to a new token as well. Whether that is news.
    pub fn distrust_401(&self) -> bool {
        !self.distrusts_401.swap(true, Ordering::Relaxed)
    }

    fn millis(&self, at: Instant) -> u64 {
        let age = at.saturating_duration_since(self.created);
        age.as_secs() * 1000 + u64::from(age.subsec_millis())
    }

    /// Until the session ends if it is not used: by its idle or its absolute life, or with an
    /// access token that cannot be renewed.
    pub fn remaining(&self, lifetimes: Lifetimes, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.created);
        let used = Duration::from_secs(self.last_used.load(Ordering::Relaxed));
        let idle = (used + lifetimes.idle).saturating_sub(age);
        let left = idle.min(lifetimes.absolute.saturating_sub(age));
        if self.is_renewable {
            return left;
        }
        left.min(self.tokens().expires_at.saturating_duration_since(now))
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

    /// The person's Bitbucket user name, or nothing where it is not known.
    pub fn user(&self) -> String {
        self.person().as_ref().map(|person| person.name.clone()).unwrap_or_default()
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
            person: ArcSwapOption::new(person.map(|person| self.people.share(person))),
            public_hash: id.public_hash(),
            is_renewable: tokens.refresh.is_some(),
            good_until: AtomicU64::new(0),
            tokens: ArcSwap::from_pointee(tokens),
            created: now,
            last_used: AtomicU64::new(0),
            told: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            end_notice: Notify::new(),
            renewal: Mutex::default(),
            in_use: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            awaited: AtomicU64::new(0),
            distrusts_401: AtomicBool::new(false),
        });
        session.open_until_expiry();
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

    /// Whether the session is this person's, who may have been renamed.
    fn know_again(&self, session: &Session, person: Person) -> bool {
        let known = session.person.load();
        if known.as_ref().is_some_and(|known| !known.is_same_as(&person)) {
            return false;
        }
        let tells_less = person.id.is_none() && known.as_ref().is_some_and(|it| it.id.is_some());
        if !tells_less {
            session.person.store(Some(self.people.share(person)));
        }
        true
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
