//! The redirection endpoint, which is also `CodeScan`'s: taking back those whom we sent.
//!
//! `CodeScan` uses the same address as the callback of its own connections, so the proxy takes
//! only what it can know for its own; everything else is an ordinary request.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use super::attempt::{AttemptId, Returned, STATE_PREFIX, unix_seconds};
use super::exchange::{Failure, Order, Outcome};
use super::renewal::store_unavailable;
use super::return_to::ReturnTo;
use super::{Reply, SharedSite, Site};
use crate::bitbucket::{PeopleError, TokenError};
use crate::error::{BitbucketFault, Problem};
use crate::secret::Secret;
use crate::session::Session;
use crate::session::cookie::Cookie;

/// How long after a login a browser without a session is taken for one that loses cookies.
pub const JUST_NOW_SECONDS: u64 = 30;

/// Longer than any code that Bitbucket makes.
const LONGEST_CODE: usize = 4096;

/// Whose a request to the shared address is.
#[derive(Debug, PartialEq, Eq)]
pub enum Share {
    /// Empty query, or only `rd`: starts a login.
    Start { rd: Option<String> },
    /// A `state` of ours.
    Ours(Result<Response, &'static str>),
    /// `CodeScan`'s.
    Theirs,
}

/// An authorization response (RFC 6749 §4.1.2).
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    Code { state: String, code: Code },
    Error { state: String, error: String },
}

/// A code from the query. Without a `Debug` that shows it.
#[derive(PartialEq, Eq)]
pub struct Code(Secret);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// Reads the query of a GET to the shared address.
pub fn share(query: &str) -> Share {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let values = |wanted: &str| -> Vec<&str> {
        pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    if values("state").into_iter().any(is_ours) {
        return Share::Ours(response(&values("state"), &values("code"), &values("error")));
    }
    if pairs.iter().all(|(name, _)| name == "rd") {
        // Two of them name no one place.
        let rd = match values("rd").as_slice() {
            [one] => Some((*one).to_owned()),
            _ => None,
        };
        return Share::Start { rd };
    }
    Share::Theirs
}

/// `cop1.`, then base64url. Whether it opens is seen later.
fn is_ours(state: &str) -> bool {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    state.strip_prefix(STATE_PREFIX).is_some_and(|rest| rest.bytes().all(base64url))
}

/// Parameters must not come twice (RFC 6749 §3.1).
fn response(states: &[&str], codes: &[&str], errors: &[&str]) -> Result<Response, &'static str> {
    let [state] = states else {
        return Err("The address that Bitbucket sent you to holds `state` twice.");
    };
    let state = (*state).to_owned();
    match (codes, errors) {
        ([], [error]) if !error.is_empty() => {
            Ok(Response::Error { state, error: error.chars().take(64).collect() })
        }
        ([code], []) if is_code(code) => {
            Ok(Response::Code { state, code: Code(Secret::new(*code)) })
        }
        ([_], []) => Err("The `code` in this address is none that Bitbucket makes."),
        ([], []) => Err("The address that Bitbucket sent you to holds neither `code` nor `error`."),
        _ => Err("The address that Bitbucket sent you to holds `code` or `error` twice, or both."),
    }
}

