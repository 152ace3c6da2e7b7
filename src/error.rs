//! What went wrong, as people and scripts are told: the codes, and for each situation the words.
//!
//! This is the only place that maps problems to codes. It knows neither requests nor how a
//! problem is drawn ([`crate::pages`] does that), and it says nothing that only an operator may
//! know: internal addresses and exact causes belong in the log.

mod access;
mod application;
mod bitbucket;
mod href;
mod login;
mod text;

use std::time::Duration;

use http::StatusCode;

pub use self::bitbucket::BitbucketFault;
pub use self::href::Href;
pub use self::text::{Piece, Text};

/// The codes of errors made by the proxy itself. Scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    LoginRequired,
    ClientTokenRefused,
    AccessDenied,
    CrossSiteRequest,
    MethodNotAllowed,
    NotFound,
    InvalidRequest,
    LoginExpired,
    HeaderTooLarge,
    BodyTooLarge,
    UpstreamUnreachable,
    UpstreamTimeout,
    BitbucketUnreachable,
    BitbucketRejectedClient,
    RedirectUrlMismatch,
    CookieLost,
    SessionStoreUnavailable,
    Overloaded,
}

impl Code {
    /// The code as it stands in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoginRequired => "login_required",
            Self::ClientTokenRefused => "client_token_refused",
            Self::AccessDenied => "access_denied",
            Self::CrossSiteRequest => "cross_site_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "not_found",
            Self::InvalidRequest => "invalid_request",
            Self::LoginExpired => "login_expired",
            Self::HeaderTooLarge => "header_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::BitbucketUnreachable => "bitbucket_unreachable",
            Self::BitbucketRejectedClient => "bitbucket_rejected_client",
            Self::RedirectUrlMismatch => "redirect_url_mismatch",
            Self::CookieLost => "cookie_lost",
            Self::SessionStoreUnavailable => "session_store_unavailable",
            Self::Overloaded => "overloaded",
        }
    }

    /// The status that answers with this code have.
    pub fn status(self) -> StatusCode {
        match self {
            Self::LoginRequired | Self::ClientTokenRefused => StatusCode::UNAUTHORIZED,
            Self::AccessDenied | Self::CrossSiteRequest => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::InvalidRequest | Self::LoginExpired | Self::CookieLost => StatusCode::BAD_REQUEST,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamUnreachable
            | Self::BitbucketUnreachable
            | Self::BitbucketRejectedClient
            | Self::RedirectUrlMismatch => StatusCode::BAD_GATEWAY,
            Self::SessionStoreUnavailable | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// One thing that went wrong, told to a person: what happened, and what to do next.
///
/// Made only by the constructors below, one for each situation.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    title: &'static str,
    message: Text,
    advice: Vec<Text>,
    administrator: Vec<Text>,
    action: Option<Action>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

impl Problem {
    fn new(code: Code, title: &'static str, message: Text) -> Self {
        Self {
            code,
            title,
            message,
            advice: Vec::new(),
            administrator: Vec::new(),
            action: None,
            retry_after: None,
            allow: None,
        }
    }

    fn advise(mut self, text: impl Into<Text>) -> Self {
        self.advice.push(text.into());
        self
    }

    fn tell_administrator(mut self, text: impl Into<Text>) -> Self {
        self.administrator.push(text.into());
        self
    }

    fn offer(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// What scripts are told.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The heading of the page.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What happened and whose side is at fault, in a sentence or two.
    pub fn message(&self) -> &Text {
        &self.message
    }

    /// What the person before the screen may do.
    pub fn advice(&self) -> &[Text] {
        &self.advice
    }

    /// What may be the cause, and which setting is to be looked at.
    pub fn administrator(&self) -> &[Text] {
        &self.administrator
    }

    /// The one link of the page. A `login_required` has one always: its `login_url`.
    pub fn action(&self) -> Option<&Action> {
        self.action.as_ref()
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same in whole seconds, upwards, and never "at once" (RFC 9110 §10.2.3).
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
            .map(|s| s.max(1))
    }

    /// What a `method_not_allowed` puts into `Allow` (RFC 9110 §10.2.1).
    pub fn allow(&self) -> Option<&'static str> {
        self.allow
    }
}

/// The one thing a page offers to press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    label: &'static str,
    href: Href,
    new_tab: bool,
}

impl Action {
    /// A link that leaves a frame, should the page stand in one: logins happen at the top.
    fn top(label: &'static str, href: Href) -> Self {
        Self { label, href, new_tab: false }
    }

    /// A link that leaves the page as it is.
    fn new_tab(label: &'static str, href: Href) -> Self {
        Self { label, href, new_tab: true }
    }

    /// What the link says.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Where it leads.
    pub fn href(&self) -> &Href {
        &self.href
    }

    /// Whether the page stays as it is, in its tab.
    pub fn opens_new_tab(&self) -> bool {
        self.new_tab
    }
}
