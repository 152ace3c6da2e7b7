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

use self::body::{Carried, RequestBody, ResponseBody, Upload};
use self::connect::{ConnectError, Target};
use self::h1::exchange::{Asks, ExchangeError};
use self::pool::{Lease, Pool};
use self::silence::Silences;

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
pub struct Head<'a, F: Fn(&mut Vec<u8>)> {
    pub method: &'a Method,
    pub target: &'a Uri,
    pub fields: F,
    pub asks: Asks,
}

impl<F: Fn(&mut Vec<u8>)> Head<'_, F> {
    /// Request line in origin-form (RFC 9112 §3.2.1), the target byte for byte, and the fields.
    fn write(&self, out: &mut Vec<u8>) {
        let target = self.target.path_and_query().map_or("/", |target| target.as_str());
        for part in [self.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        (self.fields)(out);
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
    /// cancels the exchange and closes its connection.
    pub async fn send<F: Fn(&mut Vec<u8>)>(
        &self,
        target: &Arc<Target>,
        head: &Head<'_, F>,
        mut body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let may_repeat = body.is_none() && head.method.is_idempotent();
        let mut reused = self.pool.reuse(target);
        loop {
            let is_reused = reused.is_some();
            let lease = match reused.take() {
                Some(lease) => lease,
                // Boxed, as it is large and rarely needed.
                None => Box::pin(self.pool.connect(target, timeouts.connect)).await?,
            };
            match self.exchange(lease, head, body.take(), upload, timeouts.response).await {
                // RFC 9110 §9.2.2: an idle connection that was closed just now.
                Err(Failed { closed_early: true, .. }) if is_reused && may_repeat => {}
                answered => return answered.map_err(|failed| failed.error),
            }
        }
    }

    async fn exchange<F: Fn(&mut Vec<u8>)>(
        &self,
        lease: Lease,
        head: &Head<'_, F>,
        body: Option<Incoming>,
        upload: &Upload,
        limit: Duration,
    ) -> Result<Response<ResponseBody>, Failed> {
        let mut carried = Carried::begin(lease, head, RequestBody::new(body, upload.clone()));
        let mut silence = self.silences.watch(upload, limit);
        let answer = poll_fn(|cx| match carried.exchange.poll_head(cx) {
            Poll::Pending if silence.is_over(cx) => Poll::Ready(None),
            answer => answer.map(Some),
        });
        match answer.await {
            Some(Ok(response)) => Ok(carried.answered(response)),
            Some(Err(error)) => {
                let closed = matches!(error, ExchangeError::Closed | ExchangeError::Io(_));
                let closed_early = closed && !carried.exchange.has_received();
                Err(Failed { error: upload.fault(&error), closed_early })
            }
            None => Err(Failed { error: ForwardError::Timeout(limit), closed_early: false }),
        }
    }
}

struct Failed {
    error: ForwardError,
    /// The connection ended before a byte of an answer came.
    closed_early: bool,
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
                    fields: |_: &mut Vec<u8>| {},
                    asks,
                };
                let second = Duration::from_secs(1);
                let timeouts = Timeouts { connect: second, response: second };
                let upload = Upload::new(None, None);
                let sending = upstream.send(&target, &head, None, &upload, timeouts);
                let size = size_of_val(&sending);
                assert!(size <= 600, "{size} bytes");
            })
            .await;
    }
}
