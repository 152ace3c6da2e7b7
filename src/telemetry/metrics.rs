//! The one list of metrics.
//!
//! Two kinds: [`WorkerMetrics`], touched by every request and owned by one worker each, and
//! [`Metrics`] for what is rare enough to be shared. No label ever holds what a client sent.

use std::fmt;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
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

const BITBUCKET_CALLS: [&str; 5] = ["exchange", "refresh", "whoami", "revoke", "status"];

/// Results of a refresh: success, what ended the session, or the error code of the answers.
const REFRESH_RESULTS: [&str; 7] = [
    "success",
    "invalid_grant",
    "dead_token",
    "inactive",
    "other_person",
    "bitbucket_unreachable",
    "bitbucket_rejected_client",
];

/// What to tell an operator while [`Metrics::is_client_rejected`] holds.
pub const CLIENT_REJECTED: &str = "Bitbucket does not accept this client: compare \
     bitbucket.client_id and bitbucket.client_secret with the application link";

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
    token_refreshes: Family<Label, Counter>,
    refresh_waiters: Gauge,
    client_rejected: AtomicBool,
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
            token_refreshes: Family::default(),
            refresh_waiters: Gauge::default(),
            client_rejected: AtomicBool::new(false),
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
    /// How often a connection of a client was parked, in all workers.
    pub fn connections_parked(&self) -> u64 {
        self.workers.iter().map(|worker| worker.connections_parked()).sum()
    }

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

    /// A refresh ended: `success`, what ended the session, or the code of the error.
    pub fn token_refreshed(&self, result: &'static str) {
        self.token_refreshes.get_or_create(&[("result", result)]).inc();
    }

    /// A request waits for a refresh until the result is dropped.
    pub fn refresh_waiter(&self) -> Waiter<'_> {
        self.refresh_waiters.inc();
        Waiter(&self.refresh_waiters)
    }

    /// Whether the token endpoint took client id and secret. Whether that is news.
    pub fn client_is_accepted(&self, accepted: bool) -> bool {
        self.client_rejected.swap(!accepted, Ordering::Relaxed) == accepted
    }

    /// Whether the token endpoint refused client id or secret the last time.
    pub fn is_client_rejected(&self) -> bool {
        self.client_rejected.load(Ordering::Relaxed)
    }

    /// A call to Bitbucket ended, in whatever way: `exchange`, `refresh`, `whoami`, `revoke`, `status`.
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
        for result in REFRESH_RESULTS {
            drop(self.token_refreshes.get_or_create(&[("result", result)]));
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
        let help = "Refreshes of tokens, by result";
        r.register("token_refreshes", help, self.token_refreshes.clone());
        let help = "Requests that wait for a refresh";
        r.register("refresh_waiters", help, self.refresh_waiters.clone());
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

/// A request that waits for a refresh.
#[derive(Debug)]
pub struct Waiter<'a>(&'a Gauge);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.dec();
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use http::StatusCode;

    use super::super::worker_metrics::Route;
    use super::*;

    /// All series of an exposition with their values, each line held against the format.
    fn series(text: &str) -> HashMap<&str, f64> {
        let mut series = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (bare, labels) = name.split_once('{').unwrap_or((name, "}"));
            assert!(bare.starts_with("codescan_oauth_proxy_"), "{line}");
            assert!(bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            for label in labels.strip_suffix('}').unwrap().split(',').filter(|l| !l.is_empty()) {
                let (key, value) = label.split_once('=').unwrap();
                assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
                assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'));
            }
            let double = series.insert(name, value.parse().unwrap());
            assert!(double.is_none(), "{name} is there twice");
        }
        series
    }

    /// Each series stands under metadata of its own name, told once.
    fn check_metadata(text: &str) {
        let mut current = ("", "");
        let mut seen = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split_once(' ').unwrap();
                assert!(!seen.contains(&current.0), "{line}");
                seen.push(current.0);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(current.0).unwrap();
                let right = match current.1 {
                    "histogram" => ["_sum", "_count", "_bucket"].contains(&suffix),
                    "counter" => suffix.is_empty() && name.ends_with("_total"),
                    _ => suffix.is_empty(),
                };
                assert!(right, "{line} under {current:?}");
            }
        }
    }

    fn value(metrics: &Metrics, name: &str) -> f64 {
        let text = metrics.encode(Format::Prometheus);
        let found = series(&text).get(format!("codescan_oauth_proxy_{name}").as_str()).copied();
        found.unwrap_or_else(|| panic!("{name} is not in {text}"))
    }

    #[test]
    fn both_formats_are_well_formed() {
        let metrics = Metrics::new(3);
        metrics.bitbucket_called("whoami", Duration::from_millis(30));
        let text = metrics.encode(Format::Prometheus);
        check_metadata(&text);
        let open = metrics.encode(Format::OpenMetrics);
        assert!(open.ends_with("\n# EOF\n"));
        assert_eq!(series(&text).len(), series(&open).len());
    }

    #[test]
    fn every_series_is_there_from_the_start_at_zero() {
        let metrics = Metrics::new(2);
        let names = [
            "requests_total{code_class=\"1xx\",route=\"app\"}",
            "requests_total{code_class=\"5xx\",route=\"auth\"}",
            "request_duration_seconds_count{part=\"own\"}",
            "request_duration_seconds_bucket{le=\"+Inf\",part=\"total\"}",
            "active_requests",
            "connections",
            "connections_accepted_total{worker=\"1\"}",
            "connections_parked_total",
            "logins_total{result=\"success\"}",
            "logins_started_total",
            "sessions",
            "sessions_evicted_total{reason=\"capacity\"}",
            "token_refreshes_total{result=\"success\"}",
            "refresh_waiters",
            "session_store_errors_total",
            "bitbucket_request_duration_seconds_count{call=\"exchange\"}",
            "access_log_dropped_total",
            "upstream_connect_errors_total",
            "upstream_connections{state=\"idle\"}",
            "upstream_connections{state=\"active\"}",
        ];
        for name in names {
            assert!(value(&metrics, name).abs() < f64::EPSILON, "{name}");
        }
        let build = format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        assert!((value(&metrics, &build) - 1.0).abs() < f64::EPSILON);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_tells_of_itself() {
        let metrics = Metrics::new(1);
        assert!(value(&metrics, "process_resident_memory_bytes") > 1_000_000.0);
        assert!(value(&metrics, "process_virtual_memory_bytes") > 1_000_000.0);
        assert!(value(&metrics, "process_cpu_seconds_total") >= 0.0);
        assert!(value(&metrics, "process_open_fds") >= 3.0);
        assert!(value(&metrics, "process_threads") >= 1.0);
    }

    fn assert_values(metrics: &Metrics, expected: &[(&str, f64)]) {
        for (name, expected) in expected {
            let found = value(metrics, name);
            assert!((found - expected).abs() < 1e-9, "{name} is {found}, not {expected}");
        }
    }

    #[test]
    fn counters_of_workers_are_summed() {
        let metrics = Metrics::new(2);
        let (own, total) = (Duration::from_micros(100), Duration::from_secs(400));
        for worker in [0, 1, 1] {
            let worker = metrics.worker(worker);
            worker.request_finished(Route::Logout, StatusCode::SEE_OTHER, own, total);
            worker.connection_accepted();
            worker.upstream_connect_failed();
        }
        assert_values(
            &metrics,
            &[
                ("requests_total{code_class=\"3xx\",route=\"logout\"}", 3.0),
                ("requests_total{code_class=\"2xx\",route=\"logout\"}", 0.0),
                ("request_duration_seconds_bucket{le=\"0.0001\",part=\"own\"}", 3.0),
                ("request_duration_seconds_sum{part=\"own\"}", 0.0003),
                ("request_duration_seconds_bucket{le=\"300.0\",part=\"total\"}", 0.0),
                ("request_duration_seconds_bucket{le=\"+Inf\",part=\"total\"}", 3.0),
                ("request_duration_seconds_count{part=\"total\"}", 3.0),
                ("request_duration_seconds_sum{part=\"total\"}", 1200.0),
                ("connections_accepted_total{worker=\"0\"}", 1.0),
                ("connections_accepted_total{worker=\"1\"}", 2.0),
                ("upstream_connect_errors_total", 3.0),
            ],
        );
    }

    #[test]
    fn levels_go_down_when_their_holders_go() {
        let metrics = Metrics::new(2);
        let first = metrics.worker(0).hold(|worker| &worker.connections);
        let second = metrics.worker(1).hold(|worker| &worker.connections);
        let idle = metrics.worker(1).hold(|worker| &worker.upstream_idle);
        assert_values(
            &metrics,
            &[("connections", 2.0), ("upstream_connections{state=\"idle\"}", 1.0)],
        );
        drop((first, second, idle));
        assert_values(
            &metrics,
            &[("connections", 0.0), ("upstream_connections{state=\"idle\"}", 0.0)],
        );
    }

    #[test]
    fn what_the_whole_program_counts() {
        let metrics = Metrics::new(1);
        metrics.login_started();
        metrics.login_finished("cookie_lost");
        metrics.session_evicted("capacity");
        metrics.session_store_errors.inc();
        metrics.access_log_dropped.inc_by(7);
        metrics.count_sessions_by(|| 42);
        metrics.bitbucket_called("exchange", Duration::from_millis(30));
        assert_values(
            &metrics,
            &[
                ("logins_started_total", 1.0),
                ("logins_total{result=\"cookie_lost\"}", 1.0),
                ("sessions_evicted_total{reason=\"capacity\"}", 1.0),
                ("session_store_errors_total", 1.0),
                ("access_log_dropped_total", 7.0),
                ("sessions", 42.0),
                ("bitbucket_request_duration_seconds_bucket{le=\"0.05\",call=\"exchange\"}", 1.0),
            ],
        );
    }
}
