//! Forwarding what was let pass.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, HOST, SET_COOKIE, UPGRADE};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use super::Exchange;
use super::outlived::Watch;
use super::record::Answer;
use super::websocket::Handshake;
use crate::access::{Decision, public};
use crate::config::settings::HeaderTemplate;
use crate::error::Problem;
use crate::forward::body::{ResponseBody, Upload};
use crate::forward::fields::{self, Cookies, Cut, Own, Plan, REQUEST_ID};
use crate::forward::h1::exchange::Asks;
use crate::forward::sink::{Either, Sink};
use crate::forward::trailers::Upwards;
use crate::forward::{ForwardError, Head, Timeouts, upgrade};
use crate::login::logout;
use crate::session::{Lifetimes, Session};

/// How often an upgraded connection looks whether its session is over.
const SESSION_LOOKED_AT_EVERY: Duration = Duration::from_secs(20);

impl Exchange<'_> {
    /// Sends the request to `CodeScan` and returns its answer.
    pub(super) async fn forward(mut self, decision: Decision, body: Incoming) -> Response<Answer> {
        if self.record.arrival.handshake.is_some() && decision != Decision::AsSession {
            return self.ask_to_sign_in();
        }
        let hops = fields::hops(self.head());
        if hops == Some(0) {
            return self.options();
        }
        let settings = self.snapshot.settings();
        let timeouts = Timeouts {
            connect: settings.codescan.connect_timeout,
            response: settings.codescan.response_timeout,
        };
        // Trailer fields follow a body only whose length is not said (RFC 9112 §7.1).
        let may_trail = !body.is_end_stream() && body.size_hint().exact().is_none();
        let trailers =
            may_trail.then(|| Upwards::new(&self.head().headers, &self.snapshot.reserved));
        let upload = Upload::new(settings.server.max_body_size, trailers, self.head().version);
        // Only a session's request may become a tunnel: nobody would end another's.
        let upgrades = self.record.arrival.is_upgrade && decision == Decision::AsSession;
        let expects = !body.is_end_stream() && fields::asks_to_continue(self.head());
        let asked = Instant::now();
        let answer = {
            let host = self.host();
            let target = origin_form(&self.head().uri);
            let own = self.session_fields(decision);
            let cookies = &self.snapshot.site.cookies;
            let cut = |field: &[u8], out: &mut Vec<u8>| cookies.cut_out(field, out);
            let head = Head {
                method: &self.head().method,
                target: &target,
                fields: |out: Either<'_>| {
                    let mut plan = self.plan(decision, &own, &cut, &host, upgrades);
                    plan.may_trail = may_trail;
                    plan.keep_expect = expects;
                    plan.hops_left = hops.map(|hops| hops - 1);
                    plan.write(&self.head().headers, out);
                },
                asks: Asks { upgrades, expects },
            };
            let body = (!body.is_end_stream()).then_some(body);
            let session = self.record.session.as_ref().filter(|_| decision == Decision::AsSession);
            // A refresh, which kills the token, waits until the answer begins.
            let waiting = session.map(|session| self.gateway.app.refresher.request(session));
            let replayable = self.replayable(decision, body.is_some());
            let (upstream, codescan) = (&self.gateway.upstream, &self.snapshot.target);
            let answer = upstream.send(codescan, &head, body, &upload, timeouts).await;
            drop(waiting);
            match (replayable, answer) {
                (Some(sent), Ok(first)) => {
                    let again =
                        async || upstream.send(codescan, &head, None, &upload, timeouts).await;
                    Box::pin(self.replay(first, sent, again)).await
                }
                (_, answer) => answer,
            }
        };
        let answered = Instant::now();
        let waited = answered.duration_since(asked);
        self.record.waited += waited;
        match answer {
            Ok(response) => {
                self.record.upstream = Some(waited);
                self.pass_back(decision, response, answered)
            }
            Err(error) => self.explain(&error),
        }
    }

    fn session_fields(&self, decision: Decision) -> SessionFields<'_> {
        let session = self.record.session.as_deref().filter(|_| decision == Decision::AsSession);
        SessionFields { session, templates: &self.snapshot.settings().codescan.headers }
    }

    fn plan<'p>(
        &'p self,
        decision: Decision,
        own: &'p SessionFields<'p>,
        cut: Cut<'p>,
        host: &'p HeaderValue,
        upgrades: bool,
    ) -> Plan<'p, SessionFields<'p>> {
        let is_clients = decision == Decision::AsClientToken;
        Plan {
            reserved: &self.snapshot.reserved,
            cookies: if is_clients { Cookies::Removed } else { Cookies::Cut(cut) },
            keep_authorization: match decision {
                Decision::AsClientToken | Decision::AsPublicWithToken => true,
                // Where [codescan.headers] names no Authorization it is the client's own affair.
                Decision::AsSession => !self.snapshot.reserved.holds("authorization"),
                Decision::AsPublic | Decision::Refused(_) => false,
            },
            own,
            host,
            forwarded: &self.record.arrival.forwarded,
            public: &self.snapshot.public_fields,
            request_id: self.record.arrival.identity.request_id.as_bytes(),
            trace: &self.record.arrival.identity.trace,
            upgrade: if upgrades { self.head().headers.get(UPGRADE) } else { None },
            may_trail: false,
            version: self.head().version,
            keep_expect: false,
            hops_left: None,
        }
    }

    /// The `Host` for `CodeScan`. An absolute-form target wins over the field (RFC 9112 §3.2.2).
    fn host(&self) -> Cow<'_, HeaderValue> {
        let codescan = &self.snapshot.settings().codescan;
        let field = self.head().headers.get(HOST);
        match (self.head().uri.authority(), field) {
            (None, Some(field)) if codescan.preserve_host => return Cow::Borrowed(field),
            _ => {}
        }
        let asked = self.head().uri.authority().map(Authority::as_str);
        let asked = asked.filter(|_| codescan.preserve_host);
        let host = asked.unwrap_or(codescan.url.host_field());
        Cow::Owned(HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("")))
    }

    /// Makes `CodeScan`'s answer the client's.
    fn pass_back(
        mut self,
        decision: Decision,
        mut response: Response<ResponseBody>,
        answered: Instant,
    ) -> Response<Answer> {
        if self.record.arrival.handshake.as_ref().is_some_and(|it| !it.is_answered_by(&response)) {
            tracing::warn!(
                request_id = self.record.request_id(),
                "CodeScan does not answer a WebSocket handshake as RFC 6455 has it"
            );
            return self.refuse(&Problem::upstream_unreachable());
        }
        // The client of ours lets no 101 through that was not asked for.
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches {
            self.tunnel(&mut response);
        }
        // The version is one's own between each two neighbours (RFC 9112 §2.3).
        *response.version_mut() = Version::HTTP_11;
        let cookies = &self.snapshot.site.cookies;
        let keeps_upgrade = switches && self.record.arrival.handshake.is_none();
        let headers = response.headers_mut();
        fields::clean_response(headers, &|set_cookie| cookies.set_by(set_cookie), keeps_upgrade);
        headers.insert(REQUEST_ID, self.record.arrival.identity.request_id.to_value());
        if self.record.arrival.handshake.is_some() {
            Handshake::translate(&mut response);
        }
        let headers = response.headers_mut();
        let mut signs_out = false;
        if decision == Decision::AsSession {
            fields::keep_from_shared_caches(headers);
            signs_out = response.status().is_success() && self.is_logout();
        }
        if signs_out {
            self.follow_logout(&mut response);
        }
        self.record.answered(response.status(), answered);
        let lifetimes = Lifetimes::new(&self.snapshot.settings().session);
        // The answer to a logout is still to come whole.
        let watch = (!signs_out).then(|| Watch::new(lifetimes));
        response.map(|body| Answer::watched(body, self.record, watch))
    }

    fn is_logout(&self) -> bool {
        let settings = self.snapshot.settings();
        let prefix = settings.server.public_url.prefix();
        let (method, path) = (&self.head().method, self.head().uri.path());
        public::falls_under(method, path, &settings.session.logout_routes, prefix)
    }

    /// `CodeScan`'s own logout ends our session too: else its "Log out" would change nothing.
    fn follow_logout(&self, response: &mut Response<ResponseBody>) {
        let Some(session) = &self.record.session else { return };
        logout::end(&self.gateway.app.sessions, session);
        let site = Arc::clone(&self.snapshot.site);
        let headers = response.headers_mut();
        for cookie in site.signed_out_cookies() {
            headers.append(SET_COOKIE, cookie);
        }
        headers.extend([logout::FORGET_PAGES]);
        self.gateway.app.control.spawn(site.revoke(Arc::clone(session)));
    }

    fn explain(self, error: &ForwardError) -> Response<Answer> {
        let request_id = self.record.request_id();
        let problem = match error {
            ForwardError::Unreachable(_) => Problem::upstream_unreachable(),
            ForwardError::Overloaded(pause) => Problem::overloaded(*pause),
            ForwardError::Timeout(_) => Problem::upstream_timeout(),
            ForwardError::BodyTooLarge => {
                let limit = self.snapshot.settings().server.max_body_size;
                Problem::body_too_large(limit.unwrap_or_default())
            }
            ForwardError::BodyTooSlow => {
                Problem::invalid_request("The body of this request came too slowly.")
            }
            ForwardError::BadBody => {
                Problem::invalid_request("The body of this request broke off.")
            }
        };
        tracing::warn!(request_id, "not forwarded: {error}");
        let version = self.head().version;
        let mut refusal = self.refuse(&problem);
        if matches!(error, ForwardError::BodyTooSlow) && version < Version::HTTP_2 {
            // Nobody waits for the rest.
            refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        refusal
    }

    fn tunnel(&self, response: &mut Response<ResponseBody>) {
        let Some(client) = self.head().extensions.get::<OnUpgrade>().cloned() else { return };
        let Some(upstream) = response.body_mut().take_upgraded() else { return };
        let Some(session) = self.record.session.clone() else { return };
        let lifetimes = Lifetimes::new(&self.snapshot.settings().session);
        tokio::task::spawn_local(upgrade::tunnel(client, upstream, over(session, lifetimes)));
    }
}

