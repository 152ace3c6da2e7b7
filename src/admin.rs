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
use crate::telemetry::metrics::{self, Format, Metrics};
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
        if shown.metrics.is_client_rejected() {
            let _ = writeln!(text, "warning: {}", metrics::CLIENT_REJECTED);
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::readiness::Check;
    use super::*;
    use crate::config::settings::ReadyNeed;
    use crate::telemetry::liveness::STALE_AFTER;

    /// The listener, and what it shows.
    struct Admin {
        address: SocketAddr,
        shown: Arc<Shown>,
    }

    impl Admin {
        async fn start() -> Self {
            Self::start_since(Instant::now()).await
        }

        /// With two workers that ticked last at `since`.
        async fn start_since(since: Instant) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let shown = Arc::new(Shown {
                metrics: Arc::new(Metrics::new(2)),
                liveness: Arc::new(Liveness::new(2, since)),
                readiness: Arc::new(Readiness::new(&[ReadyNeed::Codescan])),
            });
            tokio::spawn(serve(listener, Arc::clone(&shown)));
            Self { address, shown }
        }

        /// Sends a head, reads to the end: answer's head and body.
        async fn send(&self, head: &str) -> (String, String) {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_owned(), body.to_owned())
        }

        /// Status and body.
        async fn get(&self, path: &str) -> (u16, String) {
            let (head, body) = self.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
        }
    }

    #[tokio::test]
    async fn alive_while_every_worker_ticks() {
        let admin = Admin::start().await;
        for path in ["/livez", "/healthz", "/livez?verbose"] {
            assert_eq!(admin.get(path).await, (200, "ok\n".to_owned()));
        }
    }

    #[tokio::test]
    async fn a_stuck_worker_is_named() {
        let long_ago = Instant::now().checked_sub(STALE_AFTER * 2).unwrap();
        let admin = Admin::start_since(long_ago).await;
        admin.shown.liveness.tick(0, Instant::now());
        let stuck = (503, "worker 1 is stuck\n".to_owned());
        assert_eq!(admin.get("/livez").await, stuck);
        assert_eq!(admin.get("/healthz").await, stuck);
        admin.shown.liveness.tick(1, Instant::now());
        assert_eq!(admin.get("/livez").await.0, 200);
    }

    #[tokio::test]
    async fn ready_once_listening_until_draining() {
        let admin = Admin::start().await;
        admin.shown.readiness.set(Check::Codescan, Ok(()));
        let text = "not ready: not listening yet\n".to_owned();
        assert_eq!(admin.get("/readyz").await, (503, text));
        admin.shown.readiness.listening();
        assert_eq!(admin.get("/readyz").await, (200, "ok\n".to_owned()));
        admin.shown.readiness.draining();
        assert_eq!(admin.get("/readyz").await, (503, "not ready: draining\n".to_owned()));
    }

    #[tokio::test]
    async fn verbose_lists_checks_and_warns_of_lost_logins() {
        let admin = Admin::start().await;
        admin.shown.readiness.listening();
        admin.shown.readiness.set(Check::Codescan, Ok(()));
        admin.shown.readiness.set(Check::Bitbucket, Err("cannot be reached"));
        for _ in 0..10 {
            admin.shown.metrics.login_started();
        }
        let (status, text) = admin.get("/readyz?verbose").await;
        assert_eq!(status, 200);
        assert!(text.starts_with("[+]listening ok\n[+]codescan ok\n[-]bitbucket failed: cannot"));
        assert!(text.contains("\nwarning: ten logins were started"), "{text}");
        assert!(text.ends_with("\nok\n"));
    }

    #[tokio::test]
    async fn metrics_in_the_format_asked_for() {
        let admin = Admin::start().await;
        let (head, body) = admin.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("\ncodescan_oauth_proxy_sessions 0\n"), "{body}");
        assert!(!body.contains("# EOF"));

        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        let head = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}\r\n\r\n");
        let (head, body) = admin.send(&head).await;
        assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
        assert!(body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn nothing_but_get_and_head_of_four_paths() {
        let admin = Admin::start().await;
        for path in ["/", "/livez/", "/metrics/x", "/_codescan/oauth2/userinfo"] {
            assert_eq!(admin.get(path).await.0, 404, "{path}");
        }
        let (head, _) = admin.send("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
        assert!(head.contains("allow: GET, HEAD"), "{head}");
        let (head, body) = admin.send("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-length: 3") && body.is_empty(), "{head}");
    }

    #[tokio::test]
    async fn a_head_too_large_is_refused() {
        let admin = Admin::start().await;
        let head = format!("GET /livez HTTP/1.1\r\nX-A: {}\r\n\r\n", "a".repeat(2 * MAX_HEAD));
        let mut stream = TcpStream::connect(admin.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 431");
    }

    #[tokio::test]
    async fn who_says_nothing_is_hung_up_on() {
        let admin = Admin::start().await;
        let mut stream = TcpStream::connect(admin.address).await.unwrap();
        // Served, so that the connection's own time limit runs before time is moved.
        stream.write_all(b"GET /livez").await.unwrap();
        assert_eq!(admin.get("/livez").await.0, 200);
        tokio::time::pause();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"));
    }
}
