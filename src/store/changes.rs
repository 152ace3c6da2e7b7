//! What other replicas change and remove, heard as it happens.
//!
//! They publish it on a channel in the same script that makes the change. This is the same for
//! all kinds of store; a cluster passes it on to all of its servers, which it does not do with
//! the server's own messages about keys.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;

use super::dial::Dialer;
use super::health::Health;
use super::key::RecordName;
use super::link::Pause;
use super::trouble::Trouble;

pub(super) const CHANNEL: &str = "cop:changes";

/// How often the connection is tried, and how long it may take to answer: what is not heard for
/// longer than both is noticed.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// What another replica did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Changed {
        name: RecordName,
        generation: u64,
    },
    Removed {
        name: RecordName,
    },
    /// Something may have been missed: nothing that is cached may be relied on.
    Everything,
}

impl Change {
    /// As it is published; nothing stands for [`Change::Everything`], which each finds for itself.
    pub(super) fn message(self, sender: &str) -> String {
        match self {
            Self::Changed { name, generation } => {
                format!("{sender} {generation} {}", name.to_text())
            }
            Self::Removed { name } => format!("{sender} - {}", name.to_text()),
            Self::Everything => format!("{sender} *"),
        }
    }

    /// Reads a message, unless it is one of our own. What cannot be read stands for everything.
    fn read(message: &[u8], own: &str) -> Option<Self> {
        let mut words = message.split(|byte| *byte == b' ');
        if words.next() == Some(own.as_bytes()) {
            return None;
        }
        Some(Self::of_words(words.next(), words.next()).unwrap_or(Self::Everything))
    }

    fn of_words(what: Option<&[u8]>, name: Option<&[u8]>) -> Option<Self> {
        let (what, name) = (what?, RecordName::from_text(name?)?);
        if what == b"-" {
            return Some(Self::Removed { name });
        }
        let generation = std::str::from_utf8(what).ok()?.parse().ok()?;
        Some(Self::Changed { name, generation })
    }
}

/// What other replicas do, from when it was asked for.
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    pub(super) fn new(receiver: broadcast::Receiver<Change>) -> Self {
        Self(receiver)
    }

    /// Waits for the next; after the end of the store for ever. May be dropped at any time.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => Change::Everything,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Listens for as long as the store is in use.
pub(super) struct Listener {
    pub(super) dialer: Arc<Dialer>,
    pub(super) health: Arc<Health>,
    pub(super) ear: Ear,
}

/// Takes in what comes on the connection. It never waits: who listens too slowly hears
/// [`Change::Everything`] in the end.
#[derive(Clone)]
pub(super) struct Ear {
    pub(super) changes: broadcast::Sender<Change>,
    /// What marks our own messages.
    pub(super) own: Arc<str>,
}

impl Listener {
    pub(super) async fn listen(self) {
        let mut pause = Pause::new();
        loop {
            match self.listen_once().await {
                Ok(ended) => {
                    pause = Pause::new();
                    self.health.is_deaf(&ended);
                    // What came since it failed was not heard.
                    self.ear.tell(Change::Everything);
                }
                Err(trouble) => self.health.is_deaf(&trouble),
            }
            pause.rest().await;
        }
    }

    /// Until the connection fails, and why; an error if there never was one.
    async fn listen_once(&self) -> Result<Trouble, Trouble> {
        let lost = Arc::new(Notify::new());
        let (ear, told) = (self.ear.clone(), Arc::clone(&lost));
        let pushes = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                told.notify_one();
            }
            ear.hear(&push);
            Ok::<_, Infallible>(())
        };
        let mut connection = self.dialer.connect_to_listen(Arc::new(pushes)).await?;
        let subscribed = connection.subscribe(CHANNEL).await;
        subscribed.map_err(|error| Trouble::of(&error))?;
        self.health.hears();
        self.ear.tell(Change::Everything);
        loop {
            tokio::select! {
                () = lost.notified() => return Ok(Trouble::Dropped),
                answers = answers_after(CHECK_EVERY, &connection) => if !answers {
                    return Ok(Trouble::TimedOut);
                },
            }
        }
    }
}

impl Ear {
    fn hear(&self, push: &PushInfo) {
        let is_message = push.kind == PushKind::Message;
        if let Some(Value::BulkString(message)) = push.data.get(1).filter(|_| is_message)
            && let Some(change) = Change::read(message, &self.own)
        {
            self.tell(change);
        }
    }

    fn tell(&self, change: Change) {
        // Nobody need be listening.
        let _ = self.changes.send(change);
    }
}

async fn answers_after(pause: Duration, connection: &MultiplexedConnection) -> bool {
    tokio::time::sleep(pause).await;
    let mut connection = connection.clone();
    let ping = redis::cmd("PING");
    let answer = timeout(CHECK_EVERY, ping.query_async::<Value>(&mut connection)).await;
    matches!(answer, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: RecordName = RecordName::new([7; 32]);

    #[test]
    fn messages_of_others_are_read_and_own_ones_are_not() {
        for change in
            [Change::Changed { name: NAME, generation: 3 }, Change::Removed { name: NAME }]
        {
            let message = change.message("other");
            assert_eq!(Change::read(message.as_bytes(), "own"), Some(change));
            assert_eq!(Change::read(message.as_bytes(), "other"), None);
        }
    }

    #[test]
    fn what_cannot_be_read_stands_for_everything() {
        let name = NAME.to_text();
        for message in ["", "x", "x *", "x 1", "x 1 y", "x - y", &format!("x y {name}")] {
            let change = Change::read(message.as_bytes(), "own");
            assert_eq!(change, Some(Change::Everything), "{message}");
        }
    }
}
