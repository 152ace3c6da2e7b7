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
pub mod pool;
pub mod probe;
pub mod silence;
pub mod sink;
pub mod trailers;
pub mod upgrade;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, Uri};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use self::body::{Carried, RequestBody, ResponseBody, Upload};
use self::connect::{ConnectError, Target};
use self::h1::exchange::{Exchange, ExchangeError};
use self::pool::{Lease, Pool};

/// What may go wrong between us and `CodeScan`.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection, or it was lost before an answer came.
    #[error("CodeScan cannot be reached: {0}")]
    Unreachable(String),
    /// No response head within `codescan.response_timeout`.
    #[error("CodeScan did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The client's body went over `server.max_body_size`.
    #[error("the request body is larger than server.max_body_size")]
    BodyTooLarge,
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
    /// It asks for another protocol.
    pub upgrades: bool,
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
}

impl Upstream {
    pub fn new(pool: Rc<Pool>) -> Self {
        Self { pool }
    }

    /// Closes connections that have been idle too long. Called from the worker's tick.
    pub fn sweep(&self, now: std::time::Instant) {
        self.pool.sweep(now);
    }

    /// Sends a request and waits for the response head. Dropping the future, or later the body,
    /// cancels the exchange and closes its connection.
    pub async fn send<F: Fn(&mut Vec<u8>)>(
        &self,
        target: &Arc<Target>,
        head: &Head<'_, F>,
        body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let may_repeat = body.is_none() && head.method.is_idempotent();
        let mut body = RequestBody::new(body, upload.clone());
        if let Some(lease) = self.pool.reuse(target) {
            match exchange(lease, head, body, upload, timeouts).await {
                // RFC 9110 §9.2.2: an idle connection that was closed just now.
                Err(Failed { closed_early: true, .. }) if may_repeat => {
                    body = RequestBody::new(None, upload.clone());
                }
                answered => return answered.map_err(|failed| failed.error),
            }
        }
        let lease = self.pool.connect(target, timeouts.connect).await?;
        exchange(lease, head, body, upload, timeouts).await.map_err(|failed| failed.error)
    }
}

struct Failed {
    error: ForwardError,
    /// The connection ended before a byte of an answer came.
    closed_early: bool,
}

async fn exchange<F: Fn(&mut Vec<u8>)>(
    lease: Lease,
    head: &Head<'_, F>,
    body: RequestBody,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, Failed> {
    let Lease { connection, place } = lease;
    let method = head.method.clone();
    let mut exchange =
        Exchange::new(connection, method, head.upgrades, body, |out| head.write(out));
    let answer = tokio::select! {
        biased;
        answer = poll_fn(|cx| exchange.poll_head(cx)) => answer,
        () = silence(upload, timeouts.response) => {
            let error = ForwardError::Timeout(timeouts.response);
            return Err(Failed { error, closed_early: false });
        }
    };
    match answer {
        Ok(response) => Ok(response.map(|()| Carried { exchange, place }.into_body())),
        Err(error) => {
            let closed = matches!(error, ExchangeError::Closed | ExchangeError::Io(_));
            let closed_early = closed && !exchange.has_received();
            Err(Failed { error: upload.fault(&error), closed_early })
        }
    }
}

/// Resolves when `limit` has passed since the last byte of the request was handed over.
async fn silence(upload: &Upload, limit: Duration) {
    let mut deadline = Instant::now() + limit;
    loop {
        sleep_until(deadline).await;
        let due = match upload.ended_at() {
            Some(ended) => Instant::from_std(ended) + limit,
            None => Instant::now() + limit,
        };
        if due <= deadline.max(Instant::now()) {
            return;
        }
        deadline = due;
    }
}
