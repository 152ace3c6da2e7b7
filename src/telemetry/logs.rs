//! Log lines: `tracing` for all but the access log, one queue and one writing thread for both.
//!
//! Everything goes to standard output, in either format: one line an event, as container
//! platforms expect it. Commands whose result is on standard output log to standard error.

use std::io;
use std::io::Write;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use tracing::Subscriber;
use tracing::dispatcher::{Dispatch, set_global_default};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{fmt, reload};

use super::access_log::AccessLog;
use super::log_queue::LogQueue;
use super::timestamp::Clock;
use crate::config::settings::{Log, LogFormat};

/// How long the end of the program waits for lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The target of our own lines: that of our modules begins so.
const OURS: &str = "codescan_oauth_proxy";

/// What is let through of all other crates, whatever `log.level` says.
///
/// Beyond it they may show what must not be shown. h2 writes a path that it refuses, query and
/// all, at debug (an authorization code stands in such a query), the value of a `TE` header at
/// trace, and what the peer says in GOAWAY at debug; its header fields and bodies it leaves out of
/// its frames on purpose. hyper-util writes addresses at debug and trace, user information of a
/// URL included (the password of an outbound proxy). hyper's own lines are compiled out (an
/// unstable feature), and would show the value of a `Content-Length` at most. rustls and
/// hyper-rustls show certificates, hellos and session tickets at debug and trace, moka its
/// housekeeping; they write to `log`, which nobody carries over to `tracing` here. oauth2 and
/// tokio-rustls write nothing. Of all of them nothing at info or above holds a value that came
/// over the wire. A limit for all, rather than one for each, holds for the crates to come.
const OTHERS: LevelFilter = LevelFilter::INFO;

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
}

/// Why logging could not begin, or not change.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("log.level is not a filter: {0}")]
    Filter(#[from] ParseError),
    #[error("the thread that writes log lines could not be started: {0}")]
    Thread(#[from] io::Error),
    #[error("logging has begun already")]
    Begun,
}

/// Logging that has begun. Dropping it writes out what is still waiting.
#[derive(Debug)]
pub struct Logs {
    queue: LogQueue,
    format: LogFormat,
    level: reload::Handle<EnvFilter, Registry>,
}

/// Begins logging, once in a program. Lines that are lost are counted in `dropped`
/// ([`super::metrics::Metrics::access_log_dropped`]).
pub fn init(settings: &Log, output: Output, dropped: Counter) -> Result<Logs, LogError> {
    let output: Box<dyn Write + Send> = match output {
        Output::Stdout => Box::new(io::stdout()),
        Output::Stderr => Box::new(io::stderr()),
    };
    let (logs, dispatch) = build(settings, output, dropped)?;
    set_global_default(dispatch).map_err(|_| LogError::Begun)?;
    Ok(logs)
}

/// Changes `log.level` while the program runs.
#[derive(Debug, Clone)]
pub struct LevelControl(reload::Handle<EnvFilter, Registry>);

impl LevelControl {
    /// Puts a new `log.level` in force.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        // The handle fails only when its subscriber is gone, and then nobody logs.
        let _ = self.0.reload(filter);
        Ok(())
    }
}

impl Logs {
    pub fn level(&self) -> LevelControl {
        LevelControl(self.level.clone())
    }

    /// An access log for one worker.
    pub fn access_log(&self) -> AccessLog {
        AccessLog::new(self.queue.clone(), self.format)
    }

    /// Waits, two seconds at most, until all lines handed over so far are written; false if some
    /// are not. Workers' access logs are to be flushed or dropped before.
    pub fn flush(&self) -> bool {
        self.queue.flush(FLUSH_TIMEOUT)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}

fn build(
    settings: &Log,
    output: Box<dyn Write + Send>,
    dropped: Counter,
) -> Result<(Logs, Dispatch), LogError> {
    let (filter, level) = reload::Layer::new(filter(&settings.level)?);
    let queue = LogQueue::start(output, dropped)?;
    let lines = lines(settings.format, queue.clone()).with_filter(filter.and(cap()));
    let dispatch = Dispatch::new(Registry::default().with(lines));
    Ok((Logs { queue, format: settings.format, level }, dispatch))
}

fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(level)
}

fn cap() -> Targets {
    Targets::new().with_target(OURS, LevelFilter::TRACE).with_default(OTHERS)
}

/// The queue escapes control characters of whole lines, so colours are off.
fn lines<S>(format: LogFormat, queue: LogQueue) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = fmt::layer().with_ansi(false).with_timer(Clock).with_writer(queue);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text => layer.boxed(),
    }
}