/// `1*VSCHAR` (RFC 6749 appendix A.11).
fn is_code(code: &str) -> bool {
    (1..=LONGEST_CODE).contains(&code.len())
        && code.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// What the callback decides before anything is spent.
pub enum Judged {
    Reply(Reply),
    /// State and cookie are good: the code may be spent.
    Spend(Box<Order>, ReturnTo),
}

impl Site {
    /// Checks state, expiry and login cookie, in this order, and only then lets the code be
    /// spent: a code that is spent first could be an attacker's, or anybody's lost one.
    pub fn judge(
        self: &Arc<Self>,
        headers: &HeaderMap,
        response: Response,
        session: Option<Arc<Session>>,
        request_id: &str,
        now: SystemTime,
    ) -> Judged {
        let (state, code) = match response {
            Response::Code { state, code } => (state, code.0),
            Response::Error { state, error } => {
                if session.is_none() {
                    report(&error, request_id);
                }
                return Judged::Reply(self.refused(&state, &error, session.is_some()));
            }
        };
        let returned = self.attempts().open(&state);
        let good = returned.as_ref().filter(|returned| !returned.has_expired(now));
        let verifier = good.and_then(|returned| self.verifier(headers, returned));
        let (Some(returned), Some(verifier)) = (&returned, verifier) else {
            // Somebody who is signed in already, and whose attempt is over or was another tab's.
            let reply = match session {
                Some(_) => self.go_on(returned.as_ref()),
                None => self.lost(headers, returned.as_ref(), now),
            };
            return Judged::Reply(reply);
        };
        let order = Order {
            site: SharedSite::clone(self),
            attempt: returned.id,
            code,
            verifier,
            replaces: session,
            request_id: request_id.to_owned(),
        };
        Judged::Spend(Box::new(order), returned.return_to.clone())
    }

    /// The answer to an exchange.
    pub fn answer(
        &self,
        headers: &HeaderMap,
        attempt: AttemptId,
        return_to: &ReturnTo,
        outcome: Outcome,
        now: SystemTime,
    ) -> Reply {
        let id = match outcome {
            Outcome::SignedIn(id) => id,
            Outcome::Failed(failure) => {
                // The login cookie stays, so that a reload is told the same.
                return Reply::problem(self.explain(&failure, return_to));
            }
        };
        let lifetime = self.settings.session.max_lifetime.as_secs();
        let just_now = unix_seconds(now).to_string();
        Reply::redirect(return_to.absolute(self.public_url()))
            .with_cookies([
                self.cookies.set(Cookie::Session, id.to_cookie().expose(), lifetime),
                self.cookies.set(Cookie::SignedIn, &just_now, JUST_NOW_SECONDS),
                self.cookies.remove(Cookie::SignedOut),
            ])
            .with_cookies(self.ended_attempts(headers, attempt))
            .with_cookies(self.expire_codescan_cookies())
    }

    /// The verifier, if the request brings the attempt's cookie.
    fn verifier(&self, headers: &HeaderMap, returned: &Returned) -> Option<Secret> {
        let cookie = self.cookies.value(headers, Cookie::Login(&returned.id.to_text()))?;
        self.attempts().join(returned, cookie)
    }

    /// A completed login removes the cookies of all attempts.
    fn ended_attempts(&self, headers: &HeaderMap, attempt: AttemptId) -> Vec<HeaderValue> {
        let ours = attempt.to_text();
        let mut held: Vec<AttemptId> = self
            .cookies
            .login_attempts(headers)
            .into_iter()
            .filter_map(AttemptId::from_text)
            .collect();
        held.retain(|id| id.to_text() != ours);
        held.push(attempt);
        held.into_iter().map(|id| self.cookies.remove(Cookie::Login(&id.to_text()))).collect()
    }

    fn go_on(&self, returned: Option<&Returned>) -> Reply {
        Reply::redirect(self.place(returned).absolute(self.public_url()))
    }

    fn place(&self, returned: Option<&Returned>) -> ReturnTo {
        let known = returned.map(|returned| returned.return_to.clone());
        known.unwrap_or_else(|| ReturnTo::home(self.public_url()))
    }

    /// Bitbucket, or somebody who writes addresses, says that there is no code.
    fn refused(&self, state: &str, error: &str, has_session: bool) -> Reply {
        let returned = self.attempts().open(state);
        if has_session {
            return self.go_on(returned.as_ref());
        }
        let sign_in = self.sign_in(&self.place(returned.as_ref()));
        let scopes = &self.settings.bitbucket.scopes;
        let reply = Reply::problem(Problem::authorization_refused(error, scopes, sign_in));
        let ended = returned.map(|it| self.cookies.remove(Cookie::Login(&it.id.to_text())));
        reply.with_cookies(ended)
    }

    /// No good login cookie and no session: lost on the way if the browser sends none of ours at
    /// all, else too late.
    fn lost(&self, headers: &HeaderMap, returned: Option<&Returned>, now: SystemTime) -> Reply {
        let Some(returned) = returned else { return self.expired(None) };
        if returned.has_expired(now) || self.cookies.find(headers).any {
            return self.expired(Some(returned));
        }
        let sign_in = self.sign_in(&returned.return_to);
        Reply::problem(Problem::login_cookie_lost(self.public_url(), sign_in))
    }

    fn expired(&self, returned: Option<&Returned>) -> Reply {
        Reply::problem(Problem::login_expired(self.sign_in(&self.place(returned))))
    }

    pub(super) fn explain(&self, failure: &Failure, return_to: &ReturnTo) -> Problem {
        let sign_in = self.sign_in(return_to);
        let bitbucket = &self.settings.bitbucket;
        match failure {
            Failure::Overloaded => Problem::too_many_logins(std::time::Duration::from_secs(5)),
            Failure::Store(_) => store_unavailable(),
            Failure::Tokens(TokenError::WrongClient) => {
                Problem::bitbucket_rejected_client(&bitbucket.client_id, Some(sign_in))
            }
            Failure::Tokens(TokenError::RedirectMismatch) => {
                Problem::redirect_url_mismatch(&bitbucket.redirect_url, sign_in)
            }
            Failure::Tokens(TokenError::InvalidGrant) => Problem::code_expired(sign_in),
            Failure::Person(PeopleError::Inactive { name }) => {
                Problem::inactive_user(name, sign_in)
            }
            Failure::Tokens(TokenError::Unreachable { cause, retry_after })
            | Failure::Person(PeopleError::Unreachable { cause, retry_after }) => {
                Problem::bitbucket_unreachable(super::fault(cause), *retry_after, Some(sign_in))
            }
            Failure::Tokens(TokenError::Refused { .. } | TokenError::Nonsense(_))
            | Failure::Person(PeopleError::DeadToken | PeopleError::Nonsense(_)) => {
                let odd = BitbucketFault::UnexpectedAnswer(None);
                Problem::bitbucket_unreachable(odd, None, Some(sign_in))
            }
        }
    }
}

/// A person who says no is no news; any other refusal is for the administrator to look at.
fn report(error: &str, request_id: &str) {
    if error == "access_denied" {
        tracing::info!(request_id, "a login was denied in Bitbucket");
    } else {
        let error = error.escape_debug();
        tracing::warn!(request_id, %error, "Bitbucket refused a login: see its application link");
    }
}
