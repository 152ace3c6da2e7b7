//! The life of a session: made by a completed login, found by its cookie, ended once for all.
//!
//! Each process holds the sessions that it serves in memory ([`held`]). Where they are kept besides
//! is for [`store`] to know: nowhere, or in a store that replicas share ([`shared`]). This room
//! knows tokens and people, and nothing of requests but their cookies; who may do what with a
//! session is for [`crate::access`].

pub mod cookie;
pub mod fields;
mod held;
pub mod id;
mod index;
mod people;
mod place;
pub mod refresh;
mod sessions;
mod shared;
pub mod slept;
pub mod store;
pub mod tokens;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::sync::Notify;

use self::id::{PublicHash, SessionId, SessionKey};
use self::place::Place;
use self::refresh::Renewal;
pub use self::sessions::{EvictionNotice, NewSession, Sessions};
pub use self::shared::claims::Claim;
use self::tokens::Tokens;
use crate::bitbucket::Person;
use crate::config::settings;
pub use crate::store::StoreError;

/// How often, at most, moka and the store hear that a session is in use.
const USE_TOLD_EVERY: Duration = Duration::from_mins(1);

/// Where sessions are to end soon after their last use, that part of this time.
const OF_IDLE_LIFE: u32 = 10;

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
    /// access token's expiry, or the next look into the shared store if that comes first, or 0
    /// while the token is being refreshed. Changed under the lock of `renewal` only.
    good_until: AtomicU64,
    created: Instant,
    /// Seconds from `created` to the last request.
    last_used: AtomicU64,
    /// Seconds from `created` to the last use that moka and the store heard of.
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
    /// In the store that replicas share, where there is one.
    place: Option<Box<Place>>,
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

    /// How much later than it was told of a session may have been used.
    fn use_told_every(self) -> Duration {
        USE_TOLD_EVERY.min(self.idle / OF_IDLE_LIFE)
    }
}

impl Session {
    fn new(
        id: &SessionId,
        person: Option<Arc<Person>>,
        tokens: Tokens,
        created: Instant,
        place: Option<Box<Place>>,
    ) -> Self {
        let session = Self {
            key: id.key(),
            person: ArcSwapOption::new(person),
            public_hash: id.public_hash(),
            is_renewable: tokens.refresh.is_some(),
            good_until: AtomicU64::new(0),
            tokens: ArcSwap::from_pointee(tokens),
            created,
            last_used: AtomicU64::new(0),
            told: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            end_notice: Notify::new(),
            renewal: Mutex::default(),
            in_use: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            awaited: AtomicU64::new(0),
            distrusts_401: AtomicBool::new(false),
            place,
        };
        session.open();
        session
    }

    /// Whether a request may still use the session. By value, as a worker may hold what the
    /// store has dropped.
    pub fn is_live(&self, lifetimes: Lifetimes, now: Instant) -> bool {
        !self.has_ended() && !self.remaining(lifetimes, now).is_zero()
    }

    /// Whether a request may go on at once: the access token lives and is not being refreshed, and
    /// nothing speaks against what is known here of the session.
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

    /// Requests go on until the access token expires, or the session must be looked up again.
    fn open(&self) {
        let expiry = self.millis(self.tokens().expires_at);
        let confirmed_until = self.place.as_ref().map_or(u64::MAX, |place| place.confirmed_until());
        self.good_until.store(expiry.min(confirmed_until), Ordering::Release);
    }

    /// Requests wait, or look closer, until [`Session::open`].
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

    /// Notes a request. Whether moka and the store should hear of it.
    fn touch(&self, lifetimes: Lifetimes, now: Instant) -> bool {
        let used = self.note_use(now);
        let is_news = used.saturating_sub(self.told.load(Ordering::Relaxed))
            >= lifetimes.use_told_every().as_secs();
        if is_news {
            self.told.store(used, Ordering::Relaxed);
        }
        is_news
    }

    /// Seconds from `created` to `at`, which may have been elsewhere.
    fn note_use(&self, at: Instant) -> u64 {
        let used = at.saturating_duration_since(self.created).as_secs();
        if used > self.last_used.load(Ordering::Relaxed) {
            self.last_used.store(used, Ordering::Relaxed);
        }
        used
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
