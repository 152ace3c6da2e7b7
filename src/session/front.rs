//! A worker's own small view of the sessions.
//!
//! Asking moka costs about a microsecond, more than everything else that is done to find a
//! session. So each worker remembers the ones it serves and tells moka of a use once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::id::SessionKey;
use super::{Lifetimes, Session, Sessions};

/// How often, at most, moka hears that a session is in use.
pub const USE_TOLD_EVERY: Duration = Duration::from_mins(1);

/// Sessions that one worker remembers; beyond it all are forgotten and asked for again.
const REMEMBERED: usize = 1 << 17;

pub struct Front {
    sessions: Arc<Sessions>,
    remembered: HashMap<SessionKey, Entry>,
}

struct Entry {
    session: Arc<Session>,
    told: Instant,
}

impl Front {
    pub fn new(sessions: Arc<Sessions>) -> Self {
        Self { sessions, remembered: HashMap::new() }
    }

    /// The live session with this key; notes its use.
    pub fn find(
        &mut self,
        key: &SessionKey,
        lifetimes: Lifetimes,
        now: Instant,
    ) -> Option<Arc<Session>> {
        if let Some(entry) = self.remembered.get_mut(key) {
            if entry.session.is_live(lifetimes, now) {
                entry.session.touch(now);
                if now.saturating_duration_since(entry.told) >= USE_TOLD_EVERY {
                    entry.told = now;
                    self.sessions.find(key);
                }
                return Some(Arc::clone(&entry.session));
            }
            self.remembered.remove(key);
        }
        self.ask(key, lifetimes, now)
    }

    /// Forgets what is no longer live. Called from the worker's tick.
    pub fn sweep(&mut self, lifetimes: Lifetimes, now: Instant) {
        self.remembered.retain(|_, entry| entry.session.is_live(lifetimes, now));
    }

    fn ask(
        &mut self,
        key: &SessionKey,
        lifetimes: Lifetimes,
        now: Instant,
    ) -> Option<Arc<Session>> {
        let session = self.sessions.find(key)?;
        if !session.is_live(lifetimes, now) {
            self.sessions.end(&session);
            return None;
        }
        session.touch(now);
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(*key, Entry { session: Arc::clone(&session), told: now });
        Some(session)
    }
}
