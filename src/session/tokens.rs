//! What Bitbucket gave for a session, and when it has to be renewed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bitbucket::TokenSet;
use crate::secret::Secret;

/// The longest that a refresh ahead of need is held back before the access token expires.
const LATEST_BEFORE_EXPIRY: Duration = Duration::from_secs(30);

/// A 401 to a token younger than this is no sign that the token has died.
const YOUNG: Duration = Duration::from_mins(1);

/// One pair of tokens. It is never changed: a refresh puts another in its place.
#[derive(Clone)]
pub struct Tokens {
    pub access: Secret,
    pub refresh: Option<Secret>,
    pub scopes: Arc<[String]>,
    pub received: Instant,
    pub expires_at: Instant,
    /// Grows by one with each refresh, so that an older pair never takes a newer one's place.
    pub generation: u64,
}

/// What an answer of 401 says of the token that the request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After401 {
    /// Nothing: the answer is the client's.
    PassOn,
    /// It is not the newest any more.
    Replay,
    /// It may have died before its time.
    RefreshAndReplay,
}

impl Tokens {
    /// Those of an exchange.
    pub fn new(set: TokenSet, now: Instant) -> Self {
        Self {
            access: set.access_token,
            refresh: set.refresh_token,
            scopes: set.scopes.into(),
            received: now,
            expires_at: now + set.expires_in,
            generation: 0,
        }
    }

    /// Those that a refresh gave for these.
    pub(super) fn followed_by(&self, set: TokenSet, now: Instant) -> Self {
        let mut next = Self { generation: self.generation + 1, ..Self::new(set, now) };
        if next.scopes == self.scopes {
            next.scopes = Arc::clone(&self.scopes);
        }
        next
    }

    /// The same pair, so much nearer to its end.
    pub(super) fn older_by(&self, slept: Duration) -> Self {
        let earlier = |at: Instant| at.checked_sub(slept).unwrap_or(at);
        Self {
            received: earlier(self.received),
            expires_at: earlier(self.expires_at),
            ..self.clone()
        }
    }

    /// The same pair as a new generation, with which something else is told.
    pub(super) fn next_edition(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }

    pub fn has_expired(&self, now: Instant) -> bool {
        now >= self.expires_at
    }

    /// From when on the tokens of a session in use are refreshed, by `session.refresh_before`.
    /// `jitter`, from 0 to 1, spreads those who logged in together.
    pub(super) fn due(&self, refresh_before: Duration, jitter: f64) -> Instant {
        let ahead = refresh_before.min(self.life() / 4);
        let from = self.expires_at.checked_sub(ahead).unwrap_or(self.received);
        let spread = self.latest().saturating_duration_since(from) / 4;
        from + spread.mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// When a refresh no longer waits for a moment without requests.
    pub(super) fn latest(&self) -> Instant {
        let before = LATEST_BEFORE_EXPIRY.min(self.life() / 10);
        self.expires_at.checked_sub(before).unwrap_or(self.received)
    }

    /// What a 401 means, to a request that carried the pair of generation `sent`; these are the
    /// newest.
    pub fn after_401(&self, sent: u64, now: Instant) -> After401 {
        if self.generation > sent {
            After401::Replay
        } else if self.refresh.is_some() && now.saturating_duration_since(self.received) > YOUNG {
            After401::RefreshAndReplay
        } else {
            After401::PassOn
        }
    }

    /// From when they were received to when the access token expires.
    pub(super) fn life(&self) -> Duration {
        self.expires_at.saturating_duration_since(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(life: Duration) -> Tokens {
        let set = TokenSet {
            access_token: Secret::new("a"),
            refresh_token: Some(Secret::new("r")),
            expires_in: life,
            scopes: vec!["REPO_ADMIN".into()],
        };
        Tokens::new(set, Instant::now())
    }

    #[test]
    fn due_by_the_setting_and_by_the_tokens_life() {
        const MINUTE: Duration = Duration::from_mins(1);
        for (life, setting, due, last_due, latest) in [
            (60 * MINUTE, 5 * MINUTE, 300.0, 232.5, 30.0),
            (60 * MINUTE, MINUTE, 60.0, 52.5, 30.0),
            (60 * MINUTE, 30 * MINUTE, 900.0, 682.5, 30.0),
            (8 * MINUTE, 5 * MINUTE, 120.0, 97.5, 30.0),
            (MINUTE, 5 * MINUTE, 15.0, 12.75, 6.0),
            (MINUTE / 60, 5 * MINUTE, 0.25, 0.2125, 0.1),
            // A setting below the latest moment: at once when it comes.
            (60 * MINUTE, MINUTE / 6, 10.0, 10.0, 30.0),
        ] {
            let tokens = tokens(life);
            let before = |at: Instant| tokens.expires_at.duration_since(at).as_secs_f64();
            let found = [
                before(tokens.due(setting, 0.0)),
                before(tokens.due(setting, 1.0)),
                before(tokens.latest()),
            ];
            let same = found.iter().zip([due, last_due, latest]).all(|(a, b)| (a - b).abs() < 1e-3);
            assert!(same, "{life:?} {setting:?}: {found:?}");
        }
    }

    #[test]
    fn generations_only_grow() {
        let first = tokens(Duration::from_hours(1));
        let set = TokenSet {
            access_token: Secret::new("b"),
            refresh_token: None,
            expires_in: Duration::from_secs(1),
            scopes: vec!["REPO_ADMIN".into()],
        };
        let next = first.followed_by(set, Instant::now());
        assert_eq!(next.generation, 1);
        assert!(Arc::ptr_eq(&next.scopes, &first.scopes), "held once");
    }

    #[test]
    fn what_a_401_means() {
        let mut newest = tokens(Duration::from_hours(1));
        newest.generation = 3;
        let at = |seconds| newest.received + Duration::from_secs(seconds);
        assert_eq!(newest.after_401(2, at(1)), After401::Replay);
        assert_eq!(newest.after_401(3, at(60)), After401::PassOn);
        assert_eq!(newest.after_401(3, at(61)), After401::RefreshAndReplay);
        newest.refresh = None;
        let at = newest.received + Duration::from_secs(61);
        assert_eq!(newest.after_401(3, at), After401::PassOn);
    }
}
