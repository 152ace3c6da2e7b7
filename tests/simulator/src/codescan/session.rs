//! Who is logged in, decided in `SonarQube`'s order: header login, then its own cookie, then the
//! token. The cookie of somebody else's session wins over a good Bearer.

use super::options::Login;
use super::paths::Asked;
use super::state::{LocalSession, State};
use crate::answer::{self, Body};
use crate::form::Form;
use crate::random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;

const SESSION: &str = "JWT-SESSION";
const XSRF: &str = "XSRF-TOKEN";

/// Who makes the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// No credentials.
    Nobody,
    /// Credentials that are worth nothing.
    Unknown,
    /// Somebody.
    Person {
        /// The account.
        login: String,
        /// For people to read.
        name: String,
        /// By which means.
        by: By,
    },
}

/// What proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// `X-Forwarded-Login`.
    Header,
    /// `JWT-SESSION`.
    Cookie,
    /// `Authorization`.
    Token,
}

/// Who makes the request.
pub(super) fn who(state: &State, head: &Parts) -> Who {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    if let (Login::Headers, Some(login)) = (state.now().login, text("x-forwarded-login")) {
        let name = text("x-forwarded-name").unwrap_or(login);
        return person(login, name, By::Header);
    }
    // A cookie that is not, or no longer, known counts as none.
    let own = cookie(&head.headers, SESSION);
    if let Some(session) = own.and_then(|value| state.sessions().get(&value).cloned()) {
        if csrf_proof_is_missing(&session, head) {
            return Who::Unknown;
        }
        return person(&session.login, &session.login, By::Cookie);
    }
    match head.headers.get(AUTHORIZATION) {
        Some(value) => by_token(state, value.to_str().unwrap_or_default()),
        None => Who::Nobody,
    }
}

/// Whether the request may go on to anything that is not open to all.
pub(super) fn lets_in(state: &State, who: &Who) -> bool {
    state.now().login == Login::Open || matches!(who, Who::Person { .. })
}

/// The cookies that a header login gets each time it comes without one.
pub(super) fn cookies_of_header_login(state: &State, asked: &Asked, response: &mut Response<Body>) {
    if let Who::Person { login, by: By::Header, .. } = &asked.who {
        begin(state, &asked.head, login, response);
    }
}

fn person(login: &str, name: &str, by: By) -> Who {
    Who::Person { login: login.to_owned(), name: name.to_owned(), by }
}

/// Checked for unsafe methods below `/api`, and for cookie sessions only: what came by header or
/// token is not looked at.
fn csrf_proof_is_missing(session: &LocalSession, head: &Parts) -> bool {
    let proof = head.headers.get("x-xsrf-token").and_then(|value| value.to_str().ok());
    let checked = !head.method.is_safe() && head.uri.path().contains("/api/");
    checked && proof != Some(session.xsrf.as_str())
}

fn by_token(state: &State, value: &str) -> Who {
    let (scheme, rest) = value.split_once(' ').unwrap_or_default();
    let token = if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(rest).unwrap_or_default();
        String::from_utf8_lossy(&pair).split(':').next().unwrap_or_default().to_owned()
    } else {
        rest.to_owned()
    };
    if ["squ_", "sqp_", "sqa_"].iter().any(|form| token.starts_with(form)) {
        return person("scanner", "Scanner", By::Token);
    }
    let known = state.bitbucket.as_ref().and_then(|bitbucket| bitbucket.person_of(&token));
    known.map_or(Who::Unknown, |one| person(&one.name, &one.display_name, By::Token))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|one| one.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `GET /api/authentication/validate`.
pub(super) fn validate(state: &State, who: &Who) -> Response<Body> {
    answer::json(StatusCode::OK, &json!({"valid": lets_in(state, who)}))
}

/// `POST /api/authentication/login`; any password will do.
pub(super) fn log_in(state: &State, asked: &Asked) -> Response<Body> {
    let form = Form::parse(&asked.body);
    let Some(login) = form.one("login") else { return answer::empty(StatusCode::UNAUTHORIZED) };
    let mut response = match form.one("return_to") {
        Some(path) if path.starts_with('/') => answer::see_other(path),
        _ => answer::empty(StatusCode::OK),
    };
    begin(state, &asked.head, login, &mut response);
    response
}

/// `POST /api/authentication/logout`.
pub(super) fn log_out(state: &State, head: &Parts) -> Response<Body> {
    let status = StatusCode::from_u16(state.now().logout_status).unwrap_or_default();
    if !status.is_success() {
        return answer::empty(status);
    }
    if let Some(value) = cookie(&head.headers, SESSION) {
        state.sessions().remove(&value);
    }
    let accept = head.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let page = accept.is_some_and(|accept| accept.contains("text/html"));
    let mut response = if page {
        answer::html(status, super::pages::logged_out(state))
    } else {
        answer::empty(status)
    };
    let path = path(state);
    for name in [SESSION, XSRF] {
        let line = format!("{name}=; Path={path}; Max-Age=0");
        answer::add(&mut response, SET_COOKIE, line.as_bytes());
    }
    response
}

/// `Secure` only if the proxy in front says that people come by https.
fn begin(state: &State, head: &Parts, login: &str, response: &mut Response<Body>) {
    let scheme = head.headers.get("x-forwarded-proto");
    let https = scheme.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if https { "; Secure" } else { "" };
    let (value, xsrf) = (random::hex(24), random::hex(13));
    let path = path(state);
    let cookies = [
        format!("{SESSION}={value}; Path={path}; Max-Age=259200; HttpOnly; SameSite=Lax{secure}"),
        format!("{XSRF}={xsrf}; Path={path}; Max-Age=259200; SameSite=Lax{secure}"),
    ];
    for line in cookies {
        answer::add(response, SET_COOKIE, line.as_bytes());
    }
    state.sessions().insert(value, LocalSession { login: login.to_owned(), xsrf });
}

fn path(state: &State) -> &str {
    if state.context_path.is_empty() { "/" } else { &state.context_path }
}
