//! The admin listener: health and metrics, never the application.
//!
//! It shows what it is handed ([`Shown`]) and asks nobody: every answer is made of values that
//! are there already, so it comes at once, whatever Bitbucket or `CodeScan` do.

pub mod readiness;

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::telemetry::liveness::Liveness;
use crate::telemetry::login_watch;
use crate::telemetry::metrics::{Format, Metrics};
use readiness::Readiness;

/// Connections served at a time; more wait.
const MAX_CONNECTIONS: usize = 64;

/// To receive a request head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole connection, which serves one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request head: the least that hyper allows.
const MAX_HEAD: usize = 8 * 1024;

/// Rest after an `accept` that failed, as it does when files run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// All that the listener has to show.
#[derive(Debug)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    pub liveness: Arc<Liveness>,
    pub readiness: Arc<Readiness>,
}

/// Serves for ever, on the control runtime. May be dropped at any time.
pub async fn serve(listener: TcpListener, shown: Arc<Shown>) -> Infallible {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&connections).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let shown = Arc::clone(&shown);
                tokio::spawn(async move {
                    serve_connection(stream, shown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot take a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One request and no more: probes come on new connections anyway, and so each ends in time.
async fn serve_connection(stream: TcpStream, shown: Arc<Shown>) {
    let service = service_fn(move |request| {
        let shown = Arc::clone(&shown);
        async move { Ok::<_, Infallible>(answer(&request, shown).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Who hangs up, dawdles or does not speak HTTP gets nothing, and needs no line in the log.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: &Request<Incoming>, shown: Arc<Shown>) -> Answer {
    let path = request.uri().path();
    if !["/livez", "/healthz", "/readyz", "/metrics"].contains(&path) {
        return plain(StatusCode::NOT_FOUND, "not found\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/metrics" => metrics(request, shown).await,
        "/readyz" => ready(&shown, is_verbose(request.uri().query())),
        _ => alive(&shown.liveness),
    }
}

fn alive(liveness: &Liveness) -> Answer {
    match liveness.stuck_worker(Instant::now()) {
        None => plain(StatusCode::OK, "ok\n"),
        Some(worker) => {
            let text = format!("worker {worker} is stuck\n");
            plain(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

fn ready(shown: &Shown, verbose: bool) -> Answer {
    let report = shown.readiness.report();
    let unready = report.unready();
    let status = if unready.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    if verbose {
        text.push_str(&report.to_string());
        if shown.metrics.no_login_comes_back() {
            let _ = writeln!(text, "warning: {}", login_watch::WARNING);
        }
    }
    let _ = match unready {
        None => writeln!(text, "ok"),
        Some(why) => writeln!(text, "not ready: {why}"),
    };
    plain(status, text)
}

fn is_verbose(query: Option<&str>) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair == "verbose" || pair.starts_with("verbose="))
}

/// Reads `/proc` and walks all series: on a thread that may block.
async fn metrics(request: &Request<Incoming>, shown: Arc<Shown>) -> Answer {
    let format = accepted_format(request);
    match tokio::task::spawn_blocking(move || shown.metrics.encode(format)).await {
        Ok(text) => with_type(StatusCode::OK, format.content_type(), text),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read\n"),
    }
}

fn accepted_format(request: &Request<Incoming>) -> Format {
    let accepts = |accept: &HeaderValue| {
        accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"))
    };
    if request.headers().get_all(ACCEPT).iter().any(accepts) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
