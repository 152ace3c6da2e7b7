//! What a double has received, kept so that a test can look at it.

use crate::random::to_hex;
use crate::waiting::Bell;
use crate::wire::Head;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many requests are kept; the oldest go.
const REQUESTS: usize = 10_000;
/// A body up to this size is kept whole.
const SMALL_BODY: usize = 64 * 1024;

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Counts up from 1 in the order of arrival.
    pub number: u64,
    /// `GET`, `POST`, …
    pub method: String,
    /// The request target byte for byte as on the wire.
    pub target: String,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: String,
    /// The fields in the order and spelling of the wire (over HTTP/2: lower case, and those of one
    /// name together).
    pub headers: Vec<(String, String)>,
    /// Bytes of the body so far.
    pub body_length: u64,
    /// SHA-256 of the body in lower-case hex, once it has been read to its end.
    pub body_sha256: Option<String>,
    /// The body, if it is no longer than 64 KiB and has been read to its end.
    pub body: Option<Bytes>,
}

impl Received {
    /// Every value of the field `name`, in order; the name's case does not matter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let same = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// The first value of the field `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query as it came, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The body as text, if it was kept.
    pub fn text(&self) -> Option<&str> {
        self.body.as_deref().and_then(|body| std::str::from_utf8(body).ok())
    }
}

/// The requests of one double.
pub(crate) struct Journal {
    requests: Mutex<VecDeque<Received>>,
    last: AtomicU64,
    changed: Bell,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { requests: Mutex::default(), last: AtomicU64::new(0), changed: Bell::new() }
    }

    /// Notes the head of `request`; the number names it in later calls.
    pub(crate) fn note(&self, request: &Request<Incoming>) -> u64 {
        let mut requests = self.lock();
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        if requests.len() == REQUESTS {
            requests.pop_front();
        }
        let head = request.extensions().get::<Head>().cloned().unwrap_or_else(|| parsed(request));
        requests.push_back(Received {
            number,
            method: request.method().to_string(),
            target: head.target,
            version: format!("{:?}", request.version()),
            headers: head.headers,
            ..Received::default()
        });
        drop(requests);
        self.changed.ring();
        number
    }

    /// Reads `body` to its end and notes it as it comes; gives back its first 64 KiB. A body that
    /// breaks off stays without a hash.
    pub(crate) async fn read(&self, number: u64, mut body: Incoming) -> Bytes {
        let mut hash = Sha256::new();
        let mut kept = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return kept.into() };
            let Some(data) = frame.data_ref() else { continue };
            hash.update(data);
            length += data.len() as u64;
            let room = SMALL_BODY.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(&data[..room]);
            self.update(number, |received| received.body_length = length);
        }
        let kept = Bytes::from(kept);
        self.update(number, |received| {
            received.body_sha256 = Some(to_hex(&hash.finalize()));
            received.body = (length == kept.len() as u64).then(|| kept.clone());
        });
        kept
    }

    /// A copy of one request, as far as it has come.
    pub(crate) fn get(&self, number: u64) -> Option<Received> {
        self.lock().iter().rev().find(|received| received.number == number).cloned()
    }

    /// Copies of all that are kept, oldest first.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.lock().iter().cloned().collect()
    }

    /// Waits for a request that `wanted` accepts, one that has come already included.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        let seen = || {
            let requests = self.lock();
            let lines = requests.iter().map(|one| format!("\n  {} {}", one.method, one.target));
            format!("a request; these came:{}", lines.collect::<String>())
        };
        self.changed.until(seen, || self.lock().iter().find(|one| wanted(one)).cloned()).await
    }

    /// Forgets what has come so far.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn update(&self, number: u64, change: impl FnOnce(&mut Received)) {
        if let Some(received) = self.lock().iter_mut().rev().find(|one| one.number == number) {
            change(received);
        }
        self.changed.ring();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head as the HTTP library gives it, for HTTP/2, which has no text on the wire.
fn parsed(request: &Request<Incoming>) -> Head {
    let value = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = request.headers().iter();
    let scheme = request.uri().scheme().map(|scheme| (":scheme".into(), scheme.to_string()));
    let authority = request.uri().authority().map(|host| (":authority".into(), host.to_string()));
    let fields = fields.map(|(name, field)| (name.to_string(), value(field.as_bytes())));
    Head {
        target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: scheme.into_iter().chain(authority).chain(fields).collect(),
    }
}
