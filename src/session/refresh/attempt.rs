//! One refresh: the call, the new tokens stored, and then whose they are.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::timeout;

use super::setback::Obstacle;
use super::{Progress, Refresher, Terms};
use crate::bitbucket::{Cause, PeopleError, Person, TokenError, TokenSet};
use crate::session::Session;
use crate::session::shared::turn::Turn;
use crate::session::store::{Saved, Store, Whose};
use crate::session::tokens::Tokens;
use crate::store::StoreError;

/// A refresh under way. In whatever way it ends, it lands.
pub struct Flight {
    refresher: Arc<Refresher>,
    session: Arc<Session>,
    progress: watch::Sender<bool>,
    error: Option<Obstacle>,
}

/// What came of a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewed {
    Yes,
    /// Newer tokens are there, or the session is over.
    NotNeeded,
}

/// Why a session cannot go on with its new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    DeadToken,
    Inactive,
    OtherPerson,
}

impl Unfit {
    const fn label(self) -> &'static str {
        match self {
            Self::DeadToken => "dead_token",
            Self::Inactive => "inactive",
            Self::OtherPerson => "other_person",
        }
    }
}

impl Flight {
    pub fn new(refresher: Arc<Refresher>, session: Arc<Session>) -> (Self, Progress) {
        let (progress, watched) = watch::channel(false);
        // What is left if it is dropped half-way.
        let error = Some(TokenError::from(Cause::Broken).into());
        (Self { refresher, session, progress, error }, watched)
    }

    /// Must run to its end: an answer that nobody takes loses both tokens.
    pub async fn fly(mut self) {
        self.error = self.refresh().await.err();
    }

    /// An error leaves the session as it is, to be tried again.
    async fn refresh(&self) -> Result<(), Obstacle> {
        let terms = (self.refresher.terms)().ok_or(TokenError::from(Cause::Broken))?;
        let mut turn = match self.store().take_turn(&self.session, terms.timeout).await {
            Ok(Whose::Ours(turn)) => turn,
            Ok(Whose::Settled) => return Ok(()),
            Err(error) => return Err(self.report_store(error)),
        };
        let outcome = self.renew(&terms, &mut turn).await;
        self.store().give_back(&self.session, turn);
        if outcome? == Renewed::Yes {
            let result = self.look_up(&terms).await;
            self.refresher.metrics.token_refreshed(result);
        }
        Ok(())
    }

    async fn renew(&self, terms: &Terms, turn: &mut Turn) -> Result<Renewed, Obstacle> {
        let old = Arc::clone(&self.session.tokens());
        if self.session.is_refused(&old) {
            return self.follow_refusal(turn).await;
        }
        match self.ask(terms, &old).await {
            Ok(Some(set)) => {
                // Before anything else is asked: the old pair is dead.
                self.session.store(old.followed_by(set, Instant::now()));
                self.progress.send_replace(true);
                self.refresher.metrics.client_is_accepted(true);
                if self.store().save(&self.session, turn).await == Saved::Ended {
                    self.revoke(terms).await;
                }
                Ok(Renewed::Yes)
            }
            Ok(None) => Ok(Renewed::NotNeeded),
            Err(Obstacle::Bitbucket(TokenError::InvalidGrant)) => {
                self.session.note_refusal(&old);
                self.follow_refusal(turn).await
            }
            Err(Obstacle::Store(error)) => Err(self.report_store(error)),
            Err(Obstacle::Bitbucket(error)) => {
                self.report(&error);
                Err(error.into())
            }
        }
    }

    /// `Ok(None)` if nobody needs new tokens any more.
    async fn ask(&self, terms: &Terms, old: &Tokens) -> Result<Option<TokenSet>, Obstacle> {
        let late = Cause::TimedOut { after: terms.timeout, sent: false };
        let turn = timeout(terms.timeout, self.refresher.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(TokenError::from(late).into()) };
        let Some(refresh_token) = old.refresh.as_ref().filter(|_| !self.session.has_ended()) else {
            return Ok(None);
        };
        self.store().about_to_send(&self.session).await?;
        let asked = terms.bitbucket.refresh(refresh_token);
        Ok(Some(self.timed("refresh", asked).await?))
    }

