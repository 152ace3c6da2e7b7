//! What one Bitbucket knows, shared by all its connections.

use super::calls::Calls;
use super::faults::{Faults, RateLimit};
use super::grants::Grants;
use super::options::BitbucketOptions;
use super::people::{self, Person, Project};
use crate::random;
use crate::record::Journal;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) struct State {
    pub(super) context_path: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) application: String,
    pub(super) scopes: Vec<String>,
    pub(super) faults: watch::Sender<Faults>,
    pub(super) calls: Calls,
    pub(super) journal: Journal,
    origin: OnceLock<String>,
    redirect_urls: Mutex<Vec<String>>,
    grants: Mutex<Grants>,
    people: Mutex<Vec<Person>>,
    projects: Mutex<Vec<Project>>,
    sessions: Mutex<HashMap<String, String>>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What is left of a person's allowance.
struct Bucket {
    left: f64,
    filled: Instant,
}

impl State {
    pub(super) fn new(options: BitbucketOptions) -> Self {
        Self {
            context_path: options.context_path.trim_end_matches('/').to_owned(),
            client_id: options.client_id.unwrap_or_else(|| random::hex(16)),
            client_secret: options.client_secret.unwrap_or_else(|| random::hex(32)),
            application: options.application,
            scopes: options.scopes,
            faults: watch::Sender::new(options.faults),
            calls: Calls::new(),
            journal: Journal::new(),
            origin: OnceLock::new(),
            redirect_urls: Mutex::new(options.redirect_urls),
            grants: Mutex::default(),
            people: Mutex::new(people::people()),
            projects: Mutex::new(people::projects()),
            sessions: Mutex::default(),
            buckets: Mutex::default(),
        }
    }

    /// Once, when the port is known.
    pub(super) fn set_origin(&self, origin: String) {
        self.origin.get_or_init(|| origin);
    }

    pub(super) fn base(&self) -> String {
        let origin = self.origin.get().map_or("", String::as_str);
        format!("{origin}{}", self.context_path)
    }

    /// The behaviour as it is now.
    pub(super) fn now(&self) -> Faults {
        self.faults.borrow().clone()
    }

    pub(super) fn redirect_urls(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.redirect_urls)
    }

    pub(super) fn grants(&self) -> MutexGuard<'_, Grants> {
        lock(&self.grants)
    }

    pub(super) fn people(&self) -> MutexGuard<'_, Vec<Person>> {
        lock(&self.people)
    }

    pub(super) fn projects(&self) -> MutexGuard<'_, Vec<Project>> {
        lock(&self.projects)
    }

    /// Session cookie to slug.
    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<String, String>> {
        lock(&self.sessions)
    }

    /// Takes one request from the person's allowance; false if there is none left.
    pub(super) fn allows_one_more(&self, slug: &str, limit: RateLimit) -> bool {
        let mut buckets = lock(&self.buckets);
        let (now, capacity) = (Instant::now(), f64::from(limit.capacity));
        let full = Bucket { left: capacity, filled: now };
        let bucket = buckets.entry(slug.to_owned()).or_insert(full);
        let gained = now.duration_since(bucket.filled).as_secs_f64() * f64::from(limit.per_second);
        bucket.left = (bucket.left + gained).min(capacity);
        bucket.filled = now;
        let allowed = bucket.left >= 1.0;
        if allowed {
            bucket.left -= 1.0;
        }
        allowed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
