//! Who the caller is, as JSON. Never a token.

use std::time::Instant;

use http::Method;
use serde::Serialize;

use super::return_to::ReturnTo;
use super::{Content, Reply, Site};
use crate::error::Problem;
use crate::session::{Lifetimes, Session};

#[derive(Serialize)]
struct Userinfo<'a> {
    user: Option<&'a str>,
    display_name: Option<&'a str>,
    email: Option<&'a str>,
    /// Seconds that the access token still lives.
    expires_in: u64,
    /// Seconds that the session still lives if it is not used.
    session_expires_in: u64,
    scopes: &'a [String],
}

impl Site {
    pub fn userinfo(&self, method: &Method, session: Option<&Session>, now: Instant) -> Reply {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Reply::problem(Problem::method_not_allowed("GET, HEAD"));
        }
        let Some(session) = session else {
            let sign_in = self.sign_in(&ReturnTo::home(self.public_url()));
            return Reply::problem(Problem::login_required(sign_in));
        };
        let lifetimes = Lifetimes::new(&self.settings.session);
        let (person, tokens) = (session.person(), session.tokens());
        let person = person.as_deref();
        let info = Userinfo {
            user: person.map(|person| person.name.as_str()),
            display_name: person.and_then(|person| person.display_name.as_deref()),
            email: person.and_then(|person| person.email.as_deref()),
            expires_in: tokens.expires_at.saturating_duration_since(now).as_secs(),
            session_expires_in: session.remaining(lifetimes, now).as_secs(),
            scopes: &tokens.scopes,
        };
        let json = serde_json::to_string(&info).expect("text and numbers are JSON");
        Reply { content: Content::Json(json), set_cookies: Vec::new() }
    }
}
