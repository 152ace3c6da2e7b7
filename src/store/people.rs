//! The records of each person, whose number is bounded.

use std::time::Duration;

use super::Store;
use super::call::{Call, JOIN_PERSON, LEAVE_PERSON, NOTE_PERSON_USE};
use super::key::{PersonKey, RecordName};
use super::records::{Lives, milliseconds};
use super::trouble::{StoreError, Trouble};

impl Store {
    /// Counts a record as a person's. Returns those that are then too many, the longest unused
    /// first and never this one: they are for the caller to remove. One round trip.
    pub async fn join_person(
        &self,
        person: &PersonKey,
        name: RecordName,
        lives: Lives,
        at_most: usize,
    ) -> Result<Vec<RecordName>, StoreError> {
        let call = Call::new(&JOIN_PERSON, [person.by_use(), person.by_end()])
            .arg(name.to_text())
            .arg(milliseconds(lives.whole))
            .arg(milliseconds(lives.idle))
            .arg(at_most);
        let surplus: Vec<Vec<u8>> = self.link.run(call).await?;
        let names = surplus.iter().map(|text| RecordName::from_text(text));
        names.collect::<Option<_>>().ok_or(StoreError::Unavailable(Trouble::Odd))
    }

    /// Notes a use `ago` of one of a person's records. Belongs to [`Store::note_use`], and may go
    /// out with it at the same time. One round trip.
    pub async fn note_person_use(
        &self,
        person: &PersonKey,
        name: RecordName,
        ago: Duration,
    ) -> Result<(), StoreError> {
        let call = Call::new(&NOTE_PERSON_USE, [person.by_use()])
            .arg(name.to_text())
            .arg(milliseconds(ago));
        self.link.run(call).await
    }

    /// Counts records no more as a person's. Belongs to [`Store::remove`]. One round trip.
    pub async fn leave_person(
        &self,
        person: &PersonKey,
        names: &[RecordName],
    ) -> Result<(), StoreError> {
        let mut call = Call::new(&LEAVE_PERSON, [person.by_use(), person.by_end()]);
        for name in names {
            call = call.arg(name.to_text());
        }
        if names.is_empty() { Ok(()) } else { self.link.run(call).await }
    }
}
