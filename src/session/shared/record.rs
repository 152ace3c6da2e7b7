//! A session as it is kept in the store, sealed there: what cannot be told from the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bitbucket::Person;
use crate::secret::Secret;
use crate::session::Session;
use crate::session::place::Place;
use crate::session::tokens::Tokens;
use crate::store::PersonKey;

/// Times are milliseconds before or after the writing, whose age the store knows: so the clocks
/// of replicas need not agree. What a newer version adds, an older one ignores.
#[derive(Serialize, Deserialize)]
pub struct Record {
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    scopes: Vec<String>,
    received_ago: u64,
    expires_in: u64,
    /// The session's whole life.
    whole: u64,
    person: Option<Person>,
    /// In whose count it is.
    counted_as: Option<PersonKey>,
}

impl Record {
    pub fn of(session: &Session, tokens: &Tokens, place: &Place, now: Instant) -> Self {
        Self {
            access: exposed(&tokens.access),
            refresh: tokens.refresh.as_ref().map(exposed),
            scopes: tokens.scopes.to_vec(),
            received_ago: milliseconds(now.saturating_duration_since(tokens.received)),
            expires_in: milliseconds(tokens.expires_at.saturating_duration_since(now)),
            whole: milliseconds(place.whole),
            person: session.person().as_deref().cloned(),
            counted_as: place.person.clone(),
        }
    }

    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("text and numbers are JSON"))
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub fn whole(&self) -> Duration {
        Duration::from_millis(self.whole)
    }

    /// Who it is, in whose count, and the tokens. `written` is when the record was.
    pub fn take_apart(
        self,
        generation: u64,
        written: Instant,
    ) -> (Option<Person>, Option<PersonKey>, Tokens) {
        let received = Duration::from_millis(self.received_ago);
        let tokens = Tokens {
            access: hidden(self.access),
            refresh: self.refresh.map(hidden),
            scopes: Arc::from(self.scopes),
            received: written.checked_sub(received).unwrap_or(written),
            expires_at: written + Duration::from_millis(self.expires_in),
            generation,
        };
        (self.person, self.counted_as, tokens)
    }
}

/// For no eyes but the store's seal.
fn exposed(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(secret.expose().to_owned())
}

fn hidden(mut value: Zeroizing<String>) -> Secret {
    Secret::new(std::mem::take(&mut *value))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_adds_is_ignored() {
        let bytes = br#"{"access":"a","refresh":null,"scopes":[],"received_ago":1000,
            "expires_in":5000,"whole":9000,"person":null,"counted_as":null,"later":1}"#;
        let record = Record::from_bytes(bytes).expect("reads");
        assert_eq!(record.whole(), Duration::from_secs(9));
        let written = Instant::now();
        let (_, _, tokens) = record.take_apart(3, written);
        assert_eq!((tokens.generation, tokens.access.expose()), (3, "a"));
        assert_eq!(tokens.expires_at, written + Duration::from_secs(5));
        assert_eq!(tokens.received, written.checked_sub(Duration::from_secs(1)).expect("earlier"));
        assert!(Record::from_bytes(b"{}").is_none());
    }
}
