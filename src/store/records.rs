//! Records: opaque bytes with a generation. An older generation never overwrites a newer one.

use std::time::Duration;

use zeroize::Zeroizing;

use super::Store;
use super::call::{CREATE, Call, LOAD, NOTE_ATTEMPT, NOTE_USE, REMOVE, REPLACE};
use super::changes::{CHANNEL, Change};
use super::key::{RecordKey, RecordName};
use super::trouble::StoreError;

/// How long a record lives: it goes when the first of them is over.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// From its creation.
    pub whole: Duration,
    /// From its last use.
    pub idle: Duration,
}

/// A record as it is in the store. Times are as long ago, or as far ahead, by the store's clock,
/// so that the clocks of replicas need not agree.
pub struct Loaded {
    pub generation: u64,
    /// As it was before it was sealed.
    pub value: Zeroizing<Vec<u8>>,
    /// Since this generation was written.
    pub written_ago: Duration,
    pub unused_for: Duration,
    /// To the end of its whole life.
    pub ends_in: Duration,
    /// To the end of its idle life, or of its whole life if that comes first.
    pub expires_in: Duration,
    /// Since somebody noted an attempt on this generation ([`Store::note_attempt`]).
    pub attempted_ago: Option<Duration>,
}

/// What became of a new generation.
pub enum Replaced {
    /// It is the one in the store.
    Stored,
    /// The store has one as new or newer, which is this.
    Newer(Loaded),
    /// The record was removed or its life is over; nothing was stored.
    Gone,
}

/// Outcomes that `replace.lua` tells.
const STORED: i64 = 1;
const GONE: i64 = -1;

impl Store {
    /// Keeps a new record; `false` if another one has its name. One round trip.
    pub async fn create(
        &self,
        key: &RecordKey,
        generation: u64,
        value: &[u8],
        lives: Lives,
    ) -> Result<bool, StoreError> {
        let call = Call::new(&CREATE, [key.name().record()])
            .arg(generation)
            .arg(key.seal(generation, value))
            .arg(milliseconds(lives.whole))
            .arg(milliseconds(lives.idle));
        self.link.run(call).await
    }

    /// The record, if it is there. One round trip.
    pub async fn load(&self, key: &RecordKey) -> Result<Option<Loaded>, StoreError> {
        let call = Call::new(&LOAD, [key.name().record()]);
        let row: Option<Row> = self.link.run(call).await?;
        row.map(|row| loaded(key, row)).transpose()
    }

    /// Puts a new generation in the place of an older one, and tells the other replicas. Neither
    /// the life nor the last use changes. One round trip, two where it came too late.
    pub async fn replace(
        &self,
        key: &RecordKey,
        generation: u64,
        value: &[u8],
    ) -> Result<Replaced, StoreError> {
        let change = Change::Changed { name: key.name(), generation };
        let call = Call::new(&REPLACE, [key.name().record()])
            .arg(generation)
            .arg(key.seal(generation, value))
            .arg(CHANNEL)
            .arg(change.message(&self.sender));
        match self.link.run(call).await? {
            STORED => Ok(Replaced::Stored),
            GONE => Ok(Replaced::Gone),
            _ => Ok(self.load(key).await?.map_or(Replaced::Gone, Replaced::Newer)),
        }
    }

    /// Removes a record and tells the other replicas; whether it was there. One round trip.
    pub async fn remove(&self, name: RecordName) -> Result<bool, StoreError> {
        let call = Call::new(&REMOVE, [name.record()])
            .arg(CHANNEL)
            .arg(Change::Removed { name }.message(&self.sender));
        self.link.run(call).await
    }

    /// Notes a use `ago`; the generation in the store, or nothing if the record is gone. Only
    /// ever lengthens a life, however late it comes. One round trip; meant for once a minute.
    pub async fn note_use(
        &self,
        name: RecordName,
        ago: Duration,
        idle: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let call =
            Call::new(&NOTE_USE, [name.record()]).arg(milliseconds(ago)).arg(milliseconds(idle));
        self.link.run(call).await
    }

    /// Notes that something is about to be tried that may succeed for this generation once only;
    /// `false` if it is not the one in the store. [`Loaded::attempted_ago`] tells others. One
    /// round trip.
    pub async fn note_attempt(
        &self,
        name: RecordName,
        generation: u64,
    ) -> Result<bool, StoreError> {
        let call = Call::new(&NOTE_ATTEMPT, [name.record()]).arg(generation);
        self.link.run(call).await
    }
}

/// What `load.lua` returns.
type Row = (u64, Vec<u8>, i64, i64, i64, i64, i64);

fn loaded(key: &RecordKey, row: Row) -> Result<Loaded, StoreError> {
    let (generation, sealed, written_ago, unused_for, ends_in, expires_in, attempted_ago) = row;
    Ok(Loaded {
        generation,
        value: key.open(generation, &sealed)?,
        written_ago: duration(written_ago),
        unused_for: duration(unused_for),
        ends_in: duration(ends_in),
        expires_in: duration(expires_in),
        attempted_ago: (attempted_ago >= 0).then(|| duration(attempted_ago)),
    })
}

/// Of what happened just now on a server whose clock has been set back, nothing.
fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
