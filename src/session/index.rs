//! Finds a session by its key, for every request of every worker.
//!
//! moka owns the sessions, and asking it costs about a microsecond: more than everything else
//! that is done to find one. So it is asked about once a minute for a session, and this index,
//! which holds what moka holds, answers all other requests in a twentieth of the time.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashTable;

use super::Session;
use super::id::SessionKey;

/// Workers read one part while another is written to.
const SHARDS: usize = 64;

pub struct Index {
    shards: [RwLock<HashTable<Entry>>; SHARDS],
}

/// Keeps the hash, so that a table that grows need not look at each session.
struct Entry {
    hash: u64,
    session: Arc<Session>,
}

impl Index {
    pub fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()) }
    }

    pub fn insert(&self, session: Arc<Session>) {
        let hash = hash(&session.key);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        shard.insert_unique(hash, Entry { hash, session }, |entry| entry.hash);
    }

    pub fn find(&self, key: &SessionKey) -> Option<Arc<Session>> {
        let hash = hash(key);
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.find(hash, |entry| entry.hash == hash && entry.session.key == *key)?;
        Some(Arc::clone(&entry.session))
    }

    pub fn remove(&self, key: &SessionKey) {
        let hash = hash(key);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        let found = shard.find_entry(hash, |entry| entry.session.key == *key);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    /// Looks at all; no part is held longer than it takes to look at it.
    pub fn all_that(&self, is_wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut wanted = Vec::new();
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let found = shard.iter().filter(|entry| is_wanted(&entry.session));
            wanted.extend(found.map(|entry| Arc::clone(&entry.session)));
        }
        wanted
    }

    fn shard(&self, hash: u64) -> &RwLock<HashTable<Entry>> {
        // The table itself uses the highest and the lowest bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

/// A key is a SHA-256 already, and only keys of our own making are ever in a table.
fn hash(key: &SessionKey) -> u64 {
    key.prefix()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use crate::config::settings;
    use crate::secret::Secret;
    use crate::session::tokens::Tokens;
    use crate::session::{Lifetimes, Sessions};

    pub fn settings(capacity: u64) -> settings::Session {
        settings::Session {
            store: settings::Store::Memory,
            ca_file: None,
            capacity,
            idle_timeout: Duration::from_hours(1),
            max_lifetime: Duration::from_hours(8),
            per_person: 50,
            cookie_name: "session".to_owned(),
            cookie_name_is_set: false,
            cookie_secrets: Vec::new(),
            refresh_before: Duration::from_mins(5),
            logout_routes: Vec::new(),
        }
    }

    fn tokens(now: Instant) -> Tokens {
        Tokens {
            access: Secret::new("token"),
            refresh: None,
            scopes: Vec::new().into(),
            received: now,
            generation: 0,
            expires_at: now + Duration::from_hours(1),
        }
    }

    #[test]
    fn what_moka_lets_go_is_not_found_any_more() {
        let settings = settings(10);
        let lifetimes = Lifetimes::new(&settings);
        let sessions = Sessions::new(&settings, Box::new(|_| {}));
        let now = Instant::now();
        let made: Vec<_> = (0..30).map(|_| sessions.create(None, tokens(now), 50, now).1).collect();
        sessions.tidy(lifetimes, now);
        let found = |now| {
            made.iter().filter(|made| sessions.find(&made.key, lifetimes, now).is_some()).count()
        };
        assert_eq!((found(now), sessions.count()), (10, 10));
        let later = now + Duration::from_hours(1);
        sessions.tidy(lifetimes, later);
        assert_eq!((found(later), sessions.count()), (0, 0));
        assert_eq!(sessions.index.all_that(|_| true).len(), 0);
    }
}
