//! Whether every worker's loop still turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a worker may go without a tick. A tick is due about every second; a worker that
/// missed several is stuck, and only a restart helps it.
pub const STALE_AFTER: Duration = Duration::from_secs(10);

/// When each worker last ticked.
#[derive(Debug)]
pub struct Liveness {
    epoch: Instant,
    /// Milliseconds since `epoch`.
    last_tick: Box<[AtomicU64]>,
}

impl Liveness {
    /// Counts every worker as having ticked `now`.
    pub fn new(workers: usize, now: Instant) -> Self {
        Self { epoch: now, last_tick: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Called by worker number `worker` (from 0) at each of its ticks.
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn tick(&self, worker: usize, now: Instant) {
        self.last_tick[worker].store(self.millis(now), Ordering::Relaxed);
    }

    /// The first worker whose last tick is longer ago than [`STALE_AFTER`].
    pub fn stuck_worker(&self, now: Instant) -> Option<usize> {
        let stale_after = u64::try_from(STALE_AFTER.as_millis()).unwrap_or(u64::MAX);
        let now = self.millis(now);
        self.last_tick
            .iter()
            .position(|tick| now.saturating_sub(tick.load(Ordering::Relaxed)) > stale_after)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since_epoch = now.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(since_epoch).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_worker_that_stopped_ticking() {
        let begin = Instant::now();
        let liveness = Liveness::new(3, begin);
        assert_eq!(liveness.stuck_worker(begin + STALE_AFTER), None);

        let later = begin + STALE_AFTER + Duration::from_millis(1);
        liveness.tick(0, later);
        liveness.tick(2, later);
        assert_eq!(liveness.stuck_worker(later), Some(1));
        liveness.tick(1, later);
        assert_eq!(liveness.stuck_worker(later), None);
    }
}
