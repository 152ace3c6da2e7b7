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
pub mod pool;
pub mod probe;
pub mod silence;
pub mod sink;
pub mod trailers;
pub mod upgrade;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use self::body::{Carried, RequestBody, ResponseBody, Upload};
use self::connect::{ConnectError, Target};
use self::fields::Plan;
use self::h1::exchange::{Exchange, ExchangeError};
use self::h2::request;
use self::pool::{Lease, Pool, Way};
use self::sink::FieldMap;

/// How often a request goes out again that did no harm.
const MOST_REPEATS: u8 = 2;

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
pub struct Head<'a> {
    pub method: &'a Method,
    pub target: &'a Uri,
    /// As they came.
    pub fields: &'a HeaderMap,
    /// What becomes of them.
    pub plan: &'a Plan<'a>,
}

impl Head<'_> {
    /// Whether it asks for another protocol.
    fn upgrades(&self) -> bool {
        self.plan.upgrade.is_some()
    }

    /// Request line in origin-form (RFC 9112 §3.2.1), the target byte for byte, and the fields.
    fn write(&self, out: &mut Vec<u8>) {
        let target = self.target.path_and_query().map_or("/", |target| target.as_str());
        for part in [self.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        self.plan.write_fields(self.fields, out);
    }

    /// The same for HTTP/2.
    fn map(&self) -> FieldMap {
        let mut map = FieldMap::default();
        self.plan.write_fields(self.fields, &mut map);
        map
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
    /// cancels the exchange and closes its connection, or its stream.
    pub async fn send(
        &self,
        target: &Arc<Target>,
        head: &Head<'_>,
        body: Option<Incoming>,
        upload: &Upload,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let is_bodiless = body.is_none();
        let mut body = RequestBody::new(body, upload.clone());
        let mut repeats = 0;
        loop {
            let way = self.pool.way(target, head.upgrades(), repeats > 0, timeouts.connect).await?;
            let failed = match exchange(way, target, head, body, upload, timeouts).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let may_repeat = is_bodiless && failed.is_harmless(head.method);
            if !may_repeat || repeats == MOST_REPEATS {
                return Err(failed.error);
            }
            repeats += 1;
            body = RequestBody::new(None, upload.clone());
        }
    }
}

struct Failed {
    error: ForwardError,
    how: How,
}

/// How far a request came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Nobody looked at it.
    Refused,
    /// A connection that had served before ended, and no byte of an answer had come.
    WentStale,
    Otherwise,
}

impl Failed {
    /// Whether a request without a body may go out once more (RFC 9110 §9.2.2, RFC 9113 §8.7).
    fn is_harmless(&self, method: &Method) -> bool {
        match self.how {
            How::Refused => true,
            How::WentStale => method.is_idempotent(),
            How::Otherwise => false,
        }
    }
}

async fn exchange(
    way: Way,
    target: &Target,
    head: &Head<'_>,
    body: RequestBody,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, Failed> {
    match way {
        Way::Own(lease) => exchange_alone(lease, head, body, upload, timeouts).await,
        Way::Stream(place) => {
            let head = request::head(head.method, head.target, target.scheme(), head.map(), &body);
            exchange_shared(place, head, body, upload, timeouts).await
        }
    }
}

/// On a connection of its own.
async fn exchange_alone(
    lease: Lease,
    head: &Head<'_>,
    body: RequestBody,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, Failed> {
    let Lease { connection, place, is_reused } = lease;
    let method = head.method.clone();
    let mut exchange =
        Exchange::new(connection, method, head.upgrades(), body, |out| head.write(out));
    let answer = in_time(|cx| exchange.poll_head(cx), upload, timeouts).await?;
    match answer {
        Ok(response) => Ok(response.map(|()| Carried::Own(exchange, place).into_body())),
        Err(error) => {
            let closed = matches!(error, ExchangeError::Closed | ExchangeError::Io(_));
            let went_stale = is_reused && closed && !exchange.has_received();
            let how = if went_stale { How::WentStale } else { How::Otherwise };
            Err(Failed { error: upload.fault(&error), how })
        }
    }
}

/// On a stream of a connection that others use too.
async fn exchange_shared(
    place: h2::connection::Place,
    head: Request<()>,
    body: RequestBody,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Response<ResponseBody>, Failed> {
    let is_reused = place.is_reused();
    let failed = |error: ExchangeError, has_received: bool| {
        let how = how_far(&error, is_reused && !has_received);
        Failed { error: upload.fault(&error), how }
    };
    let begun = h2::exchange::Exchange::begin(place, head, body);
    let mut exchange = begun.map_err(|error| failed(error, false))?;
    let answer = in_time(|cx| exchange.poll_head(cx), upload, timeouts).await?;
    match answer {
        Ok(response) => Ok(response.map(|()| Carried::Stream(exchange).into_body())),
        Err(error) => Err(failed(error, exchange.has_received())),
    }
}

/// `may_be_stale`: its connection has served before, and nothing has come of an answer.
fn how_far(error: &ExchangeError, may_be_stale: bool) -> How {
    match error {
        ExchangeError::Stream(error) if error.was_refused() => How::Refused,
        ExchangeError::Stream(error) if error.is_lost_connection() && may_be_stale => {
            How::WentStale
        }
        _ => How::Otherwise,
    }
}

/// Waits for the head of an answer, but not for ever.
async fn in_time(
    poll_head: impl FnMut(&mut Context<'_>) -> Poll<Result<Response<()>, ExchangeError>>,
    upload: &Upload,
    timeouts: Timeouts,
) -> Result<Result<Response<()>, ExchangeError>, Failed> {
    tokio::select! {
        biased;
        answer = poll_fn(poll_head) => Ok(answer),
        () = silence(upload, timeouts.response) => {
            let error = ForwardError::Timeout(timeouts.response);
            Err(Failed { error, how: How::Otherwise })
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