/// The fields of `[codescan.headers]`, where there is a session to send them for.
struct SessionFields<'a> {
    session: Option<&'a Session>,
    templates: &'a [HeaderTemplate],
}

impl<'a> SessionFields<'a> {
    fn each(&self) -> impl Iterator<Item = (&'a Session, &'a HeaderTemplate)> {
        let templates = self.templates;
        let of = move |session| templates.iter().map(move |template| (session, template));
        let all = self.session.into_iter().flat_map(of);
        all.filter(|(session, template)| session.has_values(&template.value))
    }
}

impl Own for SessionFields<'_> {
    fn sets(&self, name: &HeaderName) -> bool {
        self.each().any(|(_, template)| template.name == *name)
    }

    fn write<S: Sink>(&self, out: &mut S) {
        for (session, template) in self.each() {
            out.made(&template.name, |out| session.write_value(&template.value, out));
        }
    }
}

/// Resolves within a minute of the session's end, whatever ended it.
async fn over(session: Arc<Session>, lifetimes: Lifetimes) {
    loop {
        tokio::select! {
            () = session.ended() => return,
            () = tokio::time::sleep(SESSION_LOOKED_AT_EVERY) => {}
        }
        if !session.is_live(lifetimes, Instant::now()) {
            return;
        }
    }
}

/// The target as an origin server wants it (RFC 9112 §3.2.1), byte for byte.
fn origin_form(uri: &Uri) -> Cow<'_, Uri> {
    if uri.authority().is_none() {
        return Cow::Borrowed(uri);
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    // The path, as `http://host?query` has none and means the root.
    let target = format!("{}{query}", uri.path()).parse();
    Cow::Owned(target.unwrap_or_else(|_| Uri::from_static("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_keep_their_query_without_a_path_too() {
        for (target, wanted) in [
            ("http://a?b=c", "/?b=c"),
            ("http://a", "/"),
            ("http://a/", "/"),
            ("http://a/?", "/?"),
            ("http://a//b/../c?d=%zz&e", "//b/../c?d=%zz&e"),
            ("/x?y", "/x?y"),
            ("*", "*"),
        ] {
            let uri: Uri = target.parse().expect("a target");
            assert_eq!(origin_form(&uri).to_string(), wanted, "{target}");
        }
    }
}
