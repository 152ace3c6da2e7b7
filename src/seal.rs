//! Sealing and deriving, under `session.cookie_secret` or another secret of 32 bytes.
//!
//! Each sealed value has a key of its own, derived by HKDF (RFC 5869) from the secret, a label
//! for the use and 24 random bytes, as unlimited strangers may cause a value to be sealed and a
//! 96-bit random nonce under one key would not be safe for ever.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::settings::CookieSecret;
use crate::secret::Secret;

const SALT_LENGTH: usize = 24;

/// The secrets: the first seals, all open.
pub struct Sealer {
    secrets: Vec<CookieSecret>,
}

/// Which of the secrets opened a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretIndex(usize);

impl SecretIndex {
    /// The secret that seals now.
    pub const CURRENT: Self = Self(0);
}

impl Sealer {
    /// With no secret configured, one is made for the life of the process.
    pub fn new(secrets: &[CookieSecret]) -> Self {
        let secrets = match secrets {
            [] => vec![CookieSecret::new(random())],
            given => given.to_vec(),
        };
        Self { secrets }
    }

    /// Seals `plain` for the use that `label` names, bound to `associated` (RFC 5116 §2.1).
    pub fn seal(&self, label: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
        seal_under(&self.secrets[0], label, associated, plain)
    }

    /// Opens what [`Sealer::seal`] made for the same use; `None` if anything about it differs.
    pub fn open(
        &self,
        label: &[u8],
        associated: &[u8],
        sealed: &[u8],
    ) -> Option<(SecretIndex, Vec<u8>)> {
        self.secrets.iter().enumerate().find_map(|(index, secret)| {
            let plain = open_under(secret, label, associated, sealed)?;
            Some((SecretIndex(index), plain))
        })
    }

    /// 43 base64url characters that only the holder of the secret can make of `parts`.
    pub fn derive(&self, index: SecretIndex, label: &[u8], parts: &[&[u8]]) -> Secret {
        let key: [u8; 32] = expand(&self.secrets[index.0], &[], label);
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        for part in parts {
            // Lengths go in too, so that no two lists of parts read alike (CVE-2023-35941).
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Secret::new(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

/// Seals `plain` under 32 secret bytes, for the use that `label` names, bound to `associated`.
pub fn seal_under(secret: &[u8; 32], label: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let salt: [u8; SALT_LENGTH] = random();
    let mut sealed = Vec::with_capacity(SALT_LENGTH + plain.len() + 16);
    sealed.extend_from_slice(plain);
    value_key(secret, &salt, label)
        .seal_in_place_append_tag(only_nonce(), Aad::from(associated), &mut sealed)
        .expect("a value far below the cipher's length limit");
    sealed.splice(0..0, salt);
    sealed
}

/// Opens what [`seal_under`] made of the same; `None` if anything about it differs.
pub fn open_under(
    secret: &[u8; 32],
    label: &[u8],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (salt, ciphertext) = sealed.split_at_checked(SALT_LENGTH)?;
    let mut buffer = ciphertext.to_vec();
    let plain = value_key(secret, salt, label)
        .open_in_place(only_nonce(), Aad::from(associated), &mut buffer)
        .ok()?;
    Some(plain.to_vec())
}

/// 32 bytes for the use that `label` names, which lead back neither to `secret` nor to those of
/// another use.
pub fn derive_key(secret: &[u8; 32], label: &[u8]) -> [u8; 32] {
    expand(secret, &[], label)
}

/// Fresh random bytes from the system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random generator answers");
    bytes
}

/// SHA-256 of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn value_key(secret: &[u8; 32], salt: &[u8], label: &[u8]) -> LessSafeKey {
    let key: [u8; 32] = expand(secret, salt, label);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a key of 32 bytes"))
}

/// A key seals one value in its life, so one nonce is enough.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn expand(secret: &[u8; 32], salt: &[u8], label: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret.as_slice())
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are within HKDF's output limit");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> CookieSecret {
        CookieSecret::new([byte; 32])
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_use_only() {
        let sealer = Sealer::new(&[secret(1)]);
        let value = sealer.seal(b"state", b"https://a", b"/projects");
        let opened = sealer.open(b"state", b"https://a", &value).expect("opens");
        assert_eq!(opened.1, b"/projects");
        assert!(sealer.open(b"other", b"https://a", &value).is_none());
        assert!(sealer.open(b"state", b"https://b", &value).is_none());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealer = Sealer::new(&[secret(1)]);
        let value = sealer.seal(b"state", b"", b"x");
        for index in 0..value.len() {
            let mut changed = value.clone();
            changed[index] ^= 1;
            assert!(sealer.open(b"state", b"", &changed).is_none(), "byte {index}");
            assert!(sealer.open(b"state", b"", &value[..index]).is_none(), "cut at {index}");
        }
    }

    #[test]
    fn an_older_secret_still_opens_and_the_first_one_seals() {
        let old = Sealer::new(&[secret(1)]).seal(b"state", b"", b"x");
        let rotated = Sealer::new(&[secret(2), secret(1)]);
        assert_eq!(rotated.open(b"state", b"", &old), Some((SecretIndex(1), b"x".to_vec())));
        let new = rotated.seal(b"state", b"", b"y");
        assert!(Sealer::new(&[secret(2)]).open(b"state", b"", &new).is_some());
    }

    #[test]
    fn derived_values_differ_with_the_split_of_their_parts() {
        let sealer = Sealer::new(&[secret(1)]);
        let derive = |parts: &[&[u8]]| sealer.derive(SecretIndex::CURRENT, b"pkce", parts);
        assert!(derive(&[b"ab", b"c"]) != derive(&[b"a", b"bc"]));
        assert!(derive(&[b"ab", b"c"]) == derive(&[b"ab", b"c"]));
        assert_eq!(derive(&[]).expose().len(), 43, "RFC 7636 §4.1: 43 to 128 characters");
    }

    #[test]
    fn without_a_secret_each_process_has_its_own() {
        let value = Sealer::new(&[]).seal(b"state", b"", b"x");
        assert!(Sealer::new(&[]).open(b"state", b"", &value).is_none());
    }
}
