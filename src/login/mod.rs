//! Signing in and out: the proxy's own addresses under `/_codescan/oauth2/`.
//!
//! [`start`] sends a person to Bitbucket, [`callback`] takes them back (the redirection endpoint
//! of RFC 6749 §3.1.2), [`logout`] ends the session, [`userinfo`] tells of it. A login in progress
//! is an [`attempt`], which the browser alone keeps; where it leads afterwards is a [`return_to`].
//! Nothing here reads or writes a connection: each answers with a [`Reply`].

pub mod attempt;
pub mod callback;
pub mod exchange;
pub mod logout;
pub mod renewal;
pub mod return_to;
pub mod start;
pub mod userinfo;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use self::attempt::{Attempts, unix_seconds};
use self::return_to::ReturnTo;
use crate::bitbucket::{self, Cause};
use crate::config::Settings;
use crate::config::public_url::PublicUrl;
use crate::config::settings::CookieSecret;
use crate::error::{BitbucketFault, Href, Problem};
use crate::seal::Sealer;
use crate::session::cookie::{Cookie, CookieNames};

/// Login cookies that a browser may hold; beyond it the oldest go.
const ATTEMPTS_AT_A_TIME: usize = 10;

/// One installation as the login sees it: made anew with each reading of the settings.
pub struct Site {
    pub settings: Settings,
    pub cookies: CookieNames,
    pub bitbucket: bitbucket::Client,
    pub sealer: Sealer,
}

impl Site {
    /// `made_up` is the secret for where none is configured; it lives as long as the process.
    pub fn new(settings: Settings, made_up: &CookieSecret) -> Result<Self, bitbucket::SetupError> {
        let secrets = match settings.session.cookie_secrets.as_slice() {
            [] => std::slice::from_ref(made_up),
            given => given,
        };
        Ok(Self {
            cookies: CookieNames::new(&settings),
            bitbucket: bitbucket::Client::new(&settings.bitbucket)?,
            sealer: Sealer::new(secrets),
            settings,
        })
    }

    pub fn public_url(&self) -> &PublicUrl {
        &self.settings.server.public_url
    }

    fn attempts(&self) -> Attempts<'_> {
        Attempts { sealer: &self.sealer, settings: &self.settings }
    }

    /// The address that starts a login which leads to `return_to`.
    pub fn sign_in(&self, return_to: &ReturnTo) -> Href {
        let home = ReturnTo::home(self.public_url());
        let place = if *return_to == home { "/" } else { return_to.as_str() };
        Href::sign_in(self.public_url(), place)
    }

    /// `Set-Cookie` values that expire `CodeScan`'s own login cookies, so that the next person is
    /// never the one before.
    pub fn expire_codescan_cookies(&self) -> impl Iterator<Item = HeaderValue> + '_ {
        let prefix = self.public_url().prefix();
        let paths = std::iter::once("/").chain((!prefix.is_empty()).then_some(prefix));
        let names = &self.settings.codescan.session_cookies;
        paths.flat_map(move |path| {
            names.iter().map(move |name| self.cookies.remove_foreign(name, path))
        })
    }

    /// What every end of a session tells the browser.
    pub fn signed_out_cookies(&self) -> Vec<HeaderValue> {
        let mut cookies = vec![
            self.cookies.remove(Cookie::Session),
            self.cookies.remove(Cookie::SignedIn),
            self.cookies.set(Cookie::SignedOut, "1", logout::REMEMBERED_SECONDS),
        ];
        cookies.extend(self.expire_codescan_cookies());
        cookies
    }

    /// Whether this browser completed a login within the last half minute.
    fn has_just_signed_in(&self, headers: &HeaderMap, now: SystemTime) -> bool {
        let marked = self.cookies.value(headers, Cookie::SignedIn);
        let since = marked.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
        let age = |since| unix_seconds(now).checked_sub(since);
        since.and_then(age).is_some_and(|age| age < callback::JUST_NOW_SECONDS)
    }
}

/// What the login has to say, without the fields that every answer gets.
pub struct Reply {
    pub content: Content,
    pub set_cookies: Vec<HeaderValue>,
}

/// Draws a page for the request with the id that it is given.
pub type DrawPage = Box<dyn FnOnce(&str) -> Response<Bytes>>;

/// What a reply shows.
pub enum Content {
    /// 302, to an address that is Bitbucket's or ours.
    Redirect(String),
    /// 303: after a POST, look there (RFC 9110 §15.4.4).
    SeeOther(String),
    Problem(Box<Problem>),
    /// Drawn once the request's id is known.
    Page(DrawPage),
    Json(String),
}

impl Reply {
    fn redirect(to: String) -> Self {
        Self { content: Content::Redirect(to), set_cookies: Vec::new() }
    }

    pub fn problem(problem: Problem) -> Self {
        Self { content: Content::Problem(Box::new(problem)), set_cookies: Vec::new() }
    }

    fn with_cookies(mut self, cookies: impl IntoIterator<Item = HeaderValue>) -> Self {
        self.set_cookies.extend(cookies);
        self
    }
}

/// The site that a request and an exchange apart from it both hold.
pub type SharedSite = Arc<Site>;

/// What a page may say of the cause; addresses stay in the log.
fn fault(cause: &Cause) -> BitbucketFault {
    match cause {
        Cause::Unresolved | Cause::NoConnection(_) | Cause::Broken => BitbucketFault::NoConnection,
        Cause::Proxy(_) => BitbucketFault::OutboundProxy,
        Cause::Untrusted { .. } | Cause::Tls { .. } => BitbucketFault::Tls,
        Cause::TimedOut { .. } => BitbucketFault::Timeout,
        Cause::Status { status: StatusCode::TOO_MANY_REQUESTS, .. } => BitbucketFault::RateLimited,
        Cause::Status { status, .. } if status.is_server_error() => {
            BitbucketFault::ServerError(*status)
        }
        Cause::Status { status, .. } | Cause::Redirect { status, .. } => {
            BitbucketFault::UnexpectedAnswer(Some(*status))
        }
        Cause::NotHttp | Cause::TooLarge | Cause::NotJson { .. } | Cause::NotRunning { .. } => {
            BitbucketFault::UnexpectedAnswer(None)
        }
    }
}
