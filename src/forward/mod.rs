//! The way to `CodeScan`: send this request, get head and body.
//!
//! Knows HTTP (RFC 9110, 9112) and addresses, and nothing of logins, sessions or pages. What to
//! remove and what to set is handed in.

pub mod body;
pub mod bound;
pub mod connect;
pub mod fields;
pub mod forwarded;
pub mod h1;
pub mod h2;
mod pace;
pub mod pool;
pub mod probe;
pub mod silence;
pub mod sink;
pub mod trailers;
pub mod upgrade;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{Method, Response, Uri};
use hyper::body::Incoming;

use self::body::{Came, Carried, RequestBody, ResponseBody, Upload};
use self::connect::{ConnectError, Target};
use self::h1::exchange::Asks;
use self::pool::{Pool, Way};
use self::silence::Silences;
use self::sink::{Either, FieldMap};

/// How often a request without a body goes out again after it did no harm.
const MOST_REPEATS: u8 = 2;

/// What may go wrong between us and `CodeScan`.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection, or it was lost before an answer came.
    #[error("CodeScan cannot be reached: {0}")]
    Unreachable(String),
    /// All of `codescan.max_connections` stayed busy; to be tried again after so long.
    #[error("all connections to CodeScan are busy (codescan.max_connections)")]
    Overloaded(Duration),
    /// No response head within `codescan.response_timeout`.
    #[error("CodeScan did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The client's body went over `server.max_body_size`.
    #[error("the request body is larger than server.max_body_size")]
    BodyTooLarge,
    /// The client's body came too slowly.
    #[error("the request body came too slowly")]
    BodyTooSlow,
    /// The client's body broke off or was malformed.
    #[error("the request body could not be read")]
    BadBody,
}

impl From<ConnectError> for ForwardError {
    fn from(error: ConnectError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the last byte of the request to the response head.
    pub response: Duration,
}

/// The head of a request to `CodeScan`. The fields are written when a connection is there, and
/// once more should the request have to go out again.
pub struct Head<'a, F: Fn(Either<'_>)> {
    pub method: &'a Method,
    pub target: &'a Uri,
    pub fields: F,
    pub asks: Asks,
}

impl<F: Fn(Either<'_>)> Head<'_, F> {
    /// Request line in origin-form (RFC 9112 §3.2.1), the target byte for byte, and the fields.
    fn write(&self, out: &mut Vec<u8>) {
        let target = self.target.path_and_query().map_or("/", |target| target.as_str());
        for part in [self.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        (self.fields)(Either::Lines(out));
    }

    /// The fields for HTTP/2.
    fn map(&self) -> FieldMap {
        let mut map = FieldMap::default();
        (self.fields)(Either::Map(&mut map));
        map
    }
}

/// One worker's connections to `CodeScan`.
pub struct Upstream {
    pool: Rc<Pool>,
    silences: Silences,
}

impl Upstream {
    pub fn new(pool: Rc<Pool>) -> Self {
        Self { pool, silences: Silences::default() }
    }

    /// Closes connections that have been idle too long, ends waits that have lasted too long, and
    /// heeds `codescan.max_connections`. Called from the worker's tick.
    pub fn tick(&self, now: Instant, max_connections: usize) {
        self.pool.sweep(now, max_connections);
        self.silences.look(now);
    }

    /// Sends a request and waits for the response head. Dropping the future, or later the body,
    /// cancels the exchange and closes its connection, or its stream of a shared one.
    pub async fn send<F: Fn(Either<'_>)>(
        &self,
        target: &Arc<Target>,
        head: &Head<'_, F>,
        mut body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let mut repeats = if body.is_none() { MOST_REPEATS } else { 0 };
        let mut at_hand = self.pool.at_hand(target, head.asks.upgrades);
        loop {
            let way = match at_hand.take() {
                Some(way) => way,
                // Boxed, as it is large and rarely needed.
                None => {
                    Box::pin(self.pool.open(target, head.asks.upgrades, timeouts.connect)).await?
                }
            };
            let is_reused = way.is_reused();
            let failed = match self.exchange(way, target, head, body.take(), upload, timeouts).await
            {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let is_harmless = match failed.came {
                Came::Nowhere => true,
                // RFC 9110 §9.2.2: a connection that was closed just now.
                Came::Unknown => is_reused && head.method.is_idempotent(),
                Came::Otherwise => false,
            };
            if !is_harmless || repeats == 0 {
                return Err(failed.error);
            }
            repeats -= 1;
        }
    }

    async fn exchange<F: Fn(Either<'_>)>(
        &self,
        way: Way,
        target: &Target,
        head: &Head<'_, F>,
        body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, Failed> {
        let limit = timeouts.response;
        let body = RequestBody::new(body, upload.clone());
        let mut carried = Carried::begin(way, target, head, body);
        let mut silence = self.silences.watch(upload, limit);
        let answer = poll_fn(|cx| match carried.poll_head(cx) {
            Poll::Pending if silence.is_over(cx) => Poll::Ready(None),
            answer => answer.map(Some),
        });
        match answer.await {
            Some(Ok(response)) => Ok(carried.answered(response)),
            Some(Err(error)) => {
                Err(Failed { came: carried.came(&error), error: upload.fault(&error) })
            }
            None => Err(Failed { came: Came::Otherwise, error: ForwardError::Timeout(limit) }),
        }
    }
}

struct Failed {
    error: ForwardError,
    came: Came,
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::bound::Bound;
    use super::*;
    use crate::config::settings::CodescanUrl;
    use crate::telemetry::metrics::Metrics;

    /// The future of a whole request holds it, and is moved about.
    #[tokio::test]
    async fn sending_takes_little_room() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let metrics = Metrics::new(1).worker(0);
                let upstream = Upstream::new(Pool::new(metrics, Arc::new(Bound::new(1))));
                let url = CodescanUrl::Unix("/nowhere".into());
                let tls = rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth();
                let target = Arc::new(Target::new(&url, Arc::new(tls), false).expect("a target"));
                let asks = Asks::default();
                let head = Head {
                    method: &Method::GET,
                    target: &Uri::from_static("/"),
                    fields: |_: Either<'_>| {},
                    asks,
                };
                let second = Duration::from_secs(1);
                let timeouts = Timeouts { connect: second, response: second };
                let upload = Upload::new(None, None, http::Version::HTTP_11);
                let sending = upstream.send(&target, &head, None, &upload, timeouts);
                let size = size_of_val(&sending);
                assert!(size <= 600, "{size} bytes");
            })
            .await;
    }
}
