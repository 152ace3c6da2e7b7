//! Which address is answered by whom.

use super::calls::Call;
use super::faults::{ApplinksWhoami, Provider};
use super::pages;
use super::state::State;
use super::{authorize, rest, token};
use crate::answer::{self, Answer};
use crate::form::Form;
use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use std::sync::Arc;

/// The session cookie of Bitbucket's own pages.
pub(super) const SESSION_COOKIE: &str = "BITBUCKETSESSIONID";

/// A request that has been read whole.
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

impl Asked {
    /// The parameters of the address.
    pub(super) fn query(&self) -> Form {
        Form::of_query(&self.head.uri)
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The slug of whoever is logged in at Bitbucket's pages in this browser.
    pub(super) fn browser_session(&self, state: &State) -> Option<String> {
        let cookies = self.head.headers.get_all(COOKIE).iter();
        let cookies =
            cookies.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        let mut ours = cookies.filter_map(|one| one.trim().split_once('='));
        let (_, value) = ours.find(|(name, _)| *name == SESSION_COOKIE)?;
        state.sessions().get(value).cloned()
    }

    /// The token of `Authorization: Bearer`; `Some("")` for any other scheme.
    pub(super) fn bearer(&self) -> Option<&str> {
        let value = self.head.headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
        let (scheme, token) = value.split_once(' ').unwrap_or_default();
        Some(if scheme.eq_ignore_ascii_case("bearer") { token } else { "" })
    }
}

/// Answers one request.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let number = state.journal.note(&request);
    let (head, body) = request.into_parts();
    let body = state.journal.read(number, body).await;
    let asked = Asked { head, body };
    let segments = segments(&state, asked.head.uri.path());
    let segments: Vec<&str> = segments.iter().flatten().map(String::as_str).collect();
    let post = asked.head.method == Method::POST;
    match segments.as_slice() {
        ["rest", "oauth2", "latest" | "1.0", endpoint] => oauth(&state, &asked, endpoint).await,
        ["rest", "api", "latest" | "1.0", path @ ..] => rest::answer(&state, &asked, path).await,
        ["rest", "authconfig", "1.0", "login-options"] => Ok(login_options(&state)),
        ["status"] => Ok(status(&state)),
        ["plugins", "servlet", "applinks", "whoami"] => Ok(applinks_whoami(&state, &asked)),
        ["login"] if post => Ok(pages::log_in(&state, &asked)),
        ["login"] => Ok(pages::login(&state, &asked)),
        ["logout"] => Ok(pages::log_out(&state, &asked)),
        [""] => Ok(pages::welcome(&state, &asked)),
        _ => {
            state.calls.note(Call::Unknown);
            Ok(rest::no_such_thing("There is nothing here."))
        }
    }
}

/// The decoded segments below the context path; none for an address outside it.
fn segments(state: &State, path: &str) -> Option<Vec<String>> {
    let below = path.strip_prefix(&state.context_path)?;
    let below = if below.is_empty() { "/" } else { below };
    let segments = below.strip_prefix('/')?.split('/');
    Some(segments.map(|one| percent_decode_str(one).decode_utf8_lossy().into_owned()).collect())
}

async fn oauth(state: &State, asked: &Asked, endpoint: &str) -> Answer {
    if state.now().provider == Provider::Off {
        state.calls.note(Call::Unknown);
        return Ok(rest::no_such_thing("The OAuth 2.0 provider is not there."));
    }
    match (asked.head.method.as_str(), endpoint) {
        ("GET", "authorize") => Ok(authorize::ask(state, asked)),
        ("POST", "authorize") => Ok(authorize::answered(state, asked)),
        ("POST", "token") => token::answer(state, asked).await,
        (_, "revoke") => Ok(token::revoke(state, asked)),
        (_, "client") => {
            state.calls.note(Call::OAuthClient);
            Ok(rest::error(StatusCode::UNAUTHORIZED, "Authentication is required.", None))
        }
        (_, "authorize" | "token") => Ok(answer::empty(StatusCode::METHOD_NOT_ALLOWED)),
        _ => {
            state.calls.note(Call::Unknown);
            Ok(rest::no_such_thing("There is no such endpoint."))
        }
    }
}

fn login_options(state: &State) -> http::Response<answer::Body> {
    state.calls.note(Call::LoginOptions);
    answer::json(StatusCode::OK, &json!({"results": [{"type": "LOGIN_FORM"}, {"type": "IDP"}]}))
}

/// 200 alone does not mean that it runs: `STARTING` is a 200 too.
fn status(state: &State) -> http::Response<answer::Body> {
    state.calls.note(Call::Status);
    let word = state.now().state;
    let status = match word.as_str() {
        "MAINTENANCE" => StatusCode::SERVICE_UNAVAILABLE,
        "ERROR" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    answer::json(status, &json!({"state": word}))
}

fn applinks_whoami(state: &State, asked: &Asked) -> http::Response<answer::Body> {
    state.calls.note(Call::ApplinksWhoami);
    let slug = asked
        .bearer()
        .and_then(|token| state.grants().bearer(token).map(|grant| grant.slug.clone()));
    match state.now().applinks_whoami {
        ApplinksWhoami::Plain => answer::text(StatusCode::OK, slug.unwrap_or_default()),
        ApplinksWhoami::Empty => answer::text(StatusCode::OK, ""),
        ApplinksWhoami::LoginRedirect => answer::found(&format!("{}/login", state.base())),
    }
}
