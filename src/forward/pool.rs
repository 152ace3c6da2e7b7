//! One worker's keep-alive connections to `CodeScan`.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::body::{RequestBody, Upload};
use super::connect::{self, ConnectError, Target};
use super::heard_out::HeardOut;
use crate::telemetry::worker_metrics::{Held, WorkerMetrics};

/// Shorter than the keep-alive of `CodeScan`'s web server (Tomcat: 20 s where nothing is set), so
/// that we let go first.
const IDLE_FOR: Duration = Duration::from_secs(15);

/// Idle connections that a worker keeps.
const IDLE_AT_MOST: usize = 256;

pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    metrics: Arc<WorkerMetrics>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    target: Arc<Target>,
    since: Instant,
    _counted: Held,
}

/// A connection in use. It goes back only after an exchange that ended cleanly on both sides;
/// dropped otherwise, it is closed.
pub struct Lease {
    sender: Option<SendRequest<RequestBody>>,
    target: Arc<Target>,
    pool: Rc<Pool>,
    _counted: Held,
}

impl Lease {
    pub(super) fn sender(&mut self) -> &mut SendRequest<RequestBody> {
        self.sender.as_mut().expect("a lease has its connection until it is given back")
    }

    /// For a connection whose answer has ended. While the upload goes on it cannot serve again.
    pub(super) fn give_back(mut self, upload: &Upload) {
        if let (Some(sender), Some(_)) = (self.sender.take(), upload.ended_at()) {
            self.pool.put(sender, Arc::clone(&self.target));
        }
    }
}

impl Pool {
    pub fn new(metrics: Arc<WorkerMetrics>) -> Rc<Self> {
        Rc::new(Self { idle: RefCell::default(), metrics })
    }

    /// An idle connection to the same target that is still open, the youngest first.
    pub(super) async fn reuse(self: &Rc<Self>, target: &Arc<Target>) -> Option<Lease> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if !Arc::ptr_eq(&idle.target, target) || idle.since.elapsed() > IDLE_FOR {
                continue;
            }
            // The answer had ended, so the connection is ready at once or closed.
            if idle.sender.ready().await.is_ok() {
                return Some(self.lease(idle.sender, target));
            }
        }
    }

    pub(super) async fn connect(
        self: &Rc<Self>,
        target: &Arc<Target>,
        limit: Duration,
    ) -> Result<Lease, ConnectError> {
        let connected = connect::connect(target, limit).await;
        if connected.is_err() {
            self.metrics.upstream_connect_failed();
        }
        let handshake = http1::Builder::new()
            .max_headers(256)
            .max_buf_size(128 * 1024)
            .handshake(TokioIo::new(HeardOut::new(connected?)))
            .await;
        let (sender, connection) =
            handshake.map_err(|error| ConnectError::Http(error.to_string()))?;
        // An error on the connection reaches whoever waits for the answer.
        tokio::task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(self.lease(sender, target))
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| {
            !idle.sender.is_closed() && now.saturating_duration_since(idle.since) <= IDLE_FOR
        });
    }

    fn lease(self: &Rc<Self>, sender: SendRequest<RequestBody>, target: &Arc<Target>) -> Lease {
        Lease {
            sender: Some(sender),
            target: Arc::clone(target),
            pool: Rc::clone(self),
            _counted: self.metrics.hold(|worker| &worker.upstream_active),
        }
    }

    fn put(&self, sender: SendRequest<RequestBody>, target: Arc<Target>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_AT_MOST {
            let counted = self.metrics.hold(|worker| &worker.upstream_idle);
            idle.push(Idle { sender, target, since: Instant::now(), _counted: counted });
        }
    }
}
