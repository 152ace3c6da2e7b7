//! The client of the store that replicas share: a Redis or Valkey, alone, behind Sentinels or as
//! a cluster.
//!
//! It keeps opaque bytes, each with a generation number, under opaque keys, and knows nothing of
//! what they are: neither of sessions nor of requests. Values are sealed before they leave
//! ([`RecordKey`]), so that the store yields nothing to who reads it. Every operation ends within
//! [`OPERATION_TIMEOUT`]; a store that is down fails it and nothing else. For the control runtime
//! only.

mod call;
mod changes;
mod connection;
mod count;
mod dial;
mod health;
mod key;
mod link;
mod lock;
mod people;
mod records;
mod sentinel;
mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

pub use self::changes::{Change, Changes};
use self::dial::Dialer;
use self::health::Health;
pub use self::health::{Condition, HealthReport};
pub use self::key::{PersonKey, RecordKey, RecordName};
use self::link::Link;
pub use self::lock::{Attempt, Lock, LockToken};
pub use self::records::{Lives, Loaded, Replaced};
pub use self::trouble::{StoreError, Trouble};
use crate::config::settings::RedisAddress;
use crate::seal;

/// The longest that any operation takes, waiting for a connection included.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes of other replicas that a slow listener may be behind before it hears
/// [`Change::Everything`] instead.
const CHANGES_KEPT: usize = 1024;

/// The store, as one replica sees it. Its tasks end with it.
pub struct Store {
    link: Arc<Link>,
    health: Arc<Health>,
    changes: broadcast::Sender<Change>,
    /// Marks what this replica tells the others, so that it need not hear it itself.
    sender: Arc<str>,
    _tasks: JoinSet<()>,
}

impl Store {
    /// Starts to connect, and returns at once: a store that is down does not stop the program.
    /// `ca_file` is trusted in addition to the system's roots and read again at each connect.
    /// Must be called within a runtime.
    pub fn open(address: RedisAddress, ca_file: Option<PathBuf>) -> Self {
        let dialer = Arc::new(Dialer::new(address, ca_file));
        let health = Arc::new(Health::new());
        let link = Arc::new(Link::new(Arc::clone(&health)));
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let sender: Arc<str> = URL_SAFE_NO_PAD.encode(seal::random::<9>()).into();
        let listener = changes::Listener {
            dialer: Arc::clone(&dialer),
            health: Arc::clone(&health),
            ear: changes::Ear { changes: changes.clone(), own: Arc::clone(&sender) },
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(link::keep(Arc::clone(&link), dialer));
        tasks.spawn(listener.listen());
        Self { link, health, changes, sender, _tasks: tasks }
    }

    /// What other replicas change and remove from now on.
    pub fn changes(&self) -> Changes {
        Changes::new(self.changes.subscribe())
    }

    /// For readiness and metrics: values that are there already.
    pub fn health(&self) -> HealthReport {
        self.health.report()
    }
}
