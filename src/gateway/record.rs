//! What is noted of one request, from its head to the last byte of its answer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, Version};
use http_body::{Body, Frame, SizeHint};

use super::identify::Identity;
use super::outlived::{Outlived, Watch};
use super::websocket::Handshake;
use crate::error::Code;
use crate::forward::body::ResponseBody;
use crate::forward::forwarded::Forwarded;
use crate::session::Session;
use crate::telemetry::access_log::{AccessLine, AccessLog};
use crate::telemetry::worker_metrics::{Held, Route, WorkerMetrics};

/// Where a worker's records go.
pub struct Journal {
    pub metrics: Arc<WorkerMetrics>,
    pub access_log: RefCell<AccessLog>,
}

/// One request. It is counted and logged when this is dropped: then the answer was sent, or
/// given up by one side.
pub struct Record {
    /// As it came, but for its `extensions`.
    pub head: Parts,
    pub route: Route,
    pub status: StatusCode,
    pub error: Option<Code>,
    pub session: Option<Arc<Session>>,
    /// Time that was spent waiting for others.
    pub waited: Duration,
    /// Until `CodeScan`'s response head.
    pub upstream: Option<Duration>,
    pub arrival: Arrival,
    logged: bool,
    sent: u64,
    /// When the answer's head was ready; the body's way is not our share.
    answered: Option<Instant>,
    journal: Rc<Journal>,
    _active: Held,
}

/// What is known when the head has arrived.
pub struct Arrival {
    pub time: SystemTime,
    pub began: Instant,
    pub identity: Identity,
    pub forwarded: Forwarded,
    /// It asks to go on as WebSocket.
    pub is_upgrade: bool,
    /// It came as an extended CONNECT.
    pub handshake: Option<Handshake>,
}

impl Record {
    pub fn new(
        head: Parts,
        arrival: Arrival,
        route: Route,
        logged: bool,
        journal: Rc<Journal>,
    ) -> Self {
        Self {
            head,
            route,
            // For an answer that never came about: the client left (as nginx has it).
            status: CLIENT_LEFT,
            error: None,
            session: None,
            waited: Duration::ZERO,
            upstream: None,
            arrival,
            logged,
            sent: 0,
            answered: None,
            _active: journal.metrics.hold(|worker| &worker.active_requests),
            journal,
        }
    }

    pub fn request_id(&self) -> &str {
        self.arrival.identity.request_id.as_str()
    }

    /// The answer's head is ready.
    pub fn answered(&mut self, status: StatusCode, at: Instant) {
        self.status = status;
        self.answered = Some(at);
    }
}

const CLIENT_LEFT: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl Drop for Record {
    fn drop(&mut self) {
        let began = self.arrival.began;
        let total = began.elapsed();
        let to_head = self.answered.map_or(total, |at| at.duration_since(began));
        let own = to_head.saturating_sub(self.waited);
        self.journal.metrics.request_finished(self.route, self.status, own, total);
        if !self.logged {
            return;
        }
        let person = self.session.as_deref().map(Session::person);
        self.journal.access_log.borrow_mut().write(&AccessLine {
            time: self.arrival.time,
            request_id: self.request_id(),
            client: self.arrival.forwarded.client,
            method: self.head.method.as_str(),
            path: self.head.uri.path(),
            protocol: protocol(self.head.version),
            status: self.status.as_u16(),
            route: self.route.as_str(),
            user: person.as_ref().and_then(|it| it.as_deref()).map(|person| person.name.as_str()),
            error: self.error.map(Code::as_str),
            total,
            upstream: self.upstream,
            response_bytes: self.sent,
        });
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// Why an answer breaks off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A response body that knows whose it is.
pub struct Answer {
    body: ResponseBody,
    record: Box<Record>,
    watch: Option<Watch>,
}

impl Answer {
    pub fn new(body: ResponseBody, record: Box<Record>) -> Self {
        Self { body, record, watch: None }
    }

    /// An answer that ends with the session of its request, if that is watched.
    pub fn watched(body: ResponseBody, record: Box<Record>, watch: Option<Watch>) -> Self {
        Self { body, record, watch }
    }

    /// Resolves if the session is over before the answer is.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Outlived> {
        match (&mut self.watch, &self.record.session) {
            (Some(watch), Some(session)) => watch.poll_over(session, cx),
            _ => Poll::Pending,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let outlived = ready!(self.poll_over(cx));
                return Poll::Ready(Some(Err(outlived.into())));
            }
        };
        if let Some(Ok(frame)) = &frame {
            self.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
