//! Notices that logins leave for Bitbucket and never come back.
//!
//! A wrong client id or redirect URL shows on a page of Bitbucket's only, never in an answer to
//! the proxy; this is the one sign of it that the proxy has.

use std::array;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What to tell a person while [`LoginWatch::none_come_back`] holds.
pub const WARNING: &str = "ten logins were started within ten minutes and none came back from \
     Bitbucket: compare bitbucket.client_id and bitbucket.redirect_url with the application link";

const STARTS: usize = 10;
const WINDOW: Duration = Duration::from_mins(10);

/// Remembers the last ten starts and the last return. Without locks, as strangers can start
/// logins on every worker as fast as they like.
#[derive(Debug)]
pub struct LoginWatch {
    epoch: Instant,
    /// Milliseconds since `epoch`; 0 is never.
    started: [AtomicU64; STARTS],
    next: AtomicUsize,
    came_back: AtomicU64,
}

impl LoginWatch {
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            started: array::from_fn(|_| AtomicU64::new(0)),
            next: AtomicUsize::new(0),
            came_back: AtomicU64::new(0),
        }
    }

    /// A browser was sent to Bitbucket.
    pub fn started(&self, now: Instant) {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % STARTS;
        self.started[slot].store(self.millis(now), Ordering::Relaxed);
    }

    /// A browser came back with a `state` of ours, whatever else it brought.
    pub fn came_back(&self, now: Instant) {
        self.came_back.store(self.millis(now), Ordering::Relaxed);
    }

    /// Whether ten logins were started within the last ten minutes, all of them since the last
    /// one came back.
    pub fn none_come_back(&self, now: Instant) -> bool {
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        let since = self.millis(now).saturating_sub(window);
        let since = since.max(self.came_back.load(Ordering::Relaxed));
        self.started.iter().all(|started| started.load(Ordering::Relaxed) > since)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since_epoch = now.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since_epoch).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(watch: &LoginWatch, logins: u64, from: Instant, apart: Duration) -> Instant {
        (0..logins).fold(from, |now, _| {
            watch.started(now);
            now + apart
        })
    }

    #[test]
    fn warns_after_ten_starts_and_no_return() {
        let begin = Instant::now();
        let watch = LoginWatch::new(begin);
        let now = start(&watch, 9, begin, Duration::from_secs(10));
        assert!(!watch.none_come_back(now));
        watch.started(now);
        assert!(watch.none_come_back(now));
    }

    #[test]
    fn one_return_is_enough() {
        let begin = Instant::now();
        let watch = LoginWatch::new(begin);
        let now = start(&watch, 25, begin, Duration::from_secs(1));
        assert!(watch.none_come_back(now));
        watch.came_back(now);
        assert!(!watch.none_come_back(now));
        let now = start(&watch, 10, now + Duration::from_secs(1), Duration::from_secs(1));
        assert!(watch.none_come_back(now));
    }

    #[test]
    fn starts_spread_over_more_than_ten_minutes_do_not_count() {
        let begin = Instant::now();
        let watch = LoginWatch::new(begin);
        let now = start(&watch, 30, begin, Duration::from_secs(70));
        assert!(!watch.none_come_back(now));
        let now = start(&watch, 10, now, Duration::from_secs(1));
        assert!(watch.none_come_back(now));
        assert!(!watch.none_come_back(now + Duration::from_mins(10)));
    }
}
