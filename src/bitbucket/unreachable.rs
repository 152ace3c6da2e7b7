//! Why Bitbucket gave no answer that can be used, in words a person understands.

use std::io;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode, Uri};

/// A wait longer than this is not believed.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Bitbucket could not be asked, or what answered was not Bitbucket at work. Says nothing about
/// the person or the token: an outage is never a logout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Bitbucket is unreachable: {cause}")]
pub struct Unreachable {
    pub cause: Cause,
    /// What a 429 or 503 asked for, an hour at most.
    pub retry_after: Option<Duration>,
}

/// What went wrong. Displayed after "Bitbucket is unreachable:"; holds no address but the host of
/// a redirect, and never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("its host name could not be resolved")]
    Unresolved,
    #[error("no connection: {0}")]
    NoConnection(io::ErrorKind),
    #[error("the outbound proxy (bitbucket.proxy_url, or HTTPS_PROXY in the environment) {0}")]
    Proxy(ProxyFault),
    #[error("its TLS certificate is not trusted ({why}): see bitbucket.ca_file")]
    Untrusted { why: String },
    #[error("TLS failed: {why}")]
    Tls { why: String },
    /// `sent`: the request may have reached Bitbucket, and the answer may still be on its way.
    #[error("no complete answer within {} s", after.as_secs_f64())]
    TimedOut { after: Duration, sent: bool },
    #[error("the connection was closed before the answer was complete")]
    Broken,
    #[error("what answered does not speak HTTP/1.1")]
    NotHttp,
    #[error("it answered {status} with {}", content_type.as_deref().unwrap_or("no content type"))]
    Status { status: StatusCode, content_type: Option<String> },
    #[error("it answered {status}, a redirect to {}", host.as_deref().unwrap_or("the same host"))]
    Redirect { status: StatusCode, host: Option<String> },
    #[error("the answer is larger than 64 KiB")]
    TooLarge,
    #[error("the answer is not JSON but {}", content_type.as_deref().unwrap_or("of no content type"))]
    NotJson { content_type: Option<String> },
    #[error("it says that its state is {state}, not RUNNING")]
    NotRunning { state: String },
}

/// What the outbound proxy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    #[error("has a host name that could not be resolved")]
    Unresolved,
    #[error("could not be connected to: {0}")]
    NoConnection(io::ErrorKind),
    #[error("wants other credentials (407)")]
    Credentials,
    #[error("refused to connect to Bitbucket: {0}")]
    Refused(StatusCode),
    #[error("does not speak HTTP/1.1, or hung up")]
    Broken,
}

impl Cause {
    /// Whether nothing of the request can have reached Bitbucket, so that a one-time code or
    /// refresh token in it is certainly unspent.
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::Unresolved
            | Self::NoConnection(_)
            | Self::Proxy(_)
            | Self::Untrusted { .. }
            | Self::Tls { .. }
            | Self::TimedOut { sent: false, .. } => true,
            Self::TimedOut { sent: true, .. }
            | Self::Broken
            | Self::NotHttp
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooLarge
            | Self::NotJson { .. }
            | Self::NotRunning { .. } => false,
        }
    }

    /// A word for metrics and checks that must not show addresses or content.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::NoConnection(_) => "no_connection",
            Self::Proxy(_) => "proxy",
            Self::Untrusted { .. } => "untrusted_certificate",
            Self::Tls { .. } => "tls",
            Self::TimedOut { .. } => "timed_out",
            Self::Broken => "broken",
            Self::NotHttp => "not_http",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge => "too_large",
            Self::NotJson { .. } => "not_json",
            Self::NotRunning { .. } => "not_running",
        }
    }
}

impl From<Cause> for Unreachable {
    fn from(cause: Cause) -> Self {
        Self { cause, retry_after: None }
    }
}

impl Unreachable {
    /// From the head of an answer that is of no use: a redirect, or a status of trouble.
    pub(super) fn from_head(status: StatusCode, headers: &HeaderMap) -> Self {
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Cause::Proxy(ProxyFault::Credentials).into();
        }
        if status.is_redirection() {
            return Cause::Redirect { status, host: redirect_host(headers) }.into();
        }
        let asks_to_wait =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            cause: Cause::Status { status, content_type: content_type(headers) },
            retry_after: if asks_to_wait { retry_after(headers, SystemTime::now()) } else { None },
        }
    }

    pub(super) fn not_json(headers: &HeaderMap) -> Self {
        Cause::NotJson { content_type: content_type(headers) }.into()
    }
}

/// The media type without its parameters, and only if it looks like one: it goes into messages.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim().to_ascii_lowercase();
    let plausible = |c: char| c.is_ascii_alphanumeric() || "/+-._".contains(c);
    let fits = (1..=64).contains(&media_type.len()) && media_type.chars().all(plausible);
    fits.then_some(media_type)
}

/// The host of `Location` alone: its path and query may hold what is nobody's business.
fn redirect_host(headers: &HeaderMap) -> Option<String> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    Some(location.parse::<Uri>().ok()?.host()?.to_owned())
}

/// `Retry-After` as seconds or as a date (RFC 9110 §10.2.3). A date that has passed is no wait.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a field value"))])
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
        ] {
            let found = retry_after(&head(RETRY_AFTER, value), now);
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn only_429_and_503_ask_to_wait() {
        for (status, expected) in [(429, Some(5)), (503, Some(5)), (500, None), (404, None)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let found = Unreachable::from_head(status, &head(RETRY_AFTER, "5"));
            assert_eq!(found.retry_after, expected.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn of_a_redirect_only_the_host_is_told() {
        for (location, expected) in [
            ("https://login.example.com:8443/sso?code=c0de", "a redirect to login.example.com"),
            ("/login?next=/secret", "a redirect to the same host"),
            ("https://user:password@login.example.com/", "a redirect to login.example.com"),
        ] {
            let found =
                Unreachable::from_head(StatusCode::FOUND, &head(LOCATION, location)).to_string();
            assert!(found.ends_with(expected), "{found}");
        }
    }

    #[test]
    fn a_status_of_trouble_is_told_with_its_media_type() {
        let headers = head(CONTENT_TYPE, "Text/HTML; charset=utf-8");
        let found = Unreachable::from_head(StatusCode::SERVICE_UNAVAILABLE, &headers).to_string();
        let expected =
            "Bitbucket is unreachable: it answered 503 Service Unavailable with text/html";
        assert_eq!(found, expected);
        assert_eq!(content_type(&head(CONTENT_TYPE, "<script>")), None);
    }
}
