//! Going down without losing a request.

use tokio::sync::watch;

/// How far the program is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Whoever heeds readiness goes elsewhere. Connections are still taken, but each HTTP/1.1
    /// answer closes its own, so that later none has to be cut between two requests.
    Leaving,
    /// No new connections; those that there are end after the answer they carry.
    Draining,
    /// What has not ended by itself is cut.
    Cutting,
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

    /// Phases only ever follow each other downwards.
    pub fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }
}

impl Drain {
    /// Resolves when it has come as far as `wanted`, or the program ends otherwise.
    pub async fn reached(&mut self, wanted: Phase) {
        let _ = self.0.wait_for(|phase| *phase >= wanted).await;
    }
}
