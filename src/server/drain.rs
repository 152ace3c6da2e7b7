//! Going down without losing a request.

use tokio::sync::watch;

/// How far the program is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// No new connections; those that there are end after the answer they carry.
    Draining,
}

/// Tells workers of the phase.
#[derive(Clone)]
pub struct Drain(watch::Receiver<Phase>);

/// Sets the phase.
pub struct DrainControl(watch::Sender<Phase>);

impl DrainControl {
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (Self(sender), Drain(receiver))
    }

    pub fn begin(&self) {
        self.0.send_replace(Phase::Draining);
    }
}

impl Drain {
    /// Resolves when draining begins, or the program ends otherwise.
    pub async fn begun(&mut self) {
        let _ = self.0.wait_for(|phase| *phase >= Phase::Draining).await;
    }
}
