//! What to do when a connection cannot be taken.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

/// Rest after a fault of ours, such as having run out of files.
const REST: Duration = Duration::from_millis(100);

/// How often such faults are told of.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// One worker's faults.
#[derive(Default)]
pub struct AcceptFaults {
    told: Cell<Option<Instant>>,
    untold: Cell<u32>,
}

impl AcceptFaults {
    /// Rests where the next one would fail as well.
    pub async fn handle(&self, error: &io::Error) {
        if is_of_that_client(error) {
            return;
        }
        if let Some(untold) = self.to_be_told(Instant::now()) {
            tracing::warn!(%error, untold, "the public listener cannot take a connection");
        }
        tokio::time::sleep(REST).await;
    }

    /// Whether this one is told of: then with the number of those before it that were not.
    fn to_be_told(&self, now: Instant) -> Option<u32> {
        if self.told.get().is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            self.untold.set(self.untold.get().saturating_add(1));
            return None;
        }
        self.told.set(Some(now));
        Some(self.untold.take())
    }
}

/// The client left while it waited to be taken; others may be there.
fn is_of_that_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_lasts_is_told_of_now_and_then() {
        let faults = AcceptFaults::default();
        let began = Instant::now();
        let told_at = |tenths: u32| faults.to_be_told(began + REST * tenths);
        assert_eq!(told_at(0), Some(0));
        assert!((1..100).all(|tenths| told_at(tenths).is_none()));
        assert_eq!(told_at(100), Some(99));
        assert_eq!(told_at(101), None);
        assert_eq!(told_at(400), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_left_costs_the_next_no_rest() {
        let faults = AcceptFaults::default();
        let began = tokio::time::Instant::now();
        faults.handle(&io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        faults.handle(&io::ErrorKind::OutOfMemory.into()).await;
        assert_eq!(began.elapsed(), REST);
    }
}
