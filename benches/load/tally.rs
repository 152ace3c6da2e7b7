//! What came of it.

use std::time::Duration;

#[derive(Default)]
pub struct Tally {
    /// Of each answer, in microseconds.
    latencies: Vec<u64>,
    bytes: u64,
    pub took: Duration,
}

impl Tally {
    pub fn add(&mut self, latency: Duration, bytes: u64) {
        self.latencies.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        self.bytes += bytes;
    }

    pub fn join(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.bytes += other.bytes;
    }

    /// One line: answers, seconds, bytes of their bodies, and percentiles in microseconds.
    pub fn json(mut self) -> String {
        self.latencies.sort_unstable();
        let line = serde_json::json!({
            "requests": self.latencies.len(),
            "seconds": self.took.as_secs_f64(),
            "bytes": self.bytes,
            "p50": self.percentile(50),
            "p99": self.percentile(99),
        });
        line.to_string()
    }

    /// The least latency that so many in a hundred do not exceed.
    fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}
