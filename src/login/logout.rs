//! Signing out: a page that asks, and the POST that does it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::return_to::ReturnTo;
use super::{Content, Reply, Site};
use crate::access::cross_site;
use crate::error::{Href, Problem};
use crate::pages;
use crate::session::{Session, Sessions};

/// How long a logout is remembered in the browser, so that nobody is logged straight back in.
pub const REMEMBERED_SECONDS: u64 = 60;

/// Has the browser forget the pages it kept: going back would show them again, with the name of
/// whoever has left (W3C Clear Site Data §3.1). Browsers heed it over https only, and on loopback.
pub const FORGET_PAGES: (HeaderName, HeaderValue) =
    (HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\""));

impl Site {
    /// The answer to a request to the logout address, and the session that it ended, whose
    /// tokens are now to be revoked.
    pub fn logout(
        &self,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        session: Option<Arc<Session>>,
        sessions: &Sessions,
    ) -> (Reply, Option<Arc<Session>>) {
        match *method {
            Method::GET | Method::HEAD if query == "done" && session.is_none() => {
                (self.signed_out(&ReturnTo::home(self.public_url())), None)
            }
            Method::GET | Method::HEAD => (self.logout_question(session.as_deref()), None),
            Method::POST if cross_site::is_foreign_origin(headers, self.public_url()) => {
                (Reply::problem(Problem::cross_site_request(self.public_url())), None)
            }
            Method::POST => {
                if let Some(session) = &session {
                    end(sessions, session);
                }
                (self.see_signed_out(), session)
            }
            _ => (Reply::problem(Problem::method_not_allowed("GET, HEAD, POST")), None),
        }
    }

    fn see_signed_out(&self) -> Reply {
        let done = format!("{}?done", Href::sign_out(self.public_url()));
        Reply { content: Content::SeeOther(done), set_cookies: self.signed_out_cookies() }
    }

    fn logout_question(&self, session: Option<&Session>) -> Reply {
        let user = session.map(Session::user).filter(|user| !user.is_empty());
        let post_to = Href::sign_out(self.public_url());
        let cancel = Href::home(self.public_url());
        let draw = move |id: &str| pages::logout_question(user.as_deref(), &post_to, &cancel, id);
        Reply { content: Content::Page(Box::new(draw)), set_cookies: Vec::new() }
    }

    /// Revokes the tokens of a session that has ended, where Bitbucket can; those of a refresh
    /// under way, once they are there. Runs on the control runtime.
    pub async fn revoke(self: Arc<Self>, session: Arc<Session>) {
        session.settled().await;
        let tokens = Arc::clone(&session.tokens());
        if let Err(error) = self.bitbucket.revoke(&tokens.access, tokens.refresh.as_ref()).await {
            tracing::warn!("the tokens of a logout could not be revoked: {error}");
        }
    }
}

/// Ends a session because its person said so.
pub fn end(sessions: &Sessions, session: &Session) {
    sessions.end(session);
    tracing::info!(user = session.user(), "signed out");
}
