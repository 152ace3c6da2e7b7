//! After a refresh that failed: what went wrong, and when it is tried again.

use std::time::{Duration, Instant};

use crate::bitbucket::TokenError;
use crate::store::StoreError;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause while somebody waits for a token.
const LONGEST_WAITED_FOR: Duration = Duration::from_secs(10);

/// The longest pause otherwise, and where Bitbucket does not accept the client: that lasts until
/// somebody has changed a setting.
const LONGEST: Duration = Duration::from_mins(1);

/// The longest pause where the shared store does not answer: that it is back is known at once, and
/// asking it costs little.
const LONGEST_FOR_STORE: Duration = Duration::from_secs(2);

/// What kept a refresh from bringing new tokens.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Obstacle {
    #[error(transparent)]
    Bitbucket(#[from] TokenError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refreshes of one session that failed, one after the other.
#[derive(Debug)]
pub struct Setback {
    pub error: Obstacle,
    since: Instant,
    failures: u32,
    /// From 0 to 1: spreads sessions that failed together.
    jitter: f64,
}

impl Setback {
    /// One more failure, after `before`.
    pub fn after(before: Option<&Self>, error: Obstacle, now: Instant, jitter: f64) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        Self { error, since: now, failures, jitter }
    }

    /// When the next try is due: sooner if `somebody_waits`, never before Bitbucket's `Retry-After`
    /// is over.
    pub fn next_try(&self, somebody_waits: bool) -> Instant {
        let longest = match (&self.error, somebody_waits) {
            (Obstacle::Store(_), _) => LONGEST_FOR_STORE,
            (Obstacle::Bitbucket(TokenError::WrongClient), _) | (_, false) => LONGEST,
            (_, true) => LONGEST_WAITED_FOR,
        };
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(16));
        let pause = doubled.min(longest).mul_f64(0.5 + self.jitter.clamp(0.0, 1.0) / 2.0);
        self.since + self.asked_pause() + pause
    }

    fn asked_pause(&self) -> Duration {
        match &self.error {
            Obstacle::Bitbucket(TokenError::Unreachable { retry_after, .. }) => {
                retry_after.unwrap_or_default()
            }
            Obstacle::Bitbucket(
                TokenError::WrongClient
                | TokenError::RedirectMismatch
                | TokenError::InvalidGrant
                | TokenError::Refused { .. }
                | TokenError::Nonsense(_),
            )
            | Obstacle::Store(_) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitbucket::Cause;

    fn unreachable(retry_after: Option<u64>) -> TokenError {
        let retry_after = retry_after.map(Duration::from_secs);
        TokenError::Unreachable { cause: Cause::Broken, retry_after }
    }

    /// Seconds to the next try after each of `tries` failures.
    fn pauses(error: &TokenError, tries: usize, jitter: f64, waits: bool) -> Vec<f64> {
        let now = Instant::now();
        let mut last: Option<Setback> = None;
        let mut pauses = Vec::new();
        for _ in 0..tries {
            let setback = Setback::after(last.as_ref(), error.clone().into(), now, jitter);
            pauses.push(setback.next_try(waits).duration_since(now).as_secs_f64());
            last = Some(setback);
        }
        pauses
    }

    #[test]
    fn pauses_grow_to_ten_seconds_while_somebody_waits_and_to_a_minute_otherwise() {
        let error = unreachable(None);
        assert_eq!(pauses(&error, 6, 1.0, true), [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        assert_eq!(pauses(&error, 8, 1.0, false), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(pauses(&error, 6, 0.0, true), [0.5, 1.0, 2.0, 4.0, 5.0, 5.0], "jitter");
        assert_eq!(pauses(&error, 100_000, 1.0, false).last(), Some(&60.0));
    }

    #[test]
    fn a_rejected_client_is_not_asked_for_more_often_than_once_a_minute_in_the_end() {
        assert_eq!(pauses(&TokenError::WrongClient, 9, 1.0, true).last(), Some(&60.0));
    }

    #[test]
    fn retry_after_is_waited_for_whoever_waits() {
        assert_eq!(pauses(&unreachable(Some(120)), 2, 1.0, true), [121.0, 122.0]);
        assert_eq!(pauses(&unreachable(Some(120)), 1, 0.0, false), [120.5]);
    }
}
