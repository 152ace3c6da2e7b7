//! The two names of a session: what the cookie holds, and what the store knows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::seal;
use crate::secret::Secret;
use crate::store::{RecordKey, RecordName};

/// 256 random bits that only the browser's cookie holds. Who has it, has the session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Zeroizing<[u8; 32]>);

/// SHA-256 of the id: names the session in the store and gives nothing away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

impl From<RecordName> for SessionKey {
    fn from(name: RecordName) -> Self {
        Self(*name.as_bytes())
    }
}

impl SessionKey {
    /// The name of its record in a shared store, which is the same.
    pub(super) fn record_name(&self) -> RecordName {
        RecordName::new(self.0)
    }

    /// The first eight bytes, which are as good as random.
    pub(super) fn prefix(&self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("32 bytes");
        u64::from_ne_bytes(*first)
    }
}

impl SessionId {
    pub fn generate() -> Self {
        Self(Zeroizing::new(seal::random()))
    }

    /// Reads a cookie's value: 43 base64url characters, nothing else.
    pub fn from_cookie(value: &[u8]) -> Option<Self> {
        let mut id = Zeroizing::new([0; 32]);
        let length = URL_SAFE_NO_PAD.decode_slice(value, id.as_mut_slice()).ok()?;
        (length == 32).then_some(Self(id))
    }

    pub fn to_cookie(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(*self.0))
    }

    pub fn key(&self) -> SessionKey {
        SessionKey(seal::sha256(self.0.as_slice()))
    }

    /// What finds and opens its record in a shared store.
    pub(super) fn record_key(&self) -> RecordKey {
        RecordKey::of_id(&self.0)
    }

    pub fn public_hash(&self) -> PublicHash {
        const LABEL: &[u8] = b"codescan-oauth-proxy session_id_hash\0";
        let mut input = Zeroizing::new(Vec::with_capacity(LABEL.len() + 32));
        input.extend_from_slice(LABEL);
        input.extend_from_slice(self.0.as_slice());
        let hash = seal::sha256(&input);
        let (first, _) = hash.split_first_chunk().expect("32 bytes");
        PublicHash(*first)
    }
}

/// What `{session_id_hash}` shows: tells sessions apart and leads neither to the cookie nor to
/// the store's key.
#[derive(Clone, Copy)]
pub struct PublicHash([u8; 16]);

impl PublicHash {
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_leads_back_to_its_id_and_to_one_key() {
        let id = SessionId::generate();
        let cookie = id.to_cookie();
        assert_eq!(cookie.expose().len(), 43);
        let read = SessionId::from_cookie(cookie.expose().as_bytes()).expect("reads");
        assert_eq!(read.key(), id.key());
        assert_ne!(SessionId::generate().key(), id.key());
    }

    #[test]
    fn broken_cookies_are_no_ids() {
        let good = SessionId::generate().to_cookie();
        let longer = format!("{}A", good.expose());
        let padded = format!("{}=", good.expose());
        for broken in ["", "x", &good.expose()[..42], &longer, &padded, "💥", &"A".repeat(4096)] {
            assert!(SessionId::from_cookie(broken.as_bytes()).is_none(), "{broken}");
        }
    }

    #[test]
    fn the_public_hash_is_another_derivation() {
        let id = SessionId::generate();
        let hash = id.public_hash().to_text();
        assert_eq!(hash.len(), 22);
        assert!(!URL_SAFE_NO_PAD.encode(id.key().0).starts_with(&hash));
    }
}
