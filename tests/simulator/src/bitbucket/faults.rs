//! Everything that can be switched while the double runs: the installation's own settings, the
//! variants that no document settles, and plain faults.

use super::token_fault::{TokenAnswer, TokenFault};
use std::time::Duration;

/// The behaviour in force. [`Default`] is a healthy server with the documented settings.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Life of an authorization code (`max.client.delay.seconds`: 10 s).
    pub code_lifetime: Duration,
    /// Life of an access token (`access.token.expiration.seconds`: 1 h); also `expires_in`.
    pub access_token_lifetime: Duration,
    /// Life of a refresh token (`refresh.token.expiration.seconds`: 90 days).
    pub refresh_token_lifetime: Duration,

    /// Whether the consent page is shown.
    pub consent: Consent,
    /// How the authorize endpoint shows what must not be redirected.
    pub refusal: RefusalShape,
    /// Authorize: go back at once with this `error` instead of asking the person.
    pub authorize_error: Option<String>,
    /// Names of challenge methods taken for S256.
    pub challenge_methods: Vec<String>,
    /// Whether a challenge is checked at the exchange.
    pub pkce: Pkce,
    /// What a second use of a code does beside being refused.
    pub code_reuse: Reuse,
    /// What the use of a rotated refresh token does beside being refused.
    pub refresh_reuse: Reuse,

    /// Fault of the token endpoint, for exchange and refresh alike.
    pub token: TokenFault,
    /// Fault of the exchange alone; comes before [`Faults::token`].
    pub exchange: TokenFault,
    /// Fault of the refresh alone; comes before [`Faults::token`].
    pub refresh: TokenFault,
    /// After so many faulty answers of the token endpoint all is well again; `None`: never.
    pub token_times: Option<u32>,
    /// The form of a successful token answer.
    pub token_answer: TokenAnswer,
    /// Status of `invalid_client`: 401, or 400.
    pub invalid_client_status: u16,

    /// What REST does with a token that is not valid.
    pub dead_token: DeadToken,
    /// What `X-AUSERNAME` says.
    pub username: Username,
    /// Fault of `application-properties`.
    pub whoami: RestFault,
    /// Fault of `users` and `users/{slug}`.
    pub users: RestFault,
    /// Fault of projects, repositories and groups.
    pub access: RestFault,
    /// What `plugins/servlet/applinks/whoami` does.
    pub applinks_whoami: ApplinksWhoami,
    /// Requests a person's tokens may make; `None`: any number.
    pub rate_limit: Option<RateLimit>,

    /// The revocation endpoint; Bitbucket documents none.
    pub revoke: Revoke,
    /// Whether the OAuth provider is there.
    pub provider: Provider,
    /// `state` of `/status`: 503 for `MAINTENANCE`, 500 for `ERROR`, else 200.
    pub state: String,
}

impl Default for Faults {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_hours(1);
        Self {
            code_lifetime: Duration::from_secs(10),
            access_token_lifetime: HOUR,
            refresh_token_lifetime: 24 * 90 * HOUR,
            consent: Consent::default(),
            refusal: RefusalShape::default(),
            authorize_error: None,
            challenge_methods: vec!["S256".to_owned(), "s256".to_owned()],
            pkce: Pkce::default(),
            code_reuse: Reuse::Revokes,
            refresh_reuse: Reuse::Refused,
            token: TokenFault::None,
            exchange: TokenFault::None,
            refresh: TokenFault::None,
            token_times: None,
            token_answer: TokenAnswer::default(),
            invalid_client_status: 401,
            dead_token: DeadToken::default(),
            username: Username::default(),
            whoami: RestFault::None,
            users: RestFault::None,
            access: RestFault::None,
            applinks_whoami: ApplinksWhoami::default(),
            rate_limit: None,
            revoke: Revoke::default(),
            provider: Provider::default(),
            state: "RUNNING".to_owned(),
        }
    }
}

/// Whether a person is asked at each login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// The page is shown each time.
    #[default]
    Ask,
    /// Whoever is logged in is sent straight back.
    Approve,
}

/// The shape of an error that stays at Bitbucket; none is documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefusalShape {
    /// 400 with `{"error":…,"error_description":…}`.
    #[default]
    Json,
    /// 400 with a page.
    Html,
}

/// Whether PKCE protects anything (RFC 9700 §4.5 warns of servers that ignore it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pkce {
    /// A challenge is checked.
    #[default]
    Checked,
    /// The challenge is accepted and forgotten.
    Ignored,
}

/// What using something up twice leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// The second use is refused.
    Refused,
    /// The second use is refused and ends the tokens that came of the first (RFC 6749 §4.1.2).
    Revokes,
}

/// What REST does with a token that is not valid; which, is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadToken {
    /// Mode A: 401 without `X-AUSERNAME`.
    #[default]
    Unauthorized,
    /// Mode B: as if no token had come (200 where that is enough).
    Anonymous,
}

/// What `X-AUSERNAME` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Username {
    /// The person's name, URL-encoded.
    #[default]
    Encoded,
    /// The person's name in raw UTF-8.
    Raw,
    /// The header is left out.
    Missing,
    /// `anonymous`.
    Anonymous,
    /// Another name than the person's.
    Other(String),
}

/// What goes wrong with a REST call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RestFault {
    /// Nothing.
    #[default]
    None,
    /// This status and an `errors` body.
    Status(u16),
    /// 429, with `Retry-After` in seconds if given.
    TooManyRequests(Option<u32>),
    /// The answer comes after this time.
    Slow(Duration),
    /// The answer comes when this fault is switched to another.
    Hang,
    /// 200 with a page instead of JSON.
    Html200,
    /// 200 with a body that does not end.
    Endless,
    /// 302 to the login page.
    LoginRedirect,
    /// The connection is closed without an answer.
    HangUp,
}

/// What the applinks page that tells the user name does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplinksWhoami {
    /// 302 to the login page: tokens count below `/rest` and `/scm` only (since 8.19.12).
    #[default]
    LoginRedirect,
    /// The name as plain text, empty for nobody.
    Plain,
    /// Always empty.
    Empty,
}

/// A token bucket for each person, as Bitbucket's rate limiting has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests at once.
    pub capacity: u32,
    /// Requests a second after that.
    pub per_second: u32,
    /// `Retry-After` in seconds, if it is sent.
    pub retry_after: Option<u32>,
}

/// The revocation endpoint (RFC 7009).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revoke {
    /// 404, as documented Bitbucket versions have none.
    #[default]
    Absent,
    /// There, and working.
    Works,
    /// There, and answering this status without revoking.
    Fails(u16),
}

/// Whether the OAuth provider is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// It is.
    #[default]
    On,
    /// Everything below `/rest/oauth2` is 404: switched off, or too old a version.
    Off,
}
