//! One refresh: the call, the new tokens stored, and then whose they are.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Progress, Refresher, Terms};
use crate::bitbucket::{Cause, PeopleError, Person, TokenError, TokenSet};
use crate::session::Session;
use crate::session::tokens::Tokens;

/// A refresh under way. In whatever way it ends, it lands.
pub struct Flight {
    refresher: Arc<Refresher>,
    session: Arc<Session>,
    progress: watch::Sender<bool>,
    error: Option<TokenError>,
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
        let error = Some(Cause::Broken.into());
        (Self { refresher, session, progress, error }, watched)
    }

    /// Must run to its end: an answer that nobody takes loses both tokens.
    pub async fn fly(mut self) {
        self.error = self.refresh().await.err();
    }

    /// An error leaves the session as it is, to be tried again.
    async fn refresh(&self) -> Result<(), TokenError> {
        let terms = (self.refresher.terms)().ok_or(Cause::Broken)?;
        let old = Arc::clone(&self.session.tokens());
        match self.ask(&terms, &old).await {
            Ok(Some(set)) => {
                // Before anything else is asked: the old pair is dead.
                self.session.store(old.followed_by(set, Instant::now()));
                self.progress.send_replace(true);
                self.refresher.metrics.client_is_accepted(true);
                let result = self.look_up(&terms).await;
                self.refresher.metrics.token_refreshed(result);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(TokenError::InvalidGrant) => {
                self.end("Bitbucket does not accept its refresh token any more");
                self.refresher.metrics.token_refreshed("invalid_grant");
                Ok(())
            }
            Err(error) => {
                self.report(&error);
                Err(error)
            }
        }
    }

    /// `Ok(None)` if nobody needs new tokens any more.
    async fn ask(&self, terms: &Terms, old: &Tokens) -> Result<Option<TokenSet>, TokenError> {
        let late = Cause::TimedOut { after: terms.timeout, sent: false };
        let turn = timeout(terms.timeout, self.refresher.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(late.into()) };
        let Some(refresh_token) = old.refresh.as_ref().filter(|_| !self.session.has_ended()) else {
            return Ok(None);
        };
        let asked = terms.bitbucket.refresh(refresh_token);
        self.timed("refresh", asked).await.map(Some)
    }

    /// Asks again who the person is; what comes of it, for the metric.
    async fn look_up(&self, terms: &Terms) -> &'static str {
        if self.session.has_ended() {
            // Whoever ended it revokes the new tokens too.
            return "success";
        }
        let tokens = Arc::clone(&self.session.tokens());
        let person = self.timed("whoami", terms.bitbucket.whoami(&tokens.access)).await;
        let Err(unfit) = self.judge(person) else { return "success" };
        self.end(match unfit {
            Unfit::DeadToken => "Bitbucket does not accept its new access token",
            Unfit::Inactive => "the person is not active in Bitbucket any more",
            Unfit::OtherPerson => "its new tokens are another person's",
        });
        if let Err(error) = terms.bitbucket.revoke(&tokens.access, tokens.refresh.as_ref()).await {
            tracing::warn!("the tokens of a session that ended could not be revoked: {error}");
        }
        unfit.label()
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
