//! Responses with the fields that all answers made by the proxy have.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::html::{STYLE, draw};
use crate::error::{Code, Problem};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer that tells of `problem`: a page, or else JSON. What a HEAD leaves out of it is
/// the caller's to leave out.
pub fn respond(problem: &Problem, as_html: bool, request_id: &str) -> Response<Bytes> {
    let status = problem.code().status();
    let mut response = if as_html {
        page(status, draw(problem, request_id), Framing::SameOrigin, request_id)
    } else {
        answer(status, "application/json", json(problem, request_id), request_id)
    };
    add_problem_fields(response.headers_mut(), problem);
    response
}

/// Who may show a page inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Pages that are read, and whose links do nothing by themselves: the application's own
    /// frames would otherwise show the browser's blank refusal in place of the reason.
    SameOrigin,
    /// Pages with a form, which somebody could be led to press unseen.
    Nobody,
}

/// A page with the fields that hold for all of them.
pub(super) fn page(
    status: StatusCode,
    html: String,
    framing: Framing,
    request_id: &str,
) -> Response<Bytes> {
    let mut response = answer(status, "text/html; charset=utf-8", html, request_id);
    let fields = response.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, content_security_policy(framing));
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: String,
    request_id: &str,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        fields.insert(X_REQUEST_ID, id);
    }
    response
}

fn add_problem_fields(fields: &mut HeaderMap, problem: &Problem) {
    if let Some(challenge) = challenge(problem.code()) {
        fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = problem.allow() {
        fields.insert(ALLOW, HeaderValue::from_static(methods));
    }
}

/// RFC 6750 §3: an `error` only where the request brought credentials.
fn challenge(code: Code) -> Option<&'static str> {
    match code {
        Code::LoginRequired => Some(r#"Bearer realm="codescan""#),
        Code::ClientTokenRefused => Some(r#"Bearer realm="codescan", error="invalid_token""#),
        Code::AccessDenied
        | Code::CrossSiteRequest
        | Code::MethodNotAllowed
        | Code::NotFound
        | Code::InvalidRequest
        | Code::LoginExpired
        | Code::HeaderTooLarge
        | Code::BodyTooLarge
        | Code::UpstreamUnreachable
        | Code::UpstreamTimeout
        | Code::BitbucketUnreachable
        | Code::BitbucketRejectedClient
        | Code::RedirectUrlMismatch
        | Code::CookieLost
        | Code::SessionStoreUnavailable
        | Code::Overloaded => None,
    }
}

/// Scripts rely on these members. `login_required` has its own two.
fn json(problem: &Problem, request_id: &str) -> String {
    let error = problem.code().as_str();
    let login = problem.action().filter(|_| problem.code() == Code::LoginRequired);
    match login {
        Some(login) => json!({ "error": error, "login_url": login.href().as_str() }),
        None => json!({
            "error": error,
            "message": problem.message().to_string(),
            "request_id": request_id,
        }),
    }
    .to_string()
}

/// Nothing but the one stylesheet, known by its hash, and forms to ourselves (CSP Level 3).
fn content_security_policy(framing: Framing) -> HeaderValue {
    static NOBODY: LazyLock<HeaderValue> = LazyLock::new(|| policy("'none'"));
    static SAME_ORIGIN: LazyLock<HeaderValue> = LazyLock::new(|| policy("'self'"));
    match framing {
        Framing::Nobody => NOBODY.clone(),
        Framing::SameOrigin => SAME_ORIGIN.clone(),
    }
}

fn policy(frame_ancestors: &str) -> HeaderValue {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let hash = STANDARD.encode(digest.as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors {frame_ancestors}"
    );
    HeaderValue::from_str(&policy).expect("a hash in base64 is visible ASCII")
}
