//! The token endpoint (RFC 6749 §4.1.3, §5, §6) with its faults, and revocation (RFC 7009).

use super::calls::Call;
use super::faults::{Faults, Revoke};
use super::grants::{Pair, Refused};
use super::rest;
use super::routes::Asked;
use super::state::State;
use super::token_fault::{ExpiresIn, TokenFault};
use super::trouble::{html, in_force, instead, switched_from, truncated};
use crate::answer::{self, Answer, Body, HangUp};
use crate::form::Form;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use http::{Response, StatusCode};
use serde_json::{Value, json};

pub(super) const BAD_CLIENT: &str = "Invalid client credentials";
pub(super) const REDIRECT_MISMATCH: &str = "Redirect URI does not match the one of the code";

/// What the endpoint says: a status and JSON.
type Reply = (u16, Value);

/// A POST to the token endpoint.
pub(super) async fn answer(state: &State, asked: &Asked) -> Answer {
    let form = Form::parse(&asked.body);
    let call = kind(asked, &form);
    state.calls.note(call);
    match in_force(state, call).await {
        TokenFault::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(written(handle(state, asked, &form)))
        }
        TokenFault::SlowAnswer(time) => {
            let reply = handle(state, asked, &form);
            tokio::time::sleep(time).await;
            Ok(written(reply))
        }
        TokenFault::HangAnswer => {
            let reply = handle(state, asked, &form);
            switched_from(state, call, &TokenFault::HangAnswer).await;
            Ok(written(reply))
        }
        TokenFault::AnswerLost => {
            handle(state, asked, &form);
            Err(HangUp)
        }
        TokenFault::Truncated => Ok(truncated(&handle(state, asked, &form))),
        TokenFault::None | TokenFault::Hang => Ok(written(handle(state, asked, &form))),
        fault => instead(fault),
    }
}

fn kind(asked: &Asked, form: &Form) -> Call {
    match form.one("grant_type") {
        Some("authorization_code") if is_form(asked) => Call::TokenExchange,
        Some("refresh_token") if is_form(asked) => Call::Refresh,
        _ => Call::TokenOther,
    }
}

fn is_form(asked: &Asked) -> bool {
    let value = asked.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
}

/// Not stored by anybody (RFC 6749 §5.1).
pub(super) fn written((status, value): Reply) -> Response<Body> {
    let mut response = answer::json(StatusCode::from_u16(status).unwrap_or_default(), &value);
    answer::set(&mut response, CACHE_CONTROL, "no-store");
    answer::set(&mut response, PRAGMA, "no-cache");
    response
}

fn handle(state: &State, asked: &Asked, form: &Form) -> Reply {
    let faults = state.now();
    if asked.head.headers.contains_key(http::header::COOKIE) {
        state.calls.note(Call::CookieAtRest);
    }
    if let Err(reply) = well_sent(state, &faults, asked) {
        return reply;
    }
    if let Err(reply) = authenticated(state, &faults, form) {
        return reply;
    }
    let needed = |name: &'static str| {
        form.one(name).ok_or_else(|| oauth_error(400, "invalid_request", Some(name)))
    };
    let granted = match needed("grant_type") {
        Ok("authorization_code") => needed("code").and_then(|code| {
            let verifier = form.one("code_verifier");
            let pair = state.grants().exchange(code, needed("redirect_uri")?, verifier, &faults);
            pair.map_err(invalid_grant)
        }),
        Ok("refresh_token") => needed("refresh_token")
            .and_then(|token| state.grants().rotate(token, &faults).map_err(invalid_grant)),
        Ok(_) => Err(oauth_error(400, "unsupported_grant_type", None)),
        Err(reply) => Err(reply),
    };
    granted.map_or_else(|reply| reply, |pair| success(&faults, pair))
}

/// A form in the body, and nothing of the credentials anywhere else.
fn well_sent(state: &State, faults: &Faults, asked: &Asked) -> Result<(), Reply> {
    if !is_form(asked) {
        state.calls.note(Call::JsonAtToken);
        return Err((500, json!({"message": "The content type is not form-urlencoded"})));
    }
    let query = asked.query();
    if ["client_id", "client_secret", "code", "refresh_token"].iter().any(|name| query.has(name)) {
        state.calls.note(Call::CredentialsInQuery);
        return Err(oauth_error(400, "invalid_request", Some("Credentials in the query")));
    }
    if asked.head.headers.contains_key(AUTHORIZATION) {
        state.calls.note(Call::BasicAtToken);
        return Err(oauth_error(faults.invalid_client_status, "invalid_client", Some(BAD_CLIENT)));
    }
    Ok(())
}

fn authenticated(state: &State, faults: &Faults, form: &Form) -> Result<(), Reply> {
    let known = form.one("client_id") == Some(&state.client_id)
        && form.one("client_secret") == Some(&state.client_secret);
    let refused = || oauth_error(faults.invalid_client_status, "invalid_client", Some(BAD_CLIENT));
    known.then_some(()).ok_or_else(refused)
}

fn success(faults: &Faults, pair: Pair) -> Reply {
    let shape = &faults.token_answer;
    let seconds = faults.access_token_lifetime.as_secs();
    let mut value = json!({
        "scope": shape.scope.clone().unwrap_or_else(|| pair.scopes.join(" ")),
        "access_token": pair.access,
        "token_type": shape.token_type,
    });
    match &shape.expires_in {
        ExpiresIn::Number => value["expires_in"] = seconds.into(),
        ExpiresIn::Text => value["expires_in"] = seconds.to_string().into(),
        ExpiresIn::Words(words) => value["expires_in"] = words.as_str().into(),
        ExpiresIn::Missing => {}
    }
    if shape.refresh_token {
        value["refresh_token"] = pair.refresh.into();
    }
    (200, value)
}

fn invalid_grant(why: Refused) -> Reply {
    let words = match why {
        Refused::UnknownCode => "Unknown authorization code",
        Refused::ExpiredCode => "The authorization code has expired",
        Refused::UsedCode => "The authorization code has been used",
        Refused::OtherRedirectUrl => REDIRECT_MISMATCH,
        Refused::WrongVerifier => "The code verifier does not match",
        Refused::DeadRefreshToken => "Invalid refresh token",
    };
    oauth_error(400, "invalid_grant", Some(words))
}

pub(super) fn oauth_error(status: u16, error: &str, description: Option<&str>) -> Reply {
    let mut value = json!({"error": error});
    if let Some(description) = description {
        value["error_description"] = description.into();
    }
    (status, value)
}

/// RFC 7009: 200 for tokens that are unknown, too.
pub(super) fn revoke(state: &State, asked: &Asked) -> Response<Body> {
    state.calls.note(Call::Revoke);
    let faults = state.now();
    let form = Form::parse(&asked.body);
    match faults.revoke {
        Revoke::Absent => return rest::no_such_thing("There is no such endpoint."),
        Revoke::Fails(status) => return html(StatusCode::from_u16(status).unwrap_or_default()),
        Revoke::Works => {}
    }
    let checked = well_sent(state, &faults, asked)
        .and_then(|()| authenticated(state, &faults, &form))
        .and_then(|()| form.one("token").ok_or(oauth_error(400, "invalid_request", None)));
    match checked {
        Ok(token) => {
            state.grants().kill(token);
            answer::empty(StatusCode::OK)
        }
        Err(reply) => written(reply),
    }
}
