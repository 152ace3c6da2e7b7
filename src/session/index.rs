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

    /// The session with this one's key that is there, which may be this one from now on.
    pub fn get_or_insert(&self, session: Arc<Session>) -> Arc<Session> {
        let hash = hash(&session.key);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard.find(hash, |entry| entry.session.key == session.key) {
            return Arc::clone(&entry.session);
        }
        let held = Arc::clone(&session);
        shard.insert_unique(hash, Entry { hash, session }, |entry| entry.hash);
        held
    }

    pub fn find(&self, key: &SessionKey) -> Option<Arc<Session>> {
        let hash = hash(key);
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.find(hash, |entry| entry.hash == hash && entry.session.key == *key)?;
        Some(Arc::clone(&entry.session))
    }

    /// Removes this very session, not another one with its key.
    pub fn remove(&self, session: &Session) {
        let hash = hash(&session.key);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        let found =
            shard.find_entry(hash, |entry| std::ptr::eq(&raw const *entry.session, session));
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
