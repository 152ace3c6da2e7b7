//! The way to `CodeScan`: send this request, get head and body.
//!
//! Knows HTTP (RFC 9110, 9112) and addresses, and nothing of logins, sessions or pages. What to
//! remove and what to set is handed in.

pub mod body;
pub mod connect;
pub mod fields;
pub mod forwarded;
pub mod h1;
pub mod pool;
pub mod probe;
pub mod upgrade;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use self::body::{RequestBody, ResponseBody, Upload};
use self::connect::{ConnectError, Target};
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

/// The head of a request to `CodeScan`. The fields are built when a connection is there, and once
/// more should the request have to go out again.
pub struct Head<'a, F: Fn() -> HeaderMap> {
    pub method: &'a Method,
    pub target: &'a Uri,
    pub fields: F,
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
    pub async fn send<F: Fn() -> HeaderMap>(
        &self,
        target: &Arc<Target>,
        head: &Head<'_, F>,
        body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let may_repeat = body.is_none() && head.method.is_idempotent();
        let mut body = RequestBody::new(body, upload.clone());
        if let Some(lease) = self.pool.reuse(target).await {
            match exchange(lease, head, body, upload, timeouts).await {
                Ok(response) => return Ok(response),
                // Never reached CodeScan, so it can go out on another connection as it is.
                Err(Failed { unsent: Some(unsent), .. }) => body = unsent,
                // RFC 9110 §9.2.2: an idle connection that was closed just now.
                Err(Failed { closed_early: true, .. }) if may_repeat => {
                    body = RequestBody::new(None, upload.clone());
                }
                Err(failed) => return Err(failed.error),
            }
        }
        let lease = self.pool.connect(target, timeouts.connect).await?;
        exchange(lease, head, body, upload, timeouts).await.map_err(|failed| failed.error)
    }
}

struct Failed {
    error: ForwardError,
    /// The body, if nothing of the request was sent.
    unsent: Option<RequestBody>,
    /// The connection ended before a byte of an answer came.
    closed_early: bool,
}

impl From<ForwardError> for Failed {
    fn from(error: ForwardError) -> Self {
        Self { error, unsent: None, closed_early: false }
    }
}

async fn exchange<F: Fn() -> HeaderMap>(
    mut lease: Lease,
    head: &Head<'_, F>,
    body: RequestBody,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, Failed> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.target.clone();
    *request.headers_mut() = (head.fields)();
    let answer = lease.sender().try_send_request(request);
    tokio::pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        () = silence(upload, timeouts.response) => {
            return Err(ForwardError::Timeout(timeouts.response).into());
        }
    };
    match answer {
        Ok(response) => {
            Ok(response.map(|incoming| ResponseBody::upstream(incoming, lease, upload.clone())))
        }
        Err(mut failed) => {
            let unsent = failed.take_message().map(Request::into_body);
            let error = failed.into_error();
            let closed_early = error.is_incomplete_message() || is_reset(&error);
            Err(Failed { error: upload.fault(&error), unsent, closed_early })
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

fn is_reset(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| source.downcast_ref::<std::io::Error>()).is_some_and(|io| {
        matches!(io.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
    })
}
