//! The code for tokens, the tokens for a person, the person for a session (RFC 6749 §4.1.3).
//!
//! Each attempt buys one exchange. It runs apart from the browser's connection, and a second
//! callback of the same attempt (a reload, a retry) waits for the first and gets its result, at
//! whichever replica.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore};

use super::attempt::{AttemptId, LIFETIME};
use super::return_to::ReturnTo;
use super::{SharedSite, Site};
use crate::bitbucket::{PeopleError, Person, TokenError, TokenSet};
use crate::config::settings::Bitbucket;
use crate::seal;
use crate::secret::Secret;
use crate::session::StoreError;
use crate::session::id::SessionId;
use crate::session::tokens::Tokens;
use crate::session::{Claim, Lifetimes, NewSession, Session, Sessions};
use crate::telemetry::metrics::Metrics;

/// Exchanges under way at a time.
const AT_A_TIME: usize = 64;

/// How long a callback waits for its turn. A code lives ten seconds.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Attempts whose result is remembered.
const REMEMBERED: u64 = 10_000;

/// The exchanges of this process.
pub struct Exchanges {
    results: Results,
    turns: Semaphore,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
}

type Results = moka::sync::Cache<AttemptId, Arc<OnceCell<Outcome>>>;

fn results() -> Results {
    moka::sync::Cache::builder()
        .max_capacity(REMEMBERED)
        // The default policy refuses new keys when full: a second callback would spend the code
        // again, which can cost the person the tokens of the first (RFC 6749 §4.1.2).
        .eviction_policy(moka::policy::EvictionPolicy::lru())
        .time_to_live(LIFETIME)
        .build()
}

/// How an exchange ended.
#[derive(Clone)]
pub enum Outcome {
    SignedIn(SessionId),
    Failed(Failure),
}

/// Why nobody was signed in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    #[error("too many logins at once")]
    Overloaded,
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Person(#[from] PeopleError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One code to spend.
pub struct Order {
    pub site: SharedSite,
    pub attempt: AttemptId,
    pub code: Secret,
    pub verifier: Secret,
    /// The session that the browser brought: it ends with the new one's beginning, so that none
    /// can be fixed upon somebody.
    pub replaces: Option<Arc<Session>>,
    pub request_id: String,
}

impl Exchanges {
    pub fn new(sessions: Arc<Sessions>, metrics: Arc<Metrics>) -> Self {
        Self { results: results(), turns: Semaphore::new(AT_A_TIME), sessions, metrics }
    }

    /// The result of the attempt, made if nobody has yet. Runs on the control runtime, where
    /// nothing drops it half-way.
    pub async fn result(&self, order: Order) -> Outcome {
        let cell = self.results.get_with(order.attempt, Arc::default);
        cell.get_or_try_init(|| self.run(order)).await.cloned().unwrap_or_else(Outcome::Failed)
    }

    /// An error is not remembered: the code is unspent, and a reload may have better luck.
    async fn run(&self, order: Order) -> Result<Outcome, Failure> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(self.failed(&order, Failure::Overloaded));
        };
        if let Err(error) = self.sessions.can_keep() {
            return Err(self.failed(&order, error.into()));
        }
        let secret = seal::sha256(order.verifier.expose().as_bytes());
        let calls = order.site.settings.bitbucket.timeout * 2;
        match self.sessions.store.claim(&secret, calls).await {
            Ok(Claim::Ours) => {}
            Ok(Claim::Theirs(Some(id))) => return Ok(Outcome::SignedIn(id)),
            // It has said why to whom it was asked by.
            Ok(Claim::Theirs(None)) => return Ok(Outcome::Failed(TokenError::InvalidGrant.into())),
            Err(error) => return Err(self.failed(&order, error.into())),
        }
        let outcome = match self.exchange(&order).await {
            Ok((id, session)) => {
                let user = session.user();
                tracing::info!(user, request_id = order.request_id, "signed in");
                self.metrics.login_finished("success");
                Outcome::SignedIn(id)
            }
            Err(failure) => Outcome::Failed(self.failed(&order, failure)),
        };
        let id = match &outcome {
            Outcome::SignedIn(id) => Some(id),
            Outcome::Failed(_) => None,
        };
        self.sessions.store.settle(&secret, id).await;
        Ok(outcome)
    }

    fn failed(&self, order: &Order, failure: Failure) -> Failure {
        self.report(order, &failure);
        failure
    }

    async fn exchange(&self, order: &Order) -> Result<(SessionId, Arc<Session>), Failure> {
        let bitbucket = &order.site.bitbucket;
        let exchange = bitbucket.exchange(order.code.clone(), order.verifier.clone());
        let tokens = self.timed("exchange", exchange).await?;
        self.metrics.client_is_accepted(true);
        let received = Instant::now();
        let opened = match self.timed("whoami", bitbucket.whoami(&tokens.access_token)).await {
            Ok(person) => self.open(order, person, Tokens::new(tokens.clone(), received)).await,
            Err(error) => Err(error.into()),
        };
        if opened.is_err() {
            // Nobody will use them.
            revoke(&order.site, &tokens).await;
        }
        opened
    }

    async fn open(
        &self,
        order: &Order,
        person: Option<Person>,
        tokens: Tokens,
    ) -> Result<(SessionId, Arc<Session>), Failure> {
        let settings = &order.site.settings.session;
        let new = NewSession {
            person,
            tokens,
            lifetimes: Lifetimes::new(settings),
            per_person: settings.per_person,
            sealer: &order.site.sealer,
            replaces: order.replaces.as_deref(),
        };
        Ok(self.sessions.create(new).await?)
    }

    async fn timed<T>(&self, call: &'static str, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = asked.await;
        self.metrics.bitbucket_called(call, began.elapsed());
        answer
    }

    /// The log line names the side at fault and the setting; the page says less.
    fn report(&self, order: &Order, failure: &Failure) {
        let Bitbucket { redirect_url, client_id, .. } = &order.site.settings.bitbucket;
        let request_id = &order.request_id;
        match failure {
            Failure::Tokens(TokenError::InvalidGrant | TokenError::RedirectMismatch) => {
                tracing::warn!(request_id, redirect_url, client_id, "login failed: {failure}");
            }
            Failure::Tokens(TokenError::WrongClient) => {
                self.metrics.client_is_accepted(false);
                tracing::error!(request_id, "login failed: {failure}");
            }
            _ => tracing::warn!(request_id, "login failed: {failure}"),
        }
        let home = ReturnTo::home(order.site.public_url());
        let code = order.site.explain(failure, &home).code();
        self.metrics.login_finished(code.as_str());
    }
}

async fn revoke(site: &Site, tokens: &TokenSet) {
    let revoked = site.bitbucket.revoke(&tokens.access_token, tokens.refresh_token.as_ref()).await;
    if let Err(error) = revoked {
        tracing::warn!("tokens of a failed login could not be revoked: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u64) -> AttemptId {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let id = URL_SAFE_NO_PAD.encode(u128::from(number).to_be_bytes());
        AttemptId::from_text(&id).expect("16 bytes")
    }

    #[test]
    fn a_fresh_attempt_is_remembered_however_many_there_were() {
        let results = results();
        for number in 0..2 * REMEMBERED {
            results.get_with(attempt(number), Arc::default);
            // As if strangers came back again and again with theirs.
            results.get(&attempt(number / 2));
        }
        results.run_pending_tasks();
        for number in 2 * REMEMBERED - 100..2 * REMEMBERED {
            assert!(results.contains_key(&attempt(number)), "{number}");
        }
        assert!(results.entry_count() <= REMEMBERED);
    }
}
