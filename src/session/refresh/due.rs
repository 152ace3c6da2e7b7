//! Sessions in use, by the moment when their tokens are to be refreshed.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use crate::session::Session;

/// A session whose tokens of this generation come due. The session may be gone by then.
pub struct Due {
    pub session: Weak<Session>,
    pub generation: u64,
    at: Instant,
}

/// Each session in use stands here about once for each pair of tokens.
#[derive(Default)]
pub struct DueQueue {
    waiting: Mutex<BinaryHeap<Reverse<Due>>>,
    sooner: Notify,
}

impl DueQueue {
    pub fn push(&self, at: Instant, session: &Arc<Session>, generation: u64) {
        let mut waiting = self.lock();
        let is_first = waiting.peek().is_none_or(|Reverse(first)| at < first.at);
        waiting.push(Reverse(Due { session: Arc::downgrade(session), generation, at }));
        drop(waiting);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Waits for the next one. Dropping the future loses none.
    pub async fn next(&self) -> Due {
        loop {
            let first = match self.take(Instant::now()) {
                Ok(due) => return due,
                Err(first) => first,
            };
            tokio::select! {
                () = until(first) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// One that is due, or when the first will be.
    fn take(&self, now: Instant) -> Result<Due, Option<Instant>> {
        let mut waiting = self.lock();
        match waiting.peek() {
            Some(Reverse(first)) if first.at > now => Err(Some(first.at)),
            Some(_) => waiting.pop().map(|Reverse(due)| due).ok_or(None),
            None => Err(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Due>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Due {}
