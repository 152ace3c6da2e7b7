//! A session's place in the store that replicas share, and how long what is known of it here may
//! be relied on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};

use super::Session;
use crate::store::{PersonKey, RecordKey};

pub struct Place {
    pub(super) key: RecordKey,
    /// In whose count it is; nobody's where identity is not asked for.
    pub(super) person: Option<PersonKey>,
    /// The whole life that the store was told.
    pub(super) whole: Duration,
    /// Milliseconds from the session's beginning.
    confirmed_until: AtomicU64,
    /// Grows with each piece of news.
    doubts: AtomicU64,
    news: Notify,
    /// Held by who looks it up, so that one look serves all who wait for it.
    pub(super) look: Mutex<()>,
    /// The newest tokens are still to be stored.
    pub(super) is_unsaved: AtomicBool,
}

/// How many pieces of news there had been at some moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Doubts(u64);

impl Place {
    pub fn new(key: RecordKey, person: Option<PersonKey>, whole: Duration) -> Self {
        Self {
            key,
            person,
            whole,
            confirmed_until: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            news: Notify::new(),
            look: Mutex::default(),
            is_unsaved: AtomicBool::new(false),
        }
    }

    pub(super) fn confirmed_until(&self) -> u64 {
        self.confirmed_until.load(Ordering::Acquire)
    }

    pub(super) fn doubts(&self) -> Doubts {
        Doubts(self.doubts.load(Ordering::SeqCst))
    }

    /// The next piece of news, from when this was called.
    pub(super) fn news(&self) -> &Notify {
        &self.news
    }
}

impl Session {
    /// Whether what is known here still counts. Always, where there is no shared store.
    pub(super) fn is_confirmed(&self, now: Instant) -> bool {
        self.place.as_ref().is_none_or(|place| self.millis(now) < place.confirmed_until())
    }

    /// There is news: the next request looks the session up.
    pub(super) fn doubt(&self) {
        let Some(place) = &self.place else { return };
        // First, so that a look that is under way does not confirm what it may have missed.
        place.doubts.fetch_add(1, Ordering::SeqCst);
        let _renewal = self.renewal();
        place.confirmed_until.store(0, Ordering::Release);
        self.hold_requests();
        place.news.notify_waiters();
    }

    /// Nothing speaks against what is known here, `until` then: unless there was news after
    /// `since`.
    pub(super) fn confirm(&self, since: Doubts, until: Instant) {
        let Some(place) = &self.place else { return };
        let renewal = self.renewal();
        if place.doubts() != since {
            return;
        }
        place.confirmed_until.store(self.millis(until), Ordering::Release);
        if !renewal.is_under_way() {
            self.open();
        }
    }
}
