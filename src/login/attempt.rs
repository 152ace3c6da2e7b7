//! A login in progress, kept by the browser alone in two halves.
//!
//! One half is `state`, a sealed record that goes to Bitbucket and back; the other a small cookie
//! that never leaves the browser's dealings with us. The PKCE verifier is derived from both, so
//! neither half is of use alone, and a stranger's request costs no memory.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Builder;

use super::return_to::ReturnTo;
use crate::config::Settings;
use crate::seal::{self, Sealer, SecretIndex};
use crate::secret::Secret;

/// How long a person may take at Bitbucket.
pub const LIFETIME: Duration = Duration::from_mins(10);

/// What makes a `state` ours at first sight.
pub const STATE_PREFIX: &str = "cop1.";

const STATE_LABEL: &[u8] = b"login state v1";
const VERIFIER_LABEL: &[u8] = b"code_verifier v1";

/// Names an attempt: a `UUIDv7`, so that the oldest of several can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptId([u8; 16]);

impl AttemptId {
    fn generate(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let millis = u64::try_from(since).unwrap_or(u64::MAX);
        let id = Builder::from_unix_timestamp_millis(millis, &seal::random());
        Self(id.into_uuid().into_bytes())
    }

    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub fn from_text(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut id).ok()?;
        (length == 16).then_some(Self(id))
    }

    /// The milliseconds of its making come first (RFC 9562 §5.7).
    pub fn age_order(self) -> [u8; 16] {
        self.0
    }
}

/// A new attempt: what the browser is to carry.
pub struct Started {
    pub id: AttemptId,
    pub state: String,
    pub cookie: Secret,
    pub verifier: Secret,
}

/// A `state` of ours that came back whole.
pub struct Returned {
    pub id: AttemptId,
    pub return_to: ReturnTo,
    cookie_hash: [u8; 32],
    expires: u64,
    opened_by: SecretIndex,
}

/// Makes and reads attempts for one installation.
pub struct Attempts<'a> {
    pub sealer: &'a Sealer,
    pub settings: &'a Settings,
}

impl Attempts<'_> {
    pub fn start(&self, return_to: &ReturnTo, now: SystemTime) -> Started {
        let id = AttemptId::generate(now);
        let cookie = Secret::new(URL_SAFE_NO_PAD.encode(seal::random::<32>()));
        let mut record = Vec::with_capacity(56 + return_to.as_str().len());
        record.extend_from_slice(&id.0);
        record.extend_from_slice(&seal::sha256(cookie.expose().as_bytes()));
        record.extend_from_slice(&(unix_seconds(now) + LIFETIME.as_secs()).to_be_bytes());
        record.extend_from_slice(return_to.as_str().as_bytes());
        let sealed = self.sealer.seal(STATE_LABEL, &self.installation(), &record);
        Started {
            id,
            state: format!("{STATE_PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)),
            verifier: self.verifier(SecretIndex::CURRENT, id, cookie.expose().as_bytes()),
            cookie,
        }
    }

    /// Opens a `state`; `None` if we did not make it, or it was changed.
    pub fn open(&self, state: &str) -> Option<Returned> {
        let sealed = URL_SAFE_NO_PAD.decode(state.strip_prefix(STATE_PREFIX)?).ok()?;
        let (opened_by, record) = self.sealer.open(STATE_LABEL, &self.installation(), &sealed)?;
        let (id, rest) = record.split_first_chunk::<16>()?;
        let (cookie_hash, rest) = rest.split_first_chunk::<32>()?;
        let (expires, place) = rest.split_first_chunk::<8>()?;
        let place = std::str::from_utf8(place).ok()?;
        Some(Returned {
            id: AttemptId(*id),
            // Judged again: the settings may have changed since it was sealed.
            return_to: ReturnTo::parse(place, &self.settings.server.public_url),
            cookie_hash: *cookie_hash,
            expires: u64::from_be_bytes(*expires),
            opened_by,
        })
    }

    /// The verifier, if `cookie` is the attempt's other half.
    pub fn join(&self, returned: &Returned, cookie: &[u8]) -> Option<Secret> {
        let hash = seal::sha256(cookie);
        // Hashes of 256 random bits: a comparison that takes its time tells nothing of use.
        (hash == returned.cookie_hash)
            .then(|| self.verifier(returned.opened_by, returned.id, cookie))
    }

    fn verifier(&self, index: SecretIndex, id: AttemptId, cookie: &[u8]) -> Secret {
        self.sealer.derive(index, VERIFIER_LABEL, &[cookie, &id.0])
    }

    /// What a `state` is bound to: another installation's, or one from before the application
    /// link was changed, does not open.
    fn installation(&self) -> Vec<u8> {
        let public_url = self.settings.server.public_url.at("");
        format!("{public_url}\n{}", self.settings.bitbucket.client_id).into_bytes()
    }
}

impl Returned {
    pub fn has_expired(&self, now: SystemTime) -> bool {
        unix_seconds(now) >= self.expires
    }
}

pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
