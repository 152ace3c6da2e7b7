//! Waiting for a condition, with an end. Tests wait for events, never for time to pass.

use std::time::Duration;
use tokio::sync::watch;

/// After this long a test's expectation counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells waiters that something has changed.
#[derive(Debug)]
pub(crate) struct Bell(watch::Sender<u64>);

impl Bell {
    /// A bell that nobody has rung.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Wakes all who wait; they look again.
    pub(crate) fn ring(&self) {
        self.0.send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    /// Looks now and after each ring until `look` finds something.
    ///
    /// # Panics
    /// After ten seconds, with the words of `what`.
    pub(crate) async fn until<T>(
        &self,
        what: impl Fn() -> String,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let mut changes = self.0.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look() {
                    return found;
                }
                // The sender lives as long as `self`.
                changes.changed().await.expect("the bell is still there");
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {}", what()))
    }
}

/// Counts what is open at the moment: streams, upgraded connections.
#[derive(Debug)]
pub(crate) struct Gauge {
    open: watch::Sender<usize>,
}

impl Gauge {
    /// Nothing is open.
    pub(crate) fn new() -> Self {
        Self { open: watch::Sender::new(0) }
    }

    /// One more is open, until the answer is dropped.
    pub(crate) fn enter(&self) -> Entered {
        self.open.send_modify(|open| *open += 1);
        Entered { open: self.open.clone() }
    }

    /// How many are open now.
    pub(crate) fn now(&self) -> usize {
        *self.open.borrow()
    }

    /// Waits until exactly `wanted` are open.
    pub(crate) async fn reaches(&self, wanted: usize, what: &str) {
        let mut changes = self.open.subscribe();
        let reached = tokio::time::timeout(PATIENCE, changes.wait_for(|open| *open == wanted));
        let reached = reached.await.is_ok();
        assert!(reached, "waited {PATIENCE:?} in vain for {wanted} open {what}: {}", self.now());
    }
}

/// One open thing; dropping it closes it in the count.
pub(crate) struct Entered {
    open: watch::Sender<usize>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open -= 1);
    }
}
