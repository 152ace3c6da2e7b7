//! A request whose session has no live access token, or one that is being refreshed.

use std::time::{Duration, Instant};

use super::Exchange;
use crate::access::{self, Decision};
use crate::error::Problem;
use crate::session::refresh::{NoToken, Obstacle};

impl Exchange<'_> {
    /// Whether the request has a session and cannot simply go on with its token.
    pub(super) fn lacks_token(&self) -> bool {
        let now = self.record.arrival.began;
        self.record.session.as_deref().is_some_and(|session| !session.has_good_token(now))
    }

    /// Waits for a token. Afterwards the session is there with a live one, or is not there because
    /// it has ended, or because the request may pass without. The problem is for all others.
    pub(super) async fn renew(&mut self) -> Result<(), Box<Problem>> {
        let Err(NoToken::Trouble { error, retry_after }) = self.wait_for_token().await else {
            return Ok(());
        };
        if self.is_public() {
            self.record.session = None;
            return Ok(());
        }
        if matches!(error, Obstacle::Store(_)) {
            let request_id = self.record.request_id();
            tracing::warn!(
                request_id,
                "an access token that has expired is not refreshed: {error}"
            );
        }
        let pause = retry_after.max(Duration::from_secs(1));
        Err(self.snapshot.site.token_unavailable(&error, pause).into())
    }

    /// The same for an address of ours that has something to say without a token too.
    pub(super) async fn wait_for_token(&mut self) -> Result<(), NoToken> {
        let Some(session) = self.record.session.clone() else { return Ok(()) };
        let began = Instant::now();
        let ready = self.gateway.app.refresher.ready(&session).await;
        self.record.waited += began.elapsed();
        if session.has_ended() {
            self.record.session = None;
        }
        ready
    }

    /// Whether the request passes without a session too.
    pub(super) fn is_public(&self) -> bool {
        let settings = self.snapshot.settings();
        let decision =
            access::decide(&self.asked(false), &settings.access, &settings.server.public_url);
        matches!(decision, Decision::AsPublic | Decision::AsPublicWithToken)
    }
}
