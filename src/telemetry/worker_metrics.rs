//! The counters of one worker thread: plain atomics that no other thread writes.
//!
//! They are summed only when somebody asks for `/metrics`.

use std::array;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Which part of the program a request belongs to: the label `route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    App,
    Authorize,
    Logout,
    Userinfo,
    Auth,
}

impl Route {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] =
        [Self::App, Self::Authorize, Self::Logout, Self::Userinfo, Self::Auth];

    /// The value of the label, and of the access line's `route`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Authorize => "authorize",
            Self::Logout => "logout",
            Self::Userinfo => "userinfo",
            Self::Auth => "auth",
        }
    }
}

const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the duration buckets in microseconds; one more bucket has none.
const BOUNDS_US: [u64; 19] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// Numbers of one worker. Aligned so that two workers never write to one cache line (128: pairs
/// of lines are fetched together).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerMetrics {
    requests: [[AtomicU64; CODE_CLASSES.len()]; Route::ALL.len()],
    own_duration: Durations,
    total_duration: Durations,
    accepted: AtomicU64,
    parked: AtomicU64,
    upstream_connect_errors: AtomicU64,
    /// Requests whose response has not been sent to its end.
    pub active_requests: Level,
    /// Open connections of clients.
    pub connections: Level,
    /// Connections to `CodeScan` that wait in the pool.
    pub upstream_idle: Level,
    /// Connections to `CodeScan` that carry a request.
    pub upstream_active: Level,
    /// Connections to `CodeScan` that carry an event stream.
    pub upstream_streaming: Level,
    /// Connections to `CodeScan` that go on as another protocol.
    pub upstream_tunnel: Level,
}

impl WorkerMetrics {
    /// Counts a request whose response ended. `own` is the proxy's share of `total`: without the
    /// time spent waiting for `CodeScan`, Bitbucket or the client.
    pub fn request_finished(
        &self,
        route: Route,
        status: StatusCode,
        own: Duration,
        total: Duration,
    ) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CODE_CLASSES.len()) - 1;
        add(&self.requests[route as usize][class], 1);
        self.own_duration.observe(own);
        self.total_duration.observe(total);
    }

    /// Counts a connection that this worker took from the listener.
    pub fn connection_accepted(&self) {
        add(&self.accepted, 1);
    }

    /// Counts a connection that idles and lets go of its buffers.
    pub fn connection_parked(&self) {
        add(&self.parked, 1);
    }

    /// How often one did.
    pub fn connections_parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Counts a connection to `CodeScan` that could not be made.
    pub fn upstream_connect_failed(&self) {
        add(&self.upstream_connect_errors, 1);
    }

    /// Raises one of the levels until the answer is dropped:
    /// `worker.hold(|worker| &worker.connections)`.
    pub fn hold(self: &Arc<Self>, level: fn(&Self) -> &Level) -> Held {
        level(self).up();
        Held { worker: Arc::clone(self), level }
    }
}

/// A number that goes up and down, on its worker's thread only. Calls must come in pairs;
/// [`WorkerMetrics::hold`] sees to it.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    pub fn up(&self) {
        add(&self.0, 1);
    }

    pub fn down(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps a [`Level`] raised.
#[derive(Debug)]
#[must_use = "the level goes down when this is dropped"]
pub struct Held {
    worker: Arc<WorkerMetrics>,
    level: fn(&WorkerMetrics) -> &Level,
}

impl Held {
    /// Raises another level instead.
    pub fn becomes(&mut self, level: fn(&WorkerMetrics) -> &Level) {
        (self.level)(&self.worker).down();
        self.level = level;
        level(&self.worker).up();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.level)(&self.worker).down();
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
struct Durations {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Durations {
    fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        add(&self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)], 1);
        add(&self.sum_us, us);
    }
}

/// Nobody else writes to it, so a load and a store do, and cost a fraction of one operation.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

/// Writes the sums over all `workers`.
pub(super) fn encode(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    encode_requests(workers, encoder)?;
    encode_durations(workers, encoder)?;
    encode_accepted(workers, encoder)?;
    encode_parked(workers, encoder)?;
    encode_upstream(workers, encoder)?;
    for (name, help, level) in LEVELS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&sum(workers, |worker| &level(worker).0))?;
    }
    Ok(())
}

type LevelOf = fn(&WorkerMetrics) -> &Level;

const LEVELS: [(&str, &str, LevelOf); 2] = [
    ("active_requests", "Requests whose response has not ended", |worker| &worker.active_requests),
    ("connections", "Open connections of clients", |worker| &worker.connections),
];

fn encode_requests(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "Requests whose response has ended, or was given up";
    let mut metric = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for route in Route::ALL {
        for (class, code_class) in CODE_CLASSES.into_iter().enumerate() {
            let count = sum(workers, |worker| &worker.requests[route as usize][class]);
            let labels = [("code_class", code_class), ("route", route.as_str())];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_durations(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "How long requests took: the proxy's own share, and in total";
    let mut metric = encoder.encode_descriptor(
        "request_duration",
        help,
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    encode_part(workers, metric.encode_family(&[("part", "own")])?, |worker| &worker.own_duration)?;
    encode_part(workers, metric.encode_family(&[("part", "total")])?, |worker| {
        &worker.total_duration
    })
}

fn encode_part(
    workers: &[Arc<WorkerMetrics>],
    mut metric: MetricEncoder<'_>,
    part: fn(&WorkerMetrics) -> &Durations,
) -> fmt::Result {
    let buckets: [(f64, u64); BOUNDS_US.len() + 1] = array::from_fn(|index| {
        let bound = BOUNDS_US
            .get(index)
            .map_or(f64::INFINITY, |bound| Duration::from_micros(*bound).as_secs_f64());
        (bound, sum(workers, |worker| &part(worker).buckets[index]))
    });
    // Counted from the buckets, so that count and buckets agree while workers go on counting.
    let count = buckets.iter().map(|(_, count)| count).sum();
    let seconds = Duration::from_micros(sum(workers, |worker| &part(worker).sum_us)).as_secs_f64();
    metric.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
}

fn encode_accepted(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "Connections accepted by each worker";
    let mut metric =
        encoder.encode_descriptor("connections_accepted", help, None, MetricType::Counter)?;
    for (index, worker) in workers.iter().enumerate() {
        let count = worker.accepted.load(Ordering::Relaxed);
        ConstCounter::new(count).encode(metric.encode_family(&[("worker", index)])?)?;
    }
    Ok(())
}

fn encode_parked(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "Times an idle connection of a client was reduced to its socket";
    let metric =
        encoder.encode_descriptor("connections_parked", help, None, MetricType::Counter)?;
    ConstCounter::new(sum(workers, |worker| &worker.parked)).encode(metric)
}

fn encode_upstream(
    workers: &[Arc<WorkerMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let help = "Connections to CodeScan that could not be made";
    let name = "upstream_connect_errors";
    let errors = ConstCounter::new(sum(workers, |worker| &worker.upstream_connect_errors));
    errors.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;

    let help = "Connections to CodeScan: idle, active (also while being opened), streaming \
                (text/event-stream) or tunnel (WebSocket)";
    let mut metric =
        encoder.encode_descriptor("upstream_connections", help, None, MetricType::Gauge)?;
    let states: [(&str, LevelOf); 4] = [
        ("idle", |worker| &worker.upstream_idle),
        ("active", |worker| &worker.upstream_active),
        ("streaming", |worker| &worker.upstream_streaming),
        ("tunnel", |worker| &worker.upstream_tunnel),
    ];
    for (state, level) in states {
        let open = ConstGauge::new(sum(workers, |worker| &level(worker).0));
        open.encode(metric.encode_family(&[("state", state)])?)?;
    }
    Ok(())
}

fn sum(workers: &[Arc<WorkerMetrics>], of: impl Fn(&WorkerMetrics) -> &AtomicU64) -> u64 {
    workers.iter().map(|worker| of(worker).load(Ordering::Relaxed)).sum()
}
