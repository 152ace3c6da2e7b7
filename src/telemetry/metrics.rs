//! The one list of metrics.
//!
//! Two kinds: [`WorkerMetrics`], touched by every request and owned by one worker each, and
//! [`Metrics`] for what is rare enough to be shared. No label ever holds what a client sent.

use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::login_watch::LoginWatch;
use super::worker_metrics::WorkerMetrics;
use super::{process, worker_metrics};

const PREFIX: &str = "codescan_oauth_proxy";

/// Seconds; Bitbucket may itself wait ten for a lock.
const BITBUCKET_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];

/// Results of a login that are shown as zero until they happen: success, or the error code of
/// the answer.
const LOGIN_RESULTS: [&str; 10] = [
    "success",
    "access_denied",
    "login_expired",
    "invalid_request",
    "cookie_lost",
    "bitbucket_unreachable",
    "bitbucket_rejected_client",
    "redirect_url_mismatch",
    "session_store_unavailable",
    "overloaded",
];

const EVICTION_REASONS: [&str; 4] = ["capacity", "per_person", "idle", "lifetime"];

const BITBUCKET_CALLS: [&str; 3] = ["exchange", "whoami", "revoke"];

/// One label, name and value both ours.
type Label = [(&'static str, &'static str); 1];

/// What the whole program counts. Cheap to clone parts of, shared as `Arc<Metrics>`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    workers: Vec<Arc<WorkerMetrics>>,
    sessions: Arc<OnceLock<CountSessions>>,
    login_watch: LoginWatch,
    logins: Family<Label, Counter>,
    logins_started: Counter,
    sessions_evicted: Family<Label, Counter>,
    bitbucket_durations: Family<Label, Histogram, fn() -> Histogram>,
    /// Failed calls to the session store.
    pub session_store_errors: Counter,
    /// Log lines lost because nobody read them fast enough; handed to [`super::logs::init`].
    pub access_log_dropped: Counter,
}

impl Metrics {
    /// All metrics at zero, for that many workers.
    pub fn new(workers: usize) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            workers: (0..workers).map(|_| Arc::default()).collect(),
            sessions: Arc::default(),
            login_watch: LoginWatch::new(Instant::now()),
            logins: Family::default(),
            logins_started: Counter::default(),
            sessions_evicted: Family::default(),
            bitbucket_durations: Family::new_with_constructor(|| Histogram::new(BITBUCKET_BUCKETS)),
            session_store_errors: Counter::default(),
            access_log_dropped: Counter::default(),
        };
        metrics.show_zeros();
        metrics.register();
        metrics
    }

    /// The counters of worker number `index` (from 0).
    ///
    /// # Panics
    /// If there is no such worker.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[index])
    }

    /// A browser is sent to Bitbucket.
    pub fn login_started(&self) {
        self.logins_started.inc();
        self.login_watch.started(Instant::now());
    }

    /// A browser came back from Bitbucket with a `state` of ours, whatever else it brought.
    pub fn login_came_back(&self) {
        self.login_watch.came_back(Instant::now());
    }

    /// A callback was answered: `success`, or the code of the error.
    pub fn login_finished(&self, result: &'static str) {
        self.logins.get_or_create(&[("result", result)]).inc();
    }

    /// Whether logins leave for Bitbucket and none comes back.
    pub fn no_login_comes_back(&self) -> bool {
        self.login_watch.none_come_back(Instant::now())
    }

    /// Where the number of live sessions comes from. Asked at each scrape, on the control
    /// runtime; the first one given stays.
    pub fn count_sessions_by(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.sessions.set(CountSessions(Box::new(count)));
    }

    /// A session ended without its person's doing: `capacity`, `per_person`, `idle`, `lifetime`.
    pub fn session_evicted(&self, reason: &'static str) {
        self.sessions_evicted.get_or_create(&[("reason", reason)]).inc();
    }

    /// A call to Bitbucket ended, in whatever way: `exchange`, `whoami`, `revoke`.
    pub fn bitbucket_called(&self, call: &'static str, took: Duration) {
        self.bitbucket_durations.get_or_create(&[("call", call)]).observe(took.as_secs_f64());
    }

    /// The exposition. Reads `/proc` and takes locks: not for a worker.
    pub fn encode(&self, format: Format) -> String {
        let mut exposition = String::with_capacity(16 * 1024);
        // Writing to a String does not fail, nor do our collectors.
        let _ = text::encode(&mut exposition, &self.registry);
        match format {
            Format::OpenMetrics => exposition,
            Format::Prometheus => prometheus_text(&exposition),
        }
    }

    /// A series that appears with its first event makes no rate of that event.
    fn show_zeros(&self) {
        for result in LOGIN_RESULTS {
            drop(self.logins.get_or_create(&[("result", result)]));
        }
        for reason in EVICTION_REASONS {
            drop(self.sessions_evicted.get_or_create(&[("reason", reason)]));
        }
        for call in BITBUCKET_CALLS {
            drop(self.bitbucket_durations.get_or_create(&[("call", call)]));
        }
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("logins", "Answered callbacks, by result", self.logins.clone());
        r.register("logins_started", "Browsers sent to Bitbucket", self.logins_started.clone());
        let help = "Sessions ended to make room or by their age";
        r.register("sessions_evicted", help, self.sessions_evicted.clone());
        let help = "How long calls to Bitbucket took";
        let name = "bitbucket_request_duration";
        r.register_with_unit(name, help, Unit::Seconds, self.bitbucket_durations.clone());
        let help = "Failed calls to the session store";
        r.register("session_store_errors", help, self.session_store_errors.clone());
        let help = "Log lines lost because they were not read fast enough";
        r.register("access_log_dropped", help, self.access_log_dropped.clone());
        r.register_collector(Box::new(AtScrape {
            workers: self.workers.clone(),
            sessions: Arc::clone(&self.sessions),
        }));
    }
}

/// How to write an exposition down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, which everything reads.
    Prometheus,
    /// `OpenMetrics` 1.0, for those who ask for it.
    OpenMetrics,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

struct CountSessions(Box<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for CountSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountSessions")
    }
}

/// What is not counted but looked up when somebody asks.
#[derive(Debug)]
struct AtScrape {
    workers: Vec<Arc<WorkerMetrics>>,
    sessions: Arc<OnceLock<CountSessions>>,
}

impl Collector for AtScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        worker_metrics::encode(&self.workers, &mut encoder)?;
        let sessions = self.sessions.get().map_or(0, |count| count.0());
        let help = "Live sessions";
        let mut metric = encoder.encode_descriptor("sessions", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&sessions)?;
        let help = "The version that runs";
        let mut metric = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        ConstGauge::new(1_u64).encode(metric.encode_family(&version)?)?;
        process::encode(&mut encoder)
    }
}

/// `OpenMetrics` text as Prometheus text 0.0.4: a counter's metadata bears the name of its
/// series, `_total` included, and `UNIT` and `EOF` do not exist.
fn prometheus_text(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|h| h.split_once(' '))
        else {
            let _ = writeln!(out, "{line}");
            continue;
        };
        // The encoder writes TYPE right after HELP.
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).unwrap_or("untyped");
        let total = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(out, "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}");
    }
    out
}
