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
/// trace, and what the peer says in GOAWAY at debug; header fields and bodies it leaves out of its
/// frames on purpose. hyper-util writes addresses at debug and trace, and a URI that it refuses
/// whole. hyper's own lines are compiled out (an unstable feature). rustls and hyper-rustls show
/// certificates, hellos and session tickets at debug and trace, moka and mio their housekeeping;
/// they write to `log`, which nobody carries over to `tracing` here. oauth2 and tokio-rustls write
/// nothing. Of what does reach `tracing`, nothing at info or above holds a header, a token or a
/// body. A limit for all, rather than one for each, holds for the crates to come as well.
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

    /// Waits, two seconds at most, until no line is waiting to be written; false if some are.
    /// Workers' access logs are to be flushed or dropped before. Not for a worker.
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use serde_json::Value;
    use tokio::io::AsyncWriteExt;
    use tracing::dispatcher::with_default;

    use super::super::log_queue::tests::Output;
    use super::*;

    /// What is written while `act` runs.
    fn logged(format: LogFormat, level: &str, act: impl FnOnce(&Logs)) -> String {
        let output = Output::default();
        let settings = Log { format, level: level.to_owned(), access: true };
        let (logs, dispatch) =
            build(&settings, Box::new(output.clone()), Counter::default()).unwrap();
        with_default(&dispatch, || act(&logs));
        assert!(logs.flush());
        output.text()
    }

    const HOSTILE: &str = "a\n{\"level\":\"ERROR\"} \u{1b}[31mred\u{9b}0m\r\u{202e}";

    #[test]
    fn a_json_line_is_one_flat_object() {
        let text = logged(LogFormat::Json, "info", |_| {
            tracing::info!(user = HOSTILE, shown = %HOSTILE, "login {HOSTILE}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["user"], HOSTILE);
        assert_eq!(line["shown"], HOSTILE);
        assert_eq!(line["message"], format!("login {HOSTILE}"));
        assert_eq!(line["target"], module_path!());
        assert_eq!(line["timestamp"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
    }

    #[test]
    fn a_text_line_is_one_line_and_steers_no_terminal() {
        let text = logged(LogFormat::Text, "info", |_| {
            tracing::warn!(user = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "login {HOSTILE}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert!(text.contains(" WARN codescan_oauth_proxy::telemetry::logs::tests: login a"));
    }

    #[test]
    fn the_level_can_be_changed_while_it_runs() {
        let text = logged(LogFormat::Text, "info", |logs| {
            tracing::debug!("first");
            logs.level().set("debug").unwrap();
            tracing::debug!("second");
            assert!(logs.level().set("codescan_oauth_proxy=nonsense").is_err());
            logs.level().set("warn").unwrap();
            tracing::info!("third");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("second"), "{text}");
    }

    #[test]
    fn other_crates_never_say_more_than_info() {
        for level in ["trace", "h2=trace,hyper_util=debug,tokio=trace"] {
            let text = logged(LogFormat::Text, level, |logs| {
                tracing::debug!(target: "h2::server", "hidden");
                tracing::trace!(target: "hyper_util::client", "hidden");
                logs.level().set(level).unwrap();
                tracing::debug!(target: "h2::server", "hidden");
                tracing::warn!(target: "h2::server", "shown");
            });
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains("shown"), "{text}");
        }
    }

    /// One HTTP/2 request for `path` as bytes, with one more field.
    fn request(path: &str, (name, value): (&str, &str)) -> Vec<u8> {
        let mut block = vec![0x82, 0x86, 0x01]; // :method GET, :scheme http, :authority …
        push_literal(&mut block, "localhost");
        block.push(0x04); // :path …
        push_literal(&mut block, path);
        block.push(0x00); // … : …
        push_literal(&mut block, name);
        push_literal(&mut block, value);
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&[0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
        bytes.extend_from_slice(&block);
        bytes
    }

    fn push_literal(block: &mut Vec<u8>, text: &str) {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    }

    async fn serve_http2(request: &[u8]) {
        let (mut client, server) = tokio::io::duplex(4096);
        client.write_all(request).await.unwrap();
        client.shutdown().await.unwrap();
        let service =
            service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(server), service);
        let _ = connection.await;
    }

    #[test]
    fn nothing_of_a_request_is_logged_by_h2() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let requests = [
            request("/a b?code=s3cret", ("accept", "text/html")),
            request("/a", ("te", "s3cret")),
            request("/a?code=s3cret", ("authorization", "Bearer s3cret")),
        ];
        for request in requests {
            let text = logged(LogFormat::Json, "trace", |_| {
                tracing::trace!("before");
                runtime.block_on(serve_http2(&request));
            });
            assert!(text.contains("before"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn access_lines_and_events_meet_in_one_output() {
        let text = logged(LogFormat::Json, "info", |logs| {
            tracing::info!("event");
            let mut access = logs.access_log();
            access.write(&super::super::access_log::tests::line());
        });
        let targets: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["target"].take())
            .collect();
        assert_eq!(targets, [Value::from(module_path!()), Value::from("access")]);
    }

    #[test]
    fn dropping_it_writes_what_is_waiting() {
        let output = Output::default();
        let settings = Log { format: LogFormat::Text, level: "info".to_owned(), access: true };
        let (logs, dispatch) =
            build(&settings, Box::new(output.clone()), Counter::default()).unwrap();
        with_default(&dispatch, || tracing::info!("last words"));
        drop(logs);
        assert!(output.text().contains("last words"));
    }
}
