//! What a person is told when there is no live access token for their session, or when it is not
//! known whether they have one.

use std::time::Duration;

use super::Site;
use crate::bitbucket::TokenError;
use crate::error::{BitbucketFault, Problem};
use crate::session::refresh::Obstacle;

/// When it is worth trying again after the store did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// The store does not say whether there is a session, or cannot keep a new one.
pub fn store_unavailable() -> Problem {
    Problem::session_store_unavailable(STORE_PAUSE)
}

impl Site {
    /// The session is kept: there is nothing to sign in for.
    pub fn token_unavailable(&self, error: &Obstacle, retry_after: Duration) -> Problem {
        let error = match error {
            Obstacle::Bitbucket(error) => error,
            Obstacle::Store(_) => return Problem::session_store_unavailable(retry_after),
        };
        let fault = match error {
            TokenError::WrongClient => {
                let client_id = &self.settings.bitbucket.client_id;
                return Problem::bitbucket_rejected_client(client_id, None);
            }
            TokenError::Unreachable { cause, .. } => super::fault(cause),
            TokenError::RedirectMismatch
            | TokenError::InvalidGrant
            | TokenError::Refused { .. }
            | TokenError::Nonsense(_) => BitbucketFault::UnexpectedAnswer(None),
        };
        Problem::bitbucket_unreachable(fault, Some(retry_after), None)
    }
}
