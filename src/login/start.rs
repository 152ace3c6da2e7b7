//! Sending a person to Bitbucket (RFC 6749 §4.1.1).

use std::time::SystemTime;

use http::header::HOST;
use http::{HeaderMap, HeaderValue};

use super::attempt::{AttemptId, LIFETIME};
use super::return_to::ReturnTo;
use super::{ATTEMPTS_AT_A_TIME, Content, Reply, Site};
use crate::error::Problem;
use crate::pages;
use crate::session::cookie::Cookie;

/// How long a browser is remembered to have been sent to `public_url`'s host, in seconds.
const MOVED_SECONDS: u64 = 60;

/// What a start led to.
pub struct Started {
    pub reply: Reply,
    /// The person is on the way to Bitbucket.
    pub left_for_bitbucket: bool,
}

impl Started {
    fn not_yet(reply: Reply) -> Self {
        Self { reply, left_for_bitbucket: false }
    }
}

impl Site {
    /// A navigation without a session: usually the way to Bitbucket, but not straight after a
    /// logout, nor in a circle.
    pub fn begin(&self, headers: &HeaderMap, target: &str, now: SystemTime) -> Started {
        let return_to = ReturnTo::parse(target, self.public_url());
        if self.cookies.value(headers, Cookie::SignedOut).is_some() {
            return Started::not_yet(self.signed_out(&return_to));
        }
        if self.has_just_signed_in(headers, now) {
            let sign_in = self.sign_in(&return_to);
            let problem = Problem::session_cookie_lost(self.public_url(), sign_in);
            return Started::not_yet(Reply::problem(problem));
        }
        if self.is_elsewhere(headers) {
            return self.move_to(return_to.absolute(self.public_url()));
        }
        self.leave(headers, &return_to, now)
    }

    /// Somebody pressed "Sign in", or came by a link that says so: no circle can come of that.
    pub fn start(&self, headers: &HeaderMap, return_to: &ReturnTo, now: SystemTime) -> Started {
        if self.is_elsewhere(headers) {
            return self.move_to(self.sign_in(return_to).as_str().to_owned());
        }
        self.leave(headers, return_to, now)
    }

    fn leave(&self, headers: &HeaderMap, return_to: &ReturnTo, now: SystemTime) -> Started {
        let attempt = self.attempts().start(return_to, now);
        let to = self.bitbucket.authorize_url(&attempt.state, &attempt.verifier);
        let id = attempt.id.to_text();
        let cookie =
            self.cookies.set(Cookie::Login(&id), attempt.cookie.expose(), LIFETIME.as_secs());
        let mut reply = Reply::redirect(to).with_cookies([cookie]);
        reply.set_cookies.extend(self.surplus_attempts(headers));
        if self.cookies.value(headers, Cookie::SignedOut).is_some() {
            reply.set_cookies.push(self.cookies.remove(Cookie::SignedOut));
        }
        Started { reply, left_for_bitbucket: true }
    }

    /// The page for whoever has just signed out; shown once.
    pub(super) fn signed_out(&self, return_to: &ReturnTo) -> Reply {
        let sign_in = self.sign_in(return_to);
        Reply {
            content: Content::Page(Box::new(move |id| pages::signed_out(&sign_in, id))),
            set_cookies: vec![self.cookies.remove(Cookie::SignedOut)],
        }
    }

    /// Whether the browser came to another host than `public_url`'s, whose cookies it could not
    /// bring back from Bitbucket. A front proxy that changes `Host` looks the same, so a browser
    /// that was sent on a moment ago is not sent again.
    fn is_elsewhere(&self, headers: &HeaderMap) -> bool {
        let public_url = self.public_url();
        let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let default_port = if public_url.is_https() { ":443" } else { ":80" };
        let bare = host.strip_suffix(default_port.as_bytes()).unwrap_or(host);
        !bare.eq_ignore_ascii_case(public_url.authority().as_bytes())
            && self.cookies.value(headers, Cookie::Moved).is_none()
    }

    /// To the same place at `public_url`'s host.
    fn move_to(&self, address: String) -> Started {
        let moved = self.cookies.set(Cookie::Moved, "1", MOVED_SECONDS);
        Started::not_yet(Reply::redirect(address).with_cookies([moved]))
    }

    /// Removes the oldest login cookies, so that they never outgrow a request head.
    fn surplus_attempts(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        let mut held = self.cookies.login_attempts(headers);
        let keep = ATTEMPTS_AT_A_TIME - 1;
        // Names that we did not give come first, then the oldest.
        held.sort_by_key(|id| AttemptId::from_text(id).map(AttemptId::age_order));
        held.truncate(held.len().saturating_sub(keep));
        held.into_iter()
            .filter(|id| is_cookie_name_part(id))
            .map(|id| self.cookies.remove(Cookie::Login(id)))
            .collect()
    }
}

/// What a client calls its cookies is only repeated to it if it is a token (RFC 9110 §5.6.2).
fn is_cookie_name_part(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
