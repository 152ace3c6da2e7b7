//! How slowly a request's body may come.
//!
//! Only time in which somebody waits for the client counts: while `CodeScan` takes nothing, the
//! client cannot send. A stretch of such time is judged when it is over, so a slow line survives,
//! and a pause does as well if enough came before or comes after it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Time of waiting that is judged as a whole. The first stretch is free: a client may have to get
/// ready.
const STRETCH: Duration = Duration::from_secs(30);

/// Bytes that must come in each later stretch: 240 a second, a tenth of the slowest modem's pace.
const LEAST_IN_A_STRETCH: u64 = 240 * STRETCH.as_secs();

/// The pace of one body.
#[derive(Default)]
pub struct Pace {
    /// Stretches that are over.
    stretches: u32,
    /// Bytes that came in this one.
    came: u64,
    /// Time waited in this one, but for the wait under way.
    waited: Duration,
    waits_since: Option<Instant>,
    /// Made only for those who have to wait.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// The body comes too slowly.
pub struct TooSlow;

impl Pace {
    /// A piece has come, and the wait for it is over.
    pub fn came(&mut self, bytes: usize) {
        self.came += bytes as u64;
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// To be asked while there is nothing to read; resolves if there was too little for too long.
    pub fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let now = Instant::now();
            let since = *self.waits_since.get_or_insert(now);
            let waited = self.waited + (now - since);
            if waited >= STRETCH {
                if self.stretches > 0 && self.came < LEAST_IN_A_STRETCH {
                    return Poll::Ready(TooSlow);
                }
                self.begin_stretch(now);
                continue;
            }
            let end = now + STRETCH.saturating_sub(waited);
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
            ready!(alarm.as_mut().poll(cx));
            // It was set at the first wait; since then somebody else may have been waited for.
            alarm.as_mut().reset(end);
        }
    }

    fn begin_stretch(&mut self, now: Instant) {
        self.stretches = self.stretches.saturating_add(1);
        self.came = 0;
        self.waited = Duration::ZERO;
        self.waits_since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// Waits for a piece that comes after `pause`; false if the body is given up before.
    async fn waits(pace: &mut Pace, pause: Duration, bytes: usize) -> bool {
        let too_slow = poll_fn(|cx| pace.poll_too_slow(cx));
        let came = timeout(pause, too_slow).await.is_err();
        pace.came(bytes);
        came
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_given_up_after_two_stretches() {
        let mut pace = Pace::default();
        let began = Instant::now();
        assert!(!waits(&mut pace, STRETCH * 10, 1).await);
        assert_eq!(began.elapsed().as_secs(), (STRETCH * 2).as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_survives_and_a_dripping_one_does_not() {
        for (bytes, survives) in [(250, true), (230, false)] {
            let mut pace = Pace::default();
            let mut seconds = 0;
            while seconds < 600 && waits(&mut pace, SECOND, bytes).await {
                seconds += 1;
            }
            assert_eq!(seconds == 600, survives, "{bytes} bytes a second ended after {seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_weighed_against_what_comes_in_their_stretch() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            assert!(waits(&mut pace, SECOND * 29, 0).await);
            assert!(waits(&mut pace, SECOND / 2, 8000).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_does_not_count() {
        let mut pace = Pace::default();
        for _ in 0..50 {
            assert!(waits(&mut pace, SECOND, 1).await);
            sleep(STRETCH).await;
        }
        assert!(!waits(&mut pace, STRETCH, 1).await);
    }
}
