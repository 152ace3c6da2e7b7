//! Gives memory that idle connections have let go of back to the system.
//!
//! The allocator keeps it for the next request, and after a crowd that would be for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metrics::Metrics;

const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// Connections that were parked since the last time, at least: about 5 MiB.
const WORTH_IT: u64 = 256;

/// For as long as the program runs, on the control runtime.
pub async fn keep_trimming(metrics: Arc<Metrics>) {
    let mut looks = tokio::time::interval(LOOKED_AT_EVERY);
    let mut seen = 0;
    loop {
        looks.tick().await;
        let parked = metrics.connections_parked();
        if parked - seen >= WORTH_IT {
            seen = parked;
            let _ = tokio::task::spawn_blocking(trim).await;
        }
    }
}

/// Workers that allocate meanwhile wait for the part that is being looked at.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library has no other way to say it")]
fn trim() {
    // SAFETY: it may be called at any time and from any thread (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators see to it themselves, or cannot be told.
#[cfg(not(target_env = "gnu"))]
fn trim() {}
