//! A lock for each record, which ends by itself if its owner dies.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Store;
use super::call::{Call, LOCK, UNLOCK};
use super::key::RecordName;
use super::records::milliseconds;
use super::trouble::StoreError;
use crate::seal;

/// Who holds a lock: made anew for each time it is wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct LockToken(String);

impl LockToken {
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(seal::random::<16>()))
    }
}

/// What became of the wish for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Ours,
    /// It is another's, at the longest for this long if nobody prolongs it.
    Held(Duration),
}

/// What the owner of a lock knows of the attempt that it noted ([`Store::note_attempt`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing can come of it any more: the note goes.
    Over,
    /// Something may still come of it.
    Open,
}

impl Store {
    /// Takes the lock of a record, or prolongs it if the token holds it already. A token whose
    /// request failed may be used again. One round trip.
    pub async fn lock(
        &self,
        name: RecordName,
        token: &LockToken,
        held_for: Duration,
    ) -> Result<Lock, StoreError> {
        let call = Call::new(&LOCK, [name.lock()]).arg(&token.0).arg(milliseconds(held_for));
        let remaining: u64 = self.link.run(call).await?;
        Ok(match remaining {
            0 => Lock::Ours,
            remaining => Lock::Held(Duration::from_millis(remaining)),
        })
    }

    /// Gives a lock back; `false` if it was not (any more) the token's. One round trip.
    pub async fn unlock(
        &self,
        name: RecordName,
        token: &LockToken,
        attempt: Attempt,
    ) -> Result<bool, StoreError> {
        let is_over = u8::from(attempt == Attempt::Over);
        let call = Call::new(&UNLOCK, [name.lock(), name.record()]).arg(&token.0).arg(is_over);
        self.link.run(call).await
    }
}
