//! The authorize endpoint (RFC 6749 §4.1.1): what is asked, whether the person allows it, and the
//! way back.

use super::calls::Call;
use super::faults::{Consent, Faults, RefusalShape};
use super::grants::{Challenge, Code, Grant};
use super::pages;
use super::routes::Asked;
use super::state::State;
use crate::answer::{self, Body};
use crate::form::Form;
use http::{Response, StatusCode};
use serde_json::json;
use url::Url;

/// A request that a person can be asked about.
pub(super) struct Request {
    redirect_url: String,
    state: Option<String>,
    pub(super) scopes: Vec<String>,
    challenge: Option<Challenge>,
}

/// A request that leads to no question.
enum Refusal {
    /// Client or redirect URL are not to be trusted: never a redirect (RFC 6749 §4.1.2.1).
    AtBitbucket(&'static str),
    /// Back to the client at this address, which holds the error.
    Back(String),
}

/// A browser comes with an authorization request.
pub(super) fn ask(state: &State, asked: &Asked) -> Response<Body> {
    state.calls.note(Call::Authorize);
    let faults = state.now();
    let request = match parse(state, &faults, &asked.query()) {
        Ok(request) => request,
        Err(refusal) => return refused(&faults, refusal),
    };
    if let Some(error) = &faults.authorize_error {
        return answer::found(&request.back_with_error(error, "The double was told to."));
    }
    let Some(slug) = asked.browser_session(state) else {
        return answer::found(&pages::login_address(state, asked.target()));
    };
    match faults.consent {
        Consent::Approve => answer::found(&request.back_with_code(state, &faults, slug)),
        Consent::Ask => pages::consent(state, &request, &slug),
    }
}

/// The person has pressed a button of the consent page.
pub(super) fn answered(state: &State, asked: &Asked) -> Response<Body> {
    state.calls.note(Call::Consent);
    let faults = state.now();
    // The form posts to the address of the page, so the request is checked again as it was.
    let request = match parse(state, &faults, &asked.query()) {
        Ok(request) => request,
        Err(refusal) => return refused(&faults, refusal),
    };
    let Some(slug) = asked.browser_session(state) else {
        return answer::found(&pages::login_address(state, asked.target()));
    };
    let allowed = Form::parse(&asked.body).one("decision") == Some("allow");
    answer::found(&request.back(state, &faults, slug, allowed))
}

/// What the buttons lead to, without a browser.
pub(super) fn decide(
    state: &State,
    slug: &str,
    authorize_url: &str,
    allowed: bool,
) -> Result<String, String> {
    let url = Url::parse(authorize_url).map_err(|error| error.to_string())?;
    let faults = state.now();
    let query = Form::parse(url.query().unwrap_or_default().as_bytes());
    match parse(state, &faults, &query) {
        Ok(request) => Ok(request.back(state, &faults, slug.to_owned(), allowed)),
        Err(Refusal::Back(location)) => Ok(location),
        Err(Refusal::AtBitbucket(why)) => Err(why.to_owned()),
    }
}

fn parse(state: &State, faults: &Faults, query: &Form) -> Result<Request, Refusal> {
    if query.one("client_id") != Some(&state.client_id) {
        return Err(Refusal::AtBitbucket("Unknown or missing client_id"));
    }
    let registered = |url: &&str| state.redirect_urls().iter().any(|one| one == url);
    let Some(redirect_url) = query.one("redirect_uri").filter(registered) else {
        return Err(Refusal::AtBitbucket("redirect_uri is not registered for this client"));
    };
    // Seen by others at Data Center: a quotation mark in `state` is refused.
    if query.all("state").any(|state| state.contains('"')) {
        return Err(Refusal::AtBitbucket("Invalid character in state"));
    }
    let mut request = Request {
        redirect_url: redirect_url.to_owned(),
        state: query.one("state").map(str::to_owned),
        scopes: query.one("scope").unwrap_or_default().split(' ').map(str::to_owned).collect(),
        challenge: None,
    };
    if query.one("response_type") != Some("code") {
        return Err(request.refusal("unsupported_response_type", "response_type must be code"));
    }
    if !request.scopes.iter().all(|scope| state.scopes.contains(scope)) {
        return Err(request.refusal("invalid_scope", "The scope is not granted to this client"));
    }
    match challenge(faults, query) {
        Ok(challenge) => request.challenge = challenge,
        Err(why) => return Err(request.refusal("invalid_request", why)),
    }
    Ok(request)
}

/// RFC 7636 §4.3; a missing method means `plain`.
fn challenge(faults: &Faults, query: &Form) -> Result<Option<Challenge>, &'static str> {
    let Some(challenge) = query.one("code_challenge") else {
        let lonely = query.has("code_challenge_method") || query.has("code_challenge");
        return if lonely { Err("code_challenge is missing or repeated") } else { Ok(None) };
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&challenge.len()) || !challenge.bytes().all(unreserved) {
        return Err("code_challenge is malformed");
    }
    match query.one("code_challenge_method").unwrap_or("plain") {
        "plain" => Ok(Some(Challenge::Plain(challenge.to_owned()))),
        method if faults.challenge_methods.iter().any(|known| known == method) => {
            Ok(Some(Challenge::S256(challenge.to_owned())))
        }
        _ => Err("code_challenge_method is not supported"),
    }
}

fn refused(faults: &Faults, refusal: Refusal) -> Response<Body> {
    match (refusal, faults.refusal) {
        (Refusal::Back(location), _) => answer::found(&location),
        (Refusal::AtBitbucket(why), RefusalShape::Json) => answer::json(
            StatusCode::BAD_REQUEST,
            &json!({"error": "invalid_request", "error_description": why}),
        ),
        (Refusal::AtBitbucket(why), RefusalShape::Html) => pages::refusal(why),
    }
}

impl Request {
    fn back(&self, state: &State, faults: &Faults, slug: String, allowed: bool) -> String {
        if allowed {
            self.back_with_code(state, faults, slug)
        } else {
            self.back_with_error("access_denied", "The person refused")
        }
    }

    fn back_with_code(&self, state: &State, faults: &Faults, slug: String) -> String {
        let code = Code {
            grant: Grant { slug, scopes: self.scopes.clone() },
            redirect_url: self.redirect_url.clone(),
            challenge: self.challenge.clone(),
        };
        let code = state.grants().issue_code(code, faults);
        self.location(&[("code", &code)])
    }

    fn back_with_error(&self, error: &str, description: &str) -> String {
        self.location(&[("error", error), ("error_description", description)])
    }

    fn refusal(&self, error: &str, description: &str) -> Refusal {
        Refusal::Back(self.back_with_error(error, description))
    }

    fn location(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        query.extend_pairs(self.state.iter().map(|state| ("state", state)));
        let joint = if self.redirect_url.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.redirect_url, query.finish())
    }
}
