//! Keeps one connection for all operations, and makes a new one when it is of no use any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{FromRedisValue, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::OPERATION_TIMEOUT;
use super::call::Question;
use super::connection::Connection;
use super::dial::Dialer;
use super::health::{Condition, Health};
use super::trouble::{StoreError, Trouble};

/// How often the connection is looked at, and how long an answer may take.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How long operations wait for a connection that has just been lost; after that they fail at
/// once, until there is one again.
const PATIENCE: Duration = Duration::from_secs(1);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The connection of the moment.
pub(super) struct Link {
    current: watch::Sender<Option<Numbered>>,
    /// An operation failed: look at the connection now.
    doubt: Notify,
    health: Arc<Health>,
}

#[derive(Clone)]
struct Numbered {
    number: u64,
    connection: Connection,
}

impl Link {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self { current: watch::Sender::new(None), doubt: Notify::new(), health }
    }

    /// Asks, and reads the answer. What failed with its connection is asked once more on the
    /// next. May be dropped half-way; it may then be done or not.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        question: impl Into<Question>,
    ) -> Result<T, StoreError> {
        let question = question.into();
        let tries = async {
            match self.ask(&question).await {
                Err(trouble) if trouble.is_cured_by_another_connection() => {
                    self.ask(&question).await
                }
                outcome => outcome,
            }
        };
        let outcome = timeout(OPERATION_TIMEOUT, tries).await.unwrap_or_else(|_| {
            self.doubt_because(&Trouble::TimedOut);
            Err(Trouble::TimedOut)
        });
        let value = outcome.map_err(StoreError::Unavailable)?;
        redis::from_redis_value(value).map_err(|_| StoreError::Unavailable(Trouble::Odd))
    }

    async fn ask(&self, question: &Question) -> Result<Value, Trouble> {
        let Numbered { number, mut connection } = self.connection().await?;
        match question.ask(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => {
                let trouble = Trouble::of(&error);
                if trouble.is_of_the_connection() && !connection.mends_itself() {
                    self.discard(number);
                }
                self.doubt_because(&trouble);
                Err(trouble)
            }
        }
    }

    fn doubt_because(&self, trouble: &Trouble) {
        self.health.failed(trouble);
        self.doubt.notify_one();
    }

    async fn connection(&self) -> Result<Numbered, Trouble> {
        if let Some(connection) = &*self.current.borrow() {
            return Ok(connection.clone());
        }
        let report = self.health.report();
        let trouble = report.last_trouble.unwrap_or(Trouble::NotYet);
        let patience = match report.condition {
            Condition::Degraded => PATIENCE.saturating_sub(report.since.elapsed()),
            Condition::Connecting | Condition::Up => PATIENCE,
        };
        let mut current = self.current.subscribe();
        if let Ok(Ok(connection)) = timeout(patience, current.wait_for(Option::is_some)).await {
            return connection.clone().ok_or(trouble);
        }
        self.health.failed(&trouble);
        Err(trouble)
    }

    fn discard(&self, number: u64) {
        self.current.send_if_modified(|current| {
            let is_this = current.as_ref().is_some_and(|it| it.number == number);
            if is_this {
                *current = None;
            }
            is_this
        });
    }

    /// Returns when the connection is of no use any more. A connection that mends itself is
    /// never given up.
    async fn watch_over(&self, numbered: &Numbered) {
        let mut current = self.current.subscribe();
        loop {
            tokio::select! {
                () = self.doubt.notified() => {}
                () = tokio::time::sleep(CHECK_EVERY) => {}
                _ = current.wait_for(Option::is_none) => return,
            }
            match self.check(&numbered.connection).await {
                Ok(()) => self.health.is_sound(),
                Err(trouble) => {
                    self.health.failed(&trouble);
                    if !numbered.connection.mends_itself() {
                        self.discard(numbered.number);
                        return;
                    }
                    // Doubts come with every operation that fails; one look a moment is enough.
                    tokio::time::sleep(SHORTEST_PAUSE).await;
                }
            }
        }
    }

    /// In a cluster, all masters are asked.
    async fn check(&self, connection: &Connection) -> Result<(), Trouble> {
        let mut connection = connection.clone();
        let ping = redis::cmd("PING");
        match timeout(CHECK_EVERY, ping.query_async::<Value>(&mut connection)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::of(&error)),
            Err(_) => Err(Trouble::TimedOut),
        }
    }
}

/// Connects, and connects again, for as long as the store is in use.
pub(super) async fn keep(link: Arc<Link>, dialer: Arc<Dialer>) {
    let mut pause = Pause::new();
    for number in 0.. {
        match dialer.connect().await {
            Ok(connection) => {
                let begun = Instant::now();
                let numbered = Numbered { number, connection };
                link.health.is_sound();
                link.current.send_replace(Some(numbered.clone()));
                link.watch_over(&numbered).await;
                if begun.elapsed() > LONGEST_PAUSE {
                    pause = Pause::new();
                }
            }
            Err(trouble) => link.health.failed(&trouble),
        }
        pause.rest().await;
    }
}

/// Pauses between tries: each up to twice as long as the one before, and none as long as that of
/// another replica.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Self {
        Self(SHORTEST_PAUSE)
    }

    /// May be dropped half-way.
    pub(super) async fn rest(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
