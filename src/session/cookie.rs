//! Our cookies: their names, reading them, setting them, cutting them out.
//!
//! Attributes follow RFC 6265bis §4.1: `HttpOnly`, `SameSite=Lax` (the way back from Bitbucket is
//! a cross-site top-level GET), `Path=/`, and over https `Secure` and the `__Host-` prefix.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::id::SessionId;
use crate::config::Settings;

/// The names of all cookies that are ours.
#[derive(Debug, Clone)]
pub struct CookieNames {
    /// All of them begin so.
    stem: String,
    session: String,
    login_prefix: String,
    signed_in: String,
    signed_out: String,
    moved: String,
    secure: bool,
}

/// One of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie<'a> {
    /// Holds the session's id.
    Session,
    /// The browser's half of a login attempt; the attempt's id.
    Login(&'a str),
    /// A login completed a moment ago.
    SignedIn,
    /// A logout a moment ago.
    SignedOut,
    /// Was sent to `public_url`'s host a moment ago.
    Moved,
}

/// What a request's `Cookie` fields say about the session.
#[derive(Default)]
pub struct Found {
    pub session: Option<SessionId>,
    /// Some cookie of ours is there, whatever its value: it must be cut out.
    pub any: bool,
}

impl CookieNames {
    pub fn new(settings: &Settings) -> Self {
        let secure = settings.server.public_url.is_https();
        let session = settings.session.cookie_name.clone();
        // Two installations on one host are told apart by a cookie_name set by hand.
        let stem = match (settings.session.cookie_name_is_set, secure) {
            (true, _) => session.clone(),
            (false, true) => "__Host-codescan".to_owned(),
            (false, false) => "codescan".to_owned(),
        };
        Self {
            login_prefix: format!("{stem}_login_"),
            signed_in: format!("{stem}_signed_in"),
            signed_out: format!("{stem}_signed_out"),
            moved: format!("{stem}_moved"),
            stem,
            session,
            secure,
        }
    }

    pub fn session(&self) -> &str {
        &self.session
    }