    /// Bitbucket does not accept the refresh token any more: that ends the session, unless another
    /// replica has what it was changed for.
    async fn follow_refusal(&self, turn: &Turn) -> Result<Renewed, Obstacle> {
        match self.store().has_newer(&self.session, turn).await {
            Ok(true) => {}
            Ok(false) => {
                self.end("Bitbucket does not accept its refresh token any more");
                self.refresher.metrics.token_refreshed("invalid_grant");
            }
            Err(error) => return Err(self.report_store(error)),
        }
        Ok(Renewed::NotNeeded)
    }

    fn store(&self) -> &Store {
        &self.refresher.sessions.store
    }

    /// Asks again who the person is; what comes of it, for the metric.
    async fn look_up(&self, terms: &Terms) -> &'static str {
        if self.session.has_ended() {
            // Whoever ended it revokes the new tokens too.
            return "success";
        }
        let tokens = Arc::clone(&self.session.tokens());
        let known = self.session.person().clone();
        let person = self.timed("whoami", terms.bitbucket.whoami(&tokens.access)).await;
        let Err(unfit) = self.judge(person) else {
            if *self.session.person() != known {
                self.store().save_person(&self.session).await;
            }
            return "success";
        };
        self.end(match unfit {
            Unfit::DeadToken => "Bitbucket does not accept its new access token",
            Unfit::Inactive => "the person is not active in Bitbucket any more",
            Unfit::OtherPerson => "its new tokens are another person's",
        });
        self.revoke(terms).await;
        unfit.label()
    }

    async fn revoke(&self, terms: &Terms) {
        let tokens = Arc::clone(&self.session.tokens());
        if let Err(error) = terms.bitbucket.revoke(&tokens.access, tokens.refresh.as_ref()).await {
            tracing::warn!("the tokens of a session that ended could not be revoked: {error}");
        }
    }

    fn judge(&self, person: Result<Option<Person>, PeopleError>) -> Result<(), Unfit> {
        match person {
            Ok(None) => Ok(()),
            Ok(Some(person)) => {
                let is_same = self.refresher.sessions.know_again(&self.session, person);
                is_same.then_some(()).ok_or(Unfit::OtherPerson)
            }
            Err(PeopleError::DeadToken) => Err(Unfit::DeadToken),
            Err(PeopleError::Inactive { .. }) => Err(Unfit::Inactive),
            Err(error @ (PeopleError::Unreachable { .. } | PeopleError::Nonsense(_))) => {
                tracing::warn!(user = self.session.user(), "whose tokens were refreshed: {error}");
                Ok(())
            }
        }
    }

    fn end(&self, why: &str) {
        tracing::info!(user = self.session.user(), "a session ended: {why}");
        self.refresher.sessions.end(&self.session);
    }

    fn report(&self, error: &TokenError) {
        let metrics = &self.refresher.metrics;
        let user = self.session.user();
        if *error == TokenError::WrongClient {
            metrics.token_refreshed("bitbucket_rejected_client");
            // For the first of many sessions only: it is one thing to be done.
            if metrics.client_is_accepted(false) {
                tracing::error!(user, "tokens could not be refreshed: {error}");
                return;
            }
        } else {
            metrics.token_refreshed("bitbucket_unreachable");
        }
        tracing::warn!(user, "tokens could not be refreshed: {error}");
    }

    fn report_store(&self, error: StoreError) -> Obstacle {
        self.refresher.metrics.token_refreshed("session_store_unavailable");
        tracing::warn!(user = self.session.user(), "tokens could not be refreshed: {error}");
        Obstacle::Store(error)
    }

    async fn timed<T>(&self, call: &'static str, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = asked.await;
        self.refresher.metrics.bitbucket_called(call, began.elapsed());
        answer
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // The channel closes after this, so who waits finds all in order.
        self.refresher.land(&self.session, self.error.take());
    }
}
