//! The ways in which the token endpoint goes wrong, and the forms of its success.

use std::time::Duration;

/// What goes wrong at the token endpoint. Where it says "first", the call does nothing else: no
/// code is spent, no token rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenFault {
    /// Nothing.
    #[default]
    None,
    /// First: 500 with an HTML page.
    Html500,
    /// First: 502 with an HTML page, as a proxy in front makes it.
    Html502,
    /// First: 503 with an HTML page, as in maintenance.
    Html503,
    /// First: 429, with `Retry-After` in seconds if given.
    TooManyRequests(Option<u32>),
    /// First: 200 with a page instead of JSON.
    Html200,
    /// First: 200 with JSON that has nothing of OAuth.
    NotOAuth,
    /// First: 200 with a body that does not end.
    Endless,
    /// First: 302 to this address.
    Redirect(String),
    /// First: the connection is closed without an answer.
    HangUp,
    /// First: this OAuth error (RFC 6749 §5.2).
    Error {
        /// HTTP status.
        status: u16,
        /// `error`.
        error: String,
        /// `error_description`, if any.
        description: Option<String>,
    },
    /// The call is handled after this time.
    Slow(Duration),
    /// The call is handled at once, the answer comes after this time.
    SlowAnswer(Duration),
    /// The call is handled when this fault is switched to another; then that one is in force.
    Hang,
    /// The call is handled at once; the answer comes when this fault is switched to another.
    HangAnswer,
    /// The call is handled, tokens are rotated, then the connection is closed without an answer.
    AnswerLost,
    /// The call is handled; the JSON breaks off half-way, though the response is complete.
    Truncated,
}

impl TokenFault {
    /// `invalid_grant` with this description.
    pub fn invalid_grant(description: Option<&str>) -> Self {
        let description = description.map(str::to_owned);
        Self::Error { status: 400, error: "invalid_grant".to_owned(), description }
    }

    /// `invalid_grant` whose description speaks of the redirect URL.
    pub fn redirect_mismatch() -> Self {
        Self::invalid_grant(Some(super::token::REDIRECT_MISMATCH))
    }

    /// `invalid_client` with 401 or 400.
    pub fn invalid_client(status: u16) -> Self {
        let description = Some(super::token::BAD_CLIENT.to_owned());
        Self::Error { status, error: "invalid_client".to_owned(), description }
    }
}

/// The form of a token answer that is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAnswer {
    /// How `expires_in` is written.
    pub expires_in: ExpiresIn,
    /// Whether a refresh token comes along.
    pub refresh_token: bool,
    /// Tokens of 8 KiB.
    pub huge: bool,
    /// `token_type`; `bearer` is what Bitbucket writes.
    pub token_type: String,
    /// `scope`, if it is not to be what was granted.
    pub scope: Option<String>,
}

impl Default for TokenAnswer {
    fn default() -> Self {
        let token_type = "bearer".to_owned();
        let expires_in = ExpiresIn::default();
        Self { expires_in, refresh_token: true, huge: false, token_type, scope: None }
    }
}

/// How `expires_in` is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// A number.
    #[default]
    Number,
    /// The number as a string.
    Text,
    /// Not at all.
    Missing,
    /// These words instead of a number.
    Words(String),
}
