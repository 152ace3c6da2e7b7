//! Bringing faults about: which is in force, and the answers that no healthy server gives.

use super::calls::Call;
use super::faults::Faults;
use super::state::State;
use super::token::{oauth_error, written};
use super::token_fault::TokenFault;
use crate::answer::{self, Answer, Body, HangUp};
use crate::page::escape;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// The fault for this call, once it no longer hangs; counts it against `token_times`.
pub(super) async fn in_force(state: &State, call: Call) -> TokenFault {
    switched_from(state, call, &TokenFault::Hang).await;
    let mut chosen = TokenFault::None;
    state.faults.send_modify(|faults| {
        chosen = fault_of(faults, call).clone();
        let faulty = chosen != TokenFault::None;
        let Some(left) = faults.token_times.filter(|_| faulty) else { return };
        faults.token_times = left.checked_sub(1).filter(|left| *left > 0);
        if faults.token_times.is_none() {
            faults.token = TokenFault::None;
            faults.exchange = TokenFault::None;
            faults.refresh = TokenFault::None;
        }
    });
    chosen
}

pub(super) async fn switched_from(state: &State, call: Call, fault: &TokenFault) {
    let mut changes = state.faults.subscribe();
    // The sender lives in the state, which outlives this borrow.
    let _ = changes.wait_for(|faults| fault_of(faults, call) != fault).await;
}

fn fault_of(faults: &Faults, call: Call) -> &TokenFault {
    let own = match call {
        Call::TokenExchange => &faults.exchange,
        Call::Refresh => &faults.refresh,
        _ => &TokenFault::None,
    };
    if *own == TokenFault::None { &faults.token } else { own }
}

/// What comes in place of any handling.
pub(super) fn instead(fault: TokenFault) -> Answer {
    Ok(match fault {
        TokenFault::Html500 => html(StatusCode::INTERNAL_SERVER_ERROR),
        TokenFault::Html502 => html(StatusCode::BAD_GATEWAY),
        TokenFault::Html503 => html(StatusCode::SERVICE_UNAVAILABLE),
        TokenFault::Html200 => html(StatusCode::OK),
        TokenFault::TooManyRequests(wait) => {
            let mut response = html(StatusCode::TOO_MANY_REQUESTS);
            if let Some(wait) = wait {
                answer::set(&mut response, RETRY_AFTER, &wait.to_string());
            }
            response
        }
        TokenFault::NotOAuth => answer::json(StatusCode::OK, &json!({"hello": ["world", 1]})),
        TokenFault::Endless => endless(),
        TokenFault::Redirect(location) => answer::found(&location),
        TokenFault::Error { status, error, description } => {
            written(oauth_error(status, &error, description.as_deref()))
        }
        _ => return Err(HangUp),
    })
}

/// A page as a proxy in front makes it.
pub(super) fn html(status: StatusCode) -> Response<Body> {
    let words = escape(&status.to_string());
    answer::html(status, format!("<html><body><h1>{words}</h1></body></html>\n"))
}

/// JSON that begins well and does not end while somebody reads.
pub(super) fn endless() -> Response<Body> {
    answer::written("application/json;charset=UTF-8", |mut sender| async move {
        let mut piece = Bytes::from_static(br#"{"access_token":""#);
        while sender.send_data(piece).await.is_ok() {
            piece = Bytes::from_static(&[b'a'; 16 * 1024]);
        }
    })
}

/// Whole as a response, but not as JSON.
pub(super) fn truncated((status, value): &(u16, Value)) -> Response<Body> {
    let mut text = value.to_string();
    text.truncate(text.len() / 2);
    let status = StatusCode::from_u16(*status).unwrap_or_default();
    answer::full(status, "application/json;charset=UTF-8", text)
}
