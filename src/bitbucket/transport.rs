//! One call to Bitbucket: a request out, a bounded answer back, within a bounded time. Knows
//! nothing of OAuth or of Bitbucket's API.
//!
//! Each call has a connection of its own. A kept one may be closed by the other side at the moment
//! it is used, and then nobody knows whether the request arrived; a client with a pool (hyper-util's
//! `retry_canceled_requests`, on by default) sends again what it believes unsent. What is sent here
//! may be a one-time code or refresh token, so nothing is ever sent twice and nothing stale is ever
//! used. Calls are few (a login, a refresh an hour for a session), and TLS sessions are resumed.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::{Connection, Connector, ForwardProxy};
use super::unreachable::Cause;
use crate::secret::Secret;

/// Bytes of an answer's head, and as many of its body.
const MAX_ANSWER: usize = 64 * 1024;

/// How much later than it should a time-out comes that tells of a process that stood still, and how
/// long what came meanwhile takes to be read.
const STOOD_STILL: Duration = Duration::from_millis(500);

const PRODUCT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// What Bitbucket said. Not `Debug`: the body may hold tokens.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub(super) struct Transport {
    connector: Connector,
    timeout: Duration,
}

impl Transport {
    /// `timeout` is for one whole call: resolving, connecting, sending, and the body's last byte.
    pub fn new(tls: rustls::ClientConfig, proxies: Matcher, timeout: Duration) -> Self {
        Self { connector: Connector::new(tls, proxies, timeout), timeout }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn has_unusable_proxy(&self, target: &Uri) -> bool {
        self.connector.has_unusable_proxy(target)
    }

    /// Sends `request`, whose URI is absolute, once. Redirects are answers, not followed, and no
    /// cookie is kept. Dropping the future closes the connection; the request may have been sent.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, Cause> {
        let (sent, began) = (AtomicBool::new(false), Instant::now());
        let mut attempt = pin!(self.attempt(request, &sent));
        if let Ok(answer) = timeout(self.timeout, &mut attempt).await {
            return answer;
        }
        // The answer to a process that stood still has come, and may hold the only live tokens.
        if began.elapsed() > self.timeout + STOOD_STILL
            && let Ok(answer) = timeout(STOOD_STILL, attempt).await
        {
            return answer;
        }
        Err(Cause::TimedOut { after: self.timeout, sent: sent.load(Ordering::Relaxed) })
    }

    /// A GET with the person's token, or with none.
    pub async fn get(&self, uri: Uri, bearer: Option<&Secret>) -> Result<Answer, Cause> {
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = uri;
        if let Some(authorization) = bearer.and_then(bearer_field) {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        self.send(request).await
    }

    async fn attempt(&self, request: Request<Vec<u8>>, sent: &AtomicBool) -> Result<Answer, Cause> {
        let Connection { stream, reader } = self.connector.connect(request.uri()).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_ANSWER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| http_cause(&error))?;
        // Dropped with this future, whenever that is: the connection never outlives the call.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        sent.store(true, Ordering::Relaxed);
        let response = sender
            .send_request(on_the_wire(request, reader))
            .await
            .map_err(|error| http_cause(&error))?;
        read(response).await
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Cause> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Cause::TooLarge } else { Cause::Broken }
    })?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
}

/// Adds what every request has, and puts the target into the form that its reader expects.
fn on_the_wire(request: Request<Vec<u8>>, reader: Option<ForwardProxy>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    if let Some(host) = host_field(&head.uri) {
        head.headers.insert(HOST, host);
    }
    head.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    head.headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    match reader {
        None => head.uri = origin_form(&head.uri),
        Some(ForwardProxy { authorization: Some(credentials) }) => {
            head.headers.insert(PROXY_AUTHORIZATION, credentials);
        }
        Some(ForwardProxy { authorization: None }) => {}
    }
    Request::from_parts(head, Full::from(body))
}

/// Path and query alone (RFC 9112 §3.2.1).
fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from)
}

/// Host and port without any user information (RFC 9110 §7.2).
fn host_field(uri: &Uri) -> Option<HeaderValue> {
    let authority = uri.authority()?.as_str();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    HeaderValue::from_str(host).ok()
}

/// None for a token that no header can carry; [`super::token`] lets none such in.
fn bearer_field(token: &Secret) -> Option<HeaderValue> {
    let mut field = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
    field.set_sensitive(true);
    Some(field)
}

fn http_cause(error: &hyper::Error) -> Cause {
    if error.is_parse_too_large() {
        Cause::TooLarge
    } else if error.is_parse() {
        Cause::NotHttp
    } else {
        Cause::Broken
    }
}
