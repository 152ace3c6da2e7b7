//! What is done once, whichever replica is asked: the exchange of a login attempt.
//!
//! Who comes first claims it with a record, and later writes there what came of it; who comes
//! second waits for that. The record's key is a secret of the attempt, which the browser brings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::session::id::SessionId;
use crate::store::{Lives, RecordKey, StoreError};

/// How long a result is kept: as long as a browser may bring the attempt.
const KEPT: Lives = Lives { whole: Duration::from_mins(10), idle: Duration::from_mins(10) };

/// How often who waits looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whose a claim is.
pub enum Claim {
    Ours,
    /// Another replica's, who made this session of it; none if it made none.
    Theirs(Option<SessionId>),
}

/// The generations of a claim.
const CLAIMED: u64 = 0;
const SETTLED: u64 = 1;

impl Shared {
    /// Waits for a result of another replica for so long.
    pub async fn claim(
        self: &Arc<Self>,
        secret: &[u8; 32],
        patience: Duration,
    ) -> Result<Claim, StoreError> {
        let (key, began) = (RecordKey::of_claim(secret), Instant::now());
        if self.store.create(&key, CLAIMED, &[], KEPT).await? {
            return Ok(Claim::Ours);
        }
        while began.elapsed() < patience {
            match self.store.load(&key).await? {
                Some(loaded) if loaded.generation == SETTLED => {
                    return Ok(Claim::Theirs(SessionId::from_cookie(&loaded.value)));
                }
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
                None => break,
            }
        }
        Ok(Claim::Theirs(None))
    }

    /// What came of a claim.
    pub async fn settle(&self, secret: &[u8; 32], session: Option<&SessionId>) {
        let id = session.map(SessionId::to_cookie);
        let value = id.as_ref().map_or("", |id| id.expose());
        let key = RecordKey::of_claim(secret);
        if let Err(error) = self.store.replace(&key, SETTLED, value.as_bytes()).await {
            tracing::debug!("a reload of a login may have to begin again: {error}");
        }
    }
}
