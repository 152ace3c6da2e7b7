//! What other replicas do, as it is heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use crate::session::id::SessionKey;
use crate::store::Change;

const COUNTED_EVERY: Duration = Duration::from_secs(10);

/// How soon after a count that failed.
const COUNTED_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Never ends.
pub async fn follow(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    loop {
        let change = changes.next().await;
        // Before any session is looked for: what is being fetched is not there yet.
        shared.heard.fetch_add(1, Ordering::SeqCst);
        shared.heed(change);
    }
}

impl Shared {
    fn heed(&self, change: Change) {
        match change {
            Change::Removed { name } => {
                if let Some(session) = self.held.find(&SessionKey::from(name)) {
                    self.held.end(&session);
                    // For who waits to refresh it.
                    session.doubt();
                }
            }
            Change::Changed { name, generation } => {
                let session = self.held.find(&SessionKey::from(name));
                let is_newer = |known: u64| known < generation;
                if let Some(session) = session.filter(|it| is_newer(it.tokens().generation)) {
                    session.doubt();
                }
            }
            Change::Everything => {
                for session in self.held.all_that(|_| true) {
                    session.doubt();
                }
            }
        }
    }
}

/// Never ends.
pub async fn keep_counting(shared: Arc<Shared>) {
    loop {
        let pause = match shared.store.count().await {
            Ok(count) => {
                shared.count.store(count, Ordering::Relaxed);
                COUNTED_EVERY
            }
            Err(_) => COUNTED_AGAIN_AFTER,
        };
        tokio::time::sleep(pause).await;
    }
}
