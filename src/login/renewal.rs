//! What a person is told when their session has no live access token and Bitbucket gives none.

use std::time::Duration;

use super::Site;
use crate::bitbucket::TokenError;
use crate::error::{BitbucketFault, Problem};

impl Site {
    /// The session is kept: there is nothing to sign in for.
    pub fn token_unavailable(&self, error: &TokenError, retry_after: Duration) -> Problem {
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