    /// Which of ours a cookie with this name is, if any.
    pub fn which<'a>(&self, name: &'a str) -> Option<Cookie<'a>> {
        if name == self.session {
            Some(Cookie::Session)
        } else if let Some(attempt) = name.strip_prefix(&self.login_prefix) {
            Some(Cookie::Login(attempt))
        } else if name == self.signed_in {
            Some(Cookie::SignedIn)
        } else if name == self.signed_out {
            Some(Cookie::SignedOut)
        } else if name == self.moved {
            Some(Cookie::Moved)
        } else {
            None
        }
    }

    /// Looks for the session cookie. Two different values: none is believed.
    pub fn find(&self, headers: &HeaderMap) -> Found {
        let mut found = Found::default();
        let mut value: Option<&[u8]> = None;
        let mut contradicts = false;
        for (name, this) in pairs(headers) {
            match self.which_bytes(name) {
                Some(Cookie::Session) => {
                    found.any = true;
                    contradicts |= value.is_some_and(|other| other != this);
                    value = Some(this);
                }
                Some(_) => found.any = true,
                None => {}
            }
        }
        if !contradicts {
            found.session = value.and_then(SessionId::from_cookie);
        }
        found
    }

    /// The value of one of our cookies; `None` if it is absent or there with two values.
    pub fn value<'h>(&self, headers: &'h HeaderMap, wanted: Cookie<'_>) -> Option<&'h [u8]> {
        let mut value = None;
        for (name, this) in pairs(headers) {
            if self.which_bytes(name) != Some(wanted) {
                continue;
            }
            if value.is_some_and(|other| other != this) {
                return None;
            }
            value = Some(this);
        }
        value
    }

    /// The ids of the login attempts that the browser holds cookies of.
    pub fn login_attempts<'h>(&self, headers: &'h HeaderMap) -> Vec<&'h str> {
        let mut attempts: Vec<&str> = pairs(headers)
            .filter_map(|(name, _)| match self.which_bytes(name) {
                Some(Cookie::Login(attempt)) => Some(attempt),
                _ => None,
            })
            .collect();
        attempts.sort_unstable();
        attempts.dedup();
        attempts
    }

    /// Writes a `Cookie` field without ours, the others byte for byte. Whether anything is left.
    pub fn cut_out(&self, field: &[u8], out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let (mut has_cut, mut is_first) = (false, true);
        for piece in pieces(field) {
            if self.which_bytes(split_pair(piece).0).is_some() {
                has_cut = true;
                continue;
            }
            if !is_first {
                out.push(b';');
            }
            out.extend_from_slice(piece);
            is_first = false;
        }
        if has_cut {
            // Its beginning and its end are now the field's (RFC 9113 §8.2.1).
            out.truncate(begin + out[begin..].trim_ascii_end().len());
            let blanks = out[begin..].len() - out[begin..].trim_ascii_start().len();
            out.drain(begin..begin + blanks);
        }
        out.len() > begin || !has_cut
    }

    /// A `Set-Cookie` value that sets one of ours for `max_age` seconds.
    pub fn set(&self, which: Cookie<'_>, value: &str, max_age: u64) -> HeaderValue {
        let mut cookie = cookie::Cookie::new(self.name(which), value.to_owned());
        cookie.set_http_only(true);
        cookie.set_same_site(cookie::SameSite::Lax);
        cookie.set_path("/");
        cookie.set_secure(self.secure);
        let seconds = i64::try_from(max_age).unwrap_or(i64::MAX / 1000);
        cookie.set_max_age(cookie::time::Duration::seconds(seconds));
        header(&cookie)
    }

    /// A `Set-Cookie` value that removes one of ours.
    pub fn remove(&self, which: Cookie<'_>) -> HeaderValue {
        self.set(which, "", 0)
    }

    /// A `Set-Cookie` value that removes a cookie of `CodeScan`'s at `path`.
    pub fn remove_foreign(&self, name: &str, path: &str) -> HeaderValue {
        let mut cookie = cookie::Cookie::new(name.to_owned(), String::new());
        cookie.set_path(path.to_owned());
        cookie.set_secure(self.secure);
        cookie.set_max_age(cookie::time::Duration::ZERO);
        header(&cookie)
    }

    /// Whether a `Set-Cookie` of `CodeScan` would overwrite one of ours. A browser sends a cookie
    /// without a name as its value alone (RFC 6265bis §5.8.3), and that could look like ours.
    pub fn set_by(&self, set_cookie: &HeaderValue) -> bool {
        let bytes = set_cookie.as_bytes();
        let pair = bytes.split(|byte| *byte == b';').next().unwrap_or(bytes);
        let (name, value) = split_pair(pair);
        let sent_as = if name.is_empty() { split_pair(value).0 } else { name };
        self.which_bytes(sent_as).is_some()
    }

    fn name(&self, which: Cookie<'_>) -> String {
        match which {
            Cookie::Session => self.session.clone(),
            Cookie::Login(attempt) => format!("{}{attempt}", self.login_prefix),
            Cookie::SignedIn => self.signed_in.clone(),
            Cookie::SignedOut => self.signed_out.clone(),
            Cookie::Moved => self.moved.clone(),
        }
    }

    fn which_bytes<'h>(&self, name: &'h [u8]) -> Option<Cookie<'h>> {
        // Most cookies are not ours, and this is asked of each.
        if !name.starts_with(self.stem.as_bytes()) {
            return None;
        }
        if name == self.session.as_bytes() {
            return Some(Cookie::Session);
        }
        std::str::from_utf8(name).ok().and_then(|name| self.which(name))
    }
}

fn header(cookie: &cookie::Cookie<'_>) -> HeaderValue {
    let mut value =
        HeaderValue::try_from(cookie.to_string()).expect("names and values of ours are ASCII");
    value.set_sensitive(true);
    value
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|field| pieces(field.as_bytes())).map(split_pair)
}

/// What stands between the semicolons.
fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let field = rest?;
        let end = memchr::memchr(b';', field);
        rest = end.map(|end| &field[end + 1..]);
        Some(&field[..end.unwrap_or(field.len())])
    })
}

/// Name and value of one pair, white space around both aside (RFC 6265bis §5.6).
fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
        None => (pair.trim_ascii(), b""),
    }
}
