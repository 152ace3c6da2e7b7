//! `codescan.retry_on_401`: a `CodeScan` that checks the token with Bitbucket answers 401 when a
//! refresh has killed the token on its way.

use std::sync::Arc;
use std::time::Instant;

use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};

use super::Exchange;
use crate::access::Decision;
use crate::config::template::{Part, Placeholder};
use crate::forward::ForwardError;
use crate::forward::body::ResponseBody;
use crate::session::Session;
use crate::session::tokens::After401;

type Sent = Result<Response<ResponseBody>, ForwardError>;

impl Exchange<'_> {
    /// The generation of the tokens that this request is sent with, if it may be sent again.
    pub(super) fn replayable(&self, decision: Decision, has_body: bool) -> Option<u64> {
        let settings = &self.snapshot.settings().codescan;
        if !settings.retry_on_401 || has_body || decision != Decision::AsSession {
            return None;
        }
        let is_read = matches!(self.head().method, Method::GET | Method::HEAD);
        let bears_token = settings.headers.iter().any(|header| {
            let parts = &header.value.parts;
            let is_token =
                |part: &Part| matches!(part, Part::Placeholder(Placeholder::AccessToken));
            header.name == AUTHORIZATION && parts.iter().any(is_token)
        });
        let session = self.record.session.as_ref().filter(|session| session.believes_401())?;
        (is_read && bears_token).then(|| session.tokens().generation)
    }

    /// Sends the request once more if `first` is a 401 that a newer token may cure; `sent` is the
    /// generation that it was the answer to.
    pub(super) async fn replay(
        &self,
        first: Response<ResponseBody>,
        sent: u64,
        again: impl AsyncFnOnce() -> Sent,
    ) -> Sent {
        let Some(session) = &self.record.session else { return Ok(first) };
        if first.status() != StatusCode::UNAUTHORIZED || !self.has_newer(session, sent).await {
            return Ok(first);
        }
        drop(first);
        let second = again().await?;
        if second.status() == StatusCode::UNAUTHORIZED && session.distrust_401() {
            tracing::warn!(
                request_id = self.record.request_id(),
                user = session.user(),
                "CodeScan answers 401 to a new token too; codescan.retry_on_401 is off for this \
                 session"
            );
        }
        Ok(second)
    }

    async fn has_newer(&self, session: &Arc<Session>, sent: u64) -> bool {
        let after = session.tokens().after_401(sent, Instant::now());
        match after {
            After401::PassOn => false,
            After401::Replay => !session.has_ended(),
            After401::RefreshAndReplay => self.gateway.app.refresher.renew(session, sent).await,
        }
    }
}
