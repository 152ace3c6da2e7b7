//! What one upstream knows, shared by all its connections.

use super::options::{CodescanFaults, CodescanOptions};
use crate::bitbucket::Bitbucket;
use crate::record::Journal;
use crate::waiting::Gauge;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

pub(super) struct State {
    pub(super) context_path: String,
    pub(super) bitbucket: Option<Bitbucket>,
    pub(super) faults: watch::Sender<CodescanFaults>,
    pub(super) journal: Journal,
    pub(super) events: broadcast::Sender<String>,
    pub(super) requests: Gauge,
    pub(super) event_streams: Gauge,
    pub(super) websockets: Gauge,
    sessions: Mutex<HashMap<String, LocalSession>>,
}

/// A session of the application's own, behind its `JWT-SESSION` cookie.
#[derive(Clone, Debug)]
pub(super) struct LocalSession {
    pub(super) login: String,
    pub(super) xsrf: String,
}

impl State {
    pub(super) fn new(options: CodescanOptions) -> Self {
        Self {
            context_path: options.context_path.trim_end_matches('/').to_owned(),
            bitbucket: options.bitbucket,
            faults: watch::Sender::new(options.faults),
            journal: Journal::new(),
            events: broadcast::Sender::new(64),
            requests: Gauge::new(),
            event_streams: Gauge::new(),
            websockets: Gauge::new(),
            sessions: Mutex::default(),
        }
    }

    /// The behaviour as it is now.
    pub(super) fn now(&self) -> CodescanFaults {
        self.faults.borrow().clone()
    }

    /// Cookie value to session.
    pub(super) fn sessions(&self) -> MutexGuard<'_, HashMap<String, LocalSession>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this request is one of those that get 401; counts it if so.
    pub(super) fn unauthorized_this_time(&self) -> bool {
        self.faults.send_if_modified(|faults| {
            let left = faults.unauthorized_next.checked_sub(1);
            faults.unauthorized_next = left.unwrap_or_default();
            left.is_some()
        })
    }

    /// Waits while bodies are held back.
    pub(super) async fn bodies_may_be_read(&self) {
        let mut changes = self.faults.subscribe();
        // The sender lives in the state, which outlives this borrow.
        let _ = changes.wait_for(|faults| !faults.hold_bodies).await;
    }
}
