//! Forwarding what was let pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, HOST, SET_COOKIE, UPGRADE};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;

use super::Exchange;
use super::outlived::Watch;
use super::record::Answer;
use super::websocket::Handshake;
use crate::access::{Decision, public};
use crate::error::Problem;
use crate::forward::body::{ResponseBody, Upload};
use crate::forward::fields::{self, Cookies, Plan, REQUEST_ID};
use crate::forward::h1::exchange::Asks;
use crate::forward::sink::Either;
use crate::forward::trailers::Upwards;
use crate::forward::{ForwardError, Head, Timeouts, upgrade};
use crate::login::logout;
use crate::session::fields::Rendered;
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
        let upload = Upload::new(settings.server.max_body_size, trailers);
        // Only a session's request may become a tunnel: nobody would end another's.
        let upgrades = self.record.arrival.is_upgrade && decision == Decision::AsSession;
        let expects = !body.is_end_stream() && fields::asks_to_continue(self.head());
        let host = self.host();
        let target = origin_form(&self.head().uri);
        let asked = Instant::now();
        let answer = {
            let rendered = self.session_fields(decision);
            let set = rendered.as_ref().map_or(&[][..], |rendered| &rendered.fields);
            let cookies = &self.snapshot.site.cookies;
            let cut = |field: &HeaderValue| cookies.cut_out(field);
            let head = Head {
                method: &self.head().method,
                target: &target,
                fields: |out: Either<'_>| {
                    let mut plan = self.plan(decision, set, &cut, &host, upgrades);
                    plan.may_trail = may_trail;
                    plan.keep_expect = expects;
                    plan.hops_left = hops.map(|hops| hops - 1);
                    plan.write(&self.head().headers, out);
                },
                asks: Asks { upgrades, expects },
            };
            let body = (!body.is_end_stream()).then_some(body);
            let upstream = &self.gateway.upstream;
            upstream.send(&self.snapshot.target, &head, body, &upload, timeouts).await
        };
        self.record.waited = asked.elapsed();
        match answer {
            Ok(response) => {
                self.record.upstream = Some(asked.elapsed());
                self.pass_back(decision, response)
            }
            Err(error) => self.explain(&error),
        }
    }

    fn session_fields(&self, decision: Decision) -> Option<Arc<Rendered>> {
        let session = self.record.session.as_ref().filter(|_| decision == Decision::AsSession)?;
        let templates = &self.snapshot.settings().codescan.headers;
        Some(session.fields(templates, self.snapshot.version))
    }

    fn plan<'p>(
        &'p self,
        decision: Decision,
        set: &'p [(HeaderName, HeaderValue)],
        cut: &'p dyn Fn(&HeaderValue) -> Option<HeaderValue>,
        host: &'p HeaderValue,
        upgrades: bool,
    ) -> Plan<'p> {
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
            set,
            host,
            forwarded: &self.record.arrival.forwarded,
            public: &self.snapshot.public_fields,
            request_id: &self.record.arrival.identity.request_id,
            trace: &self.record.arrival.identity.trace,
            upgrade: if upgrades { self.head().headers.get(UPGRADE) } else { None },
            may_trail: false,
            version: self.head().version,
            keep_expect: false,
            hops_left: None,
        }
    }

    /// The `Host` for `CodeScan`. An absolute-form target wins over the field (RFC 9112 §3.2.2).
    fn host(&self) -> HeaderValue {
        let codescan = &self.snapshot.settings().codescan;
        let asked = self.head().uri.authority().map(|authority| authority.as_str().as_bytes());
        let field = self.head().headers.get(HOST).map(HeaderValue::as_bytes);
        let kept = asked.or(field).filter(|_| codescan.preserve_host);
        let host = kept.unwrap_or(codescan.url.host_field().as_bytes());
        HeaderValue::from_bytes(host).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    /// Makes `CodeScan`'s answer the client's.
    fn pass_back(
        mut self,
        decision: Decision,
        mut response: Response<ResponseBody>,
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
        headers.insert(REQUEST_ID, self.record.arrival.identity.request_id.clone());
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
        self.record.answered(response.status());
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
fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() {
        return uri.clone();
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    // The path, as `http://host?query` has none and means the root.
    format!("{}{query}", uri.path()).parse().unwrap_or_else(|_| Uri::from_static("/"))
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
