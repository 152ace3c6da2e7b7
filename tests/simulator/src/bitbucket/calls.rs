//! Counting the calls by kind.

use crate::waiting::Bell;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A kind of call, and the misdeeds that a client must not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// The authorize endpoint, with whatever outcome.
    Authorize,
    /// A person logs in at Bitbucket's own page.
    Login,
    /// A person answers the consent page.
    Consent,
    /// The token endpoint, `grant_type=authorization_code`; counted when it arrives.
    TokenExchange,
    /// The token endpoint, `grant_type=refresh_token`; counted when it arrives.
    Refresh,
    /// The token endpoint, anything else.
    TokenOther,
    /// The revocation endpoint, there or not.
    Revoke,
    /// `application-properties`.
    Whoami,
    /// `plugins/servlet/applinks/whoami`.
    ApplinksWhoami,
    /// `users/{slug}`.
    User,
    /// `users?filter=…`.
    Users,
    /// `projects/{key}`.
    Project,
    /// `projects/{key}/repos/{slug}`.
    Repository,
    /// `repos?…`.
    Repositories,
    /// `admin/groups/more-members`.
    GroupMembers,
    /// `/status`.
    Status,
    /// `/rest/oauth2/1.0/client`.
    OAuthClient,
    /// `login-options`.
    LoginOptions,
    /// An address that Bitbucket does not have.
    Unknown,
    /// Misdeed: Basic credentials at the token endpoint; on Bitbucket these would be a person's.
    BasicAtToken,
    /// Misdeed: credentials in the token endpoint's query, where logs keep them.
    CredentialsInQuery,
    /// Misdeed: JSON at the token endpoint.
    JsonAtToken,
    /// Misdeed: a cookie on a REST call; clients are to forget Bitbucket's cookies.
    CookieAtRest,
    /// A call refused by the rate limit.
    RateLimited,
}

/// How often each kind of call was made.
pub(super) struct Calls {
    counts: Mutex<HashMap<Call, usize>>,
    changed: Bell,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { counts: Mutex::default(), changed: Bell::new() }
    }

    pub(super) fn note(&self, call: Call) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(call).or_default() += 1;
        self.changed.ring();
    }

    pub(super) fn count(&self, call: Call) -> usize {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&call).copied().unwrap_or_default()
    }

    pub(super) async fn wait_for(&self, call: Call, wanted: usize) {
        let what = || format!("{wanted} × {call:?}; there were {}", self.count(call));
        self.changed.until(what, || (self.count(call) >= wanted).then_some(())).await;
    }
}
