//! Names in the store, and the sealing that hides what is kept under them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::trouble::StoreError;
use crate::seal::{self, Sealer, SecretIndex};

const SEAL_LABEL: &[u8] = b"codescan-oauth-proxy store record";
const VALUE_LABEL: &[u8] = b"value 1";
const PERSON_LABEL: &[u8] = b"codescan-oauth-proxy store person";

/// SHA-256 of the id that a record belongs to: all that the store ever sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordName {
    hash: [u8; 32],
    kind: Kind,
}

/// What a record is; only the first is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Lasting,
    Claim,
}

impl RecordName {
    pub const fn new(hash: [u8; 32]) -> Self {
        Self { hash, kind: Kind::Lasting }
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.hash
    }

    pub(super) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.hash)
    }

    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let mut hash = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut hash).ok()?;
        (length == 32).then_some(Self::new(hash))
    }

    /// In braces, so that a cluster keeps a record and its lock on one server.
    pub(super) fn record(self) -> String {
        let kind = match self.kind {
            Kind::Lasting => 'r',
            Kind::Claim => 'c',
        };
        format!("cop:{kind}:{{{}}}", self.to_text())
    }

    pub(super) fn lock(self) -> String {
        format!("cop:l:{{{}}}", self.to_text())
    }
}

/// Finds a record and opens it; made of 256 random bits that the store never sees.
#[derive(Clone)]
pub struct RecordKey {
    name: RecordName,
    seal: Zeroizing<[u8; 32]>,
}

impl RecordKey {
    pub fn of_id(id: &[u8; 32]) -> Self {
        Self {
            name: RecordName::new(seal::sha256(id)),
            seal: Zeroizing::new(seal::derive_key(id, SEAL_LABEL)),
        }
    }

    /// Of a record that says for a short while whose something is, and what came of it.
    pub fn of_claim(secret: &[u8; 32]) -> Self {
        let key = Self::of_id(secret);
        Self { name: RecordName { kind: Kind::Claim, ..key.name }, ..key }
    }

    pub fn name(&self) -> RecordName {
        self.name
    }

    pub(super) fn seal(&self, generation: u64, plain: &[u8]) -> Vec<u8> {
        seal::seal_under(&self.seal, VALUE_LABEL, &self.bound_to(generation), plain)
    }

    pub(super) fn open(
        &self,
        generation: u64,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let plain = seal::open_under(&self.seal, VALUE_LABEL, &self.bound_to(generation), sealed);
        plain.map(Zeroizing::new).ok_or(StoreError::Damaged)
    }

    /// A value put under another name, or another generation than it was made for, does not open.
    fn bound_to(&self, generation: u64) -> [u8; 40] {
        let mut associated = [0; 40];
        associated[..32].copy_from_slice(&self.name.hash);
        associated[32..].copy_from_slice(&generation.to_be_bytes());
        associated
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordKey").field(&self.name).finish()
    }
}

/// Stands for a person without telling who it is: a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PersonKey(String);

impl PersonKey {
    /// `identity` is what stays the same where a person is renamed. After a change of the first
    /// secret people have other keys, and their count begins anew.
    pub fn new(sealer: &Sealer, identity: &str) -> Self {
        let hash = sealer.derive(SecretIndex::CURRENT, PERSON_LABEL, &[identity.as_bytes()]);
        Self(hash.expose().to_owned())
    }

    pub(super) fn by_use(&self) -> String {
        format!("cop:p:{{{}}}:u", self.0)
    }

    pub(super) fn by_end(&self) -> String {
        format!("cop:p:{{{}}}:d", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::CookieSecret;

    #[test]
    fn a_value_opens_only_under_its_own_name_and_generation() {
        let key = RecordKey::of_id(&[1; 32]);
        let sealed = key.seal(7, b"token");
        assert_eq!(*key.open(7, &sealed).expect("opens"), b"token");
        assert!(matches!(key.open(6, &sealed), Err(StoreError::Damaged)));
        assert!(RecordKey::of_id(&[2; 32]).open(7, &sealed).is_err());
        let swapped = RecordKey { name: RecordName::new([0; 32]), seal: key.seal.clone() };
        assert!(swapped.open(7, &sealed).is_err());
    }

    #[test]
    fn names_and_keys_say_nothing_of_what_they_are_made_of() {
        let key = RecordKey::of_id(&[1; 32]);
        assert_ne!(key.name.as_bytes(), &[1; 32]);
        assert_ne!(&*key.seal, key.name.as_bytes());
        let sealed = key.seal(1, b"a token of some length");
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        let seal = format!("{:?}", key.seal);
        assert!(!format!("{key:?}").contains(&seal));
        let with_secret = |byte| Sealer::new(&[CookieSecret::new([byte; 32])]);
        let person = PersonKey::new(&with_secret(1), "alice");
        assert_eq!(person, PersonKey::new(&with_secret(1), "alice"));
        assert_ne!(person, PersonKey::new(&with_secret(2), "alice"));
        assert!(!person.by_use().contains("alice"));
    }

    #[test]
    fn a_name_is_read_back_and_nothing_else_is() {
        let name = RecordKey::of_id(&[1; 32]).name();
        assert_eq!(RecordName::from_text(name.to_text().as_bytes()), Some(name));
        for broken in ["", "x", "@@@@", &"A".repeat(42), &"A".repeat(44)] {
            assert_eq!(RecordName::from_text(broken.as_bytes()), None, "{broken}");
        }
    }
}
