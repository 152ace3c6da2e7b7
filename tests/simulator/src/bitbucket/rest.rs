//! The REST interface: who is calling, what goes wrong, and how answers are signed.

use super::calls::Call;
use super::faults::{DeadToken, Faults, RestFault, Username};
use super::people::Person;
use super::resources::resource;
use super::routes::{Asked, SESSION_COOKIE};
use super::state::State;
use super::trouble;
use crate::answer::{self, Answer, Body, HangUp};
use crate::random;
use http::header::{CACHE_CONTROL, COOKIE, HeaderName, RETRY_AFTER, SET_COOKIE};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

/// What Java's `URLEncoder` leaves as it is.
const URL_ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// Who makes the call.
pub(super) enum Caller {
    Anonymous,
    Person { person: Person, scopes: Vec<String> },
    DeadToken,
}

/// A call below `/rest/api/latest`.
pub(super) async fn answer(state: &State, asked: &Asked, path: &[&str]) -> Answer {
    let call = kind(path);
    state.calls.note(call);
    if asked.head.headers.contains_key(COOKIE) {
        state.calls.note(Call::CookieAtRest);
    }
    match fault(state, call).await {
        RestFault::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            return Ok(error(status, "The double was told to.", None));
        }
        RestFault::TooManyRequests(wait) => return Ok(too_many(wait)),
        RestFault::Html200 => return Ok(trouble::html(StatusCode::OK)),
        RestFault::Endless => return Ok(trouble::endless()),
        RestFault::LoginRedirect => return Ok(answer::found(&format!("{}/login", state.base()))),
        RestFault::HangUp => return Err(HangUp),
        RestFault::Slow(time) => tokio::time::sleep(time).await,
        RestFault::None | RestFault::Hang => {}
    }
    Ok(respond(state, asked, path))
}

fn kind(path: &[&str]) -> Call {
    match path {
        ["application-properties"] => Call::Whoami,
        ["users"] => Call::Users,
        ["users", _] => Call::User,
        ["projects", _] => Call::Project,
        ["projects", _, "repos", _] => Call::Repository,
        ["repos"] => Call::Repositories,
        ["admin", "groups", "more-members"] => Call::GroupMembers,
        _ => Call::Unknown,
    }
}

/// The fault for this call, once it no longer hangs.
async fn fault(state: &State, call: Call) -> RestFault {
    let of = |faults: &Faults| match call {
        Call::Whoami => faults.whoami.clone(),
        Call::User | Call::Users => faults.users.clone(),
        _ => faults.access.clone(),
    };
    let mut changes = state.faults.subscribe();
    let settled = changes.wait_for(|faults| of(faults) != RestFault::Hang).await;
    settled.map_or(RestFault::HangUp, |faults| of(&faults))
}

fn respond(state: &State, asked: &Asked, path: &[&str]) -> Response<Body> {
    let faults = state.now();
    let caller = caller(state, &faults, asked);
    let mut response = match &caller {
        Caller::DeadToken => error(StatusCode::UNAUTHORIZED, "Authentication failed.", None),
        Caller::Person { person, .. } if limited(state, &faults, person) => {
            state.calls.note(Call::RateLimited);
            too_many(faults.rate_limit.and_then(|limit| limit.retry_after))
        }
        _ => resource(state, asked, path, &caller),
    };
    if let Caller::Person { person, .. } = &caller {
        sign(&mut response, &faults, person);
    }
    let value = format!("{SESSION_COOKIE}={}; Path=/; HttpOnly", random::hex(16));
    // Bitbucket offers a session to every caller; a client that takes it shows up in the counts.
    answer::add(&mut response, SET_COOKIE, value.as_bytes());
    answer::set(&mut response, CACHE_CONTROL, "private, no-cache");
    response
}

fn caller(state: &State, faults: &Faults, asked: &Asked) -> Caller {
    let Some(token) = asked.bearer() else { return Caller::Anonymous };
    let grant = state.grants().bearer(token).cloned();
    let known = grant.and_then(|grant| {
        let person = state.people().iter().find(|person| person.slug == grant.slug).cloned()?;
        Some(Caller::Person { person, scopes: grant.scopes })
    });
    known.unwrap_or(match faults.dead_token {
        DeadToken::Unauthorized => Caller::DeadToken,
        DeadToken::Anonymous => Caller::Anonymous,
    })
}

fn limited(state: &State, faults: &Faults, person: &Person) -> bool {
    faults.rate_limit.is_some_and(|limit| !state.allows_one_more(&person.slug, limit))
}

/// The headers by which a client knows whose token it has.
fn sign(response: &mut Response<Body>, faults: &Faults, person: &Person) {
    const NAME: HeaderName = HeaderName::from_static("x-ausername");
    let encoded = |name: &str| utf8_percent_encode(name, URL_ENCODED).to_string();
    let name = match &faults.username {
        Username::Encoded => encoded(&person.name),
        Username::Other(name) => encoded(name),
        Username::Raw => person.name.clone(),
        Username::Anonymous => "anonymous".to_owned(),
        Username::Missing => return,
    };
    answer::add(response, NAME, name.as_bytes());
    answer::set(response, HeaderName::from_static("x-auserid"), &person.id.to_string());
}

fn too_many(wait: Option<u32>) -> Response<Body> {
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, "Too many requests.", None);
    if let Some(wait) = wait {
        answer::set(&mut response, RETRY_AFTER, &wait.to_string());
    }
    response
}

/// 404 in Bitbucket's shape.
pub(super) fn no_such_thing(message: &str) -> Response<Body> {
    error(StatusCode::NOT_FOUND, message, None)
}

/// Bitbucket's shape of an error.
pub(super) fn error(status: StatusCode, message: &str, exception: Option<&str>) -> Response<Body> {
    let error = json!({"context": null, "message": message, "exceptionName": exception});
    answer::json(status, &json!({"errors": [error]}))
}
