//! A request's whole way, from its head to the head of its answer.
//!
//! 1. [`Gateway::handle`] takes one snapshot of the settings and gives the request its id.
//! 2. What cannot be served is refused ([`admission`]), and [`route`] names the rest.
//! 3. The session of its cookie is looked up, in the shared store if it is not held here
//!    ([`elsewhere`]); if its access token has expired the request waits for another ([`renewal`]).
//! 4. Our own addresses are the login's; for everything else [`access::decide`] says whether and
//!    as whom it passes.
//! 5. What passes is forwarded ([`Exchange::forward`]); what does not gets a redirect, a page or
//!    JSON, as [`negotiate`] finds fit ([`reply`]).
//! 6. [`record`] counts and logs it when the last byte is gone.

pub mod admission;
pub mod app;
mod elsewhere;
mod identify;
pub mod negotiate;
mod outlived;
mod passing;
pub mod record;
mod renewal;
mod replay;
mod reply;
pub mod route;
mod websocket;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;

use self::app::{App, InForce, Latest};
use self::identify::Identity;
use self::negotiate::Sender;
use self::record::{Answer, Arrival, Journal, Record};
use self::websocket::Handshake;
use crate::access::cross_site::is_foreign_origin;
use crate::access::{self, Asked, Decision, Refusal};
use crate::error::Problem;
use crate::forward::Upstream;
use crate::forward::fields::asks_for_websocket;
use crate::forward::forwarded::Forwarded;
use crate::login::callback::{self, Judged, Share};
use crate::login::return_to::ReturnTo;
use crate::login::{Content, Reply, logout};
use crate::server::peer::Peer;
use crate::session::id::SessionId;
use crate::session::{Lifetimes, Session};
use crate::telemetry::worker_metrics::Route;

/// One worker's gateway.
pub struct Gateway {
    app: Arc<App>,
    snapshot: RefCell<Latest>,
    upstream: Upstream,
    journal: Rc<Journal>,
}

/// One request on its way. It is moved from step to step, so all that is large lies in `record`.
struct Exchange<'a> {
    gateway: &'a Gateway,
    snapshot: Rc<InForce>,
    record: Box<Record>,
}

impl Gateway {
    pub fn new(app: Arc<App>, upstream: Upstream, journal: Rc<Journal>) -> Self {
        let snapshot = RefCell::new(Latest::new(&app.snapshot));
        Self { app, snapshot, upstream, journal }
    }

    /// Answers one request. May be dropped at any time: what was asked of `CodeScan` is then
    /// cancelled, and what was asked of Bitbucket goes on without us.
    pub fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Answer>> {
        let (mut head, body) = request.into_parts();
        admission::name_host(&mut head);
        let handshake = Handshake::begin(&mut head);
        self.begin(head, handshake, peer).answer(body)
    }

    /// What is due now and then: called from the worker's tick.
    pub fn tick(&self, now: Instant) {
        let snapshot = self.app.snapshot.load();
        self.upstream.tick(now, snapshot.settings().codescan.max_connections);
        self.journal.access_log.borrow_mut().flush();
    }

    fn begin(&self, head: Parts, handshake: Option<Handshake>, peer: Peer) -> Exchange<'_> {
        let snapshot = self.snapshot.borrow_mut().get(&self.app.snapshot);
        let settings = snapshot.settings();
        let trusted = &settings.server.trusted_proxies;
        let is_trusted = peer.is_trusted(trusted);
        let time = SystemTime::now();
        let arrival = Arrival {
            time,
            began: Instant::now(),
            identity: Identity::of(&head.headers, is_trusted, time),
            forwarded: Forwarded::new(&head.headers, peer.address(), is_trusted, trusted),
            is_upgrade: asks_for_websocket(&head.headers),
            handshake,
        };
        let route = route::route(head.uri.path(), settings.server.public_url.prefix());
        let (logged, journal) = (settings.log.access, Rc::clone(&self.journal));
        let record = Box::new(Record::new(head, arrival, route, logged, journal));
        Exchange { gateway: self, snapshot, record }
    }
}

impl Exchange<'_> {
    async fn answer(mut self, body: Incoming) -> Response<Answer> {
        if let Err(problem) = admission::admit(self.head(), self.snapshot.settings()) {
            let closes = self.head().version < Version::HTTP_2;
            let mut refusal = self.refuse(&problem);
            if closes {
                // What follows a head that was misread may be anything.
                refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return refusal;
        }
        let id = self.snapshot.site.cookies.find(&self.head().headers).session;
        self.record.session = id.as_ref().and_then(|id| self.held_session(id));
        if self.record.session.is_none()
            && let Some(id) = id.filter(|_| self.gateway.app.sessions.may_be_elsewhere())
        {
            // Boxed, as it is rare and would make every request larger.
            if let Err(problem) = Box::pin(self.fetch_session(id)).await {
                return self.refuse(&problem);
            }
        }
        if self.record.arrival.handshake.is_some() && self.record.route != Route::App {
            // A 2xx would open a tunnel to nowhere.
            return self.refuse(&Problem::method_not_allowed(admission::ALLOWED));
        }
        match self.record.route {
            Route::App => self.application(body).await,
            // Boxed, so that the ordinary request above does not carry its size about.
            Route::Authorize => Box::pin(self.authorize(body)).await,
            Route::Logout => self.logout(),
            Route::Userinfo => Box::pin(self.userinfo()).await,
            Route::Auth => self.refuse(&Problem::not_found()),
        }
    }

    fn head(&self) -> &Parts {
        &self.record.head
    }

    fn sender(&self) -> Sender {
        Sender::of(&self.head().method, &self.head().headers, self.record.arrival.is_upgrade)
    }

    fn held_session(&self, id: &SessionId) -> Option<Arc<Session>> {
        let lifetimes = Lifetimes::new(&self.snapshot.settings().session);
        self.gateway.app.sessions.find(&id.key(), lifetimes, self.record.arrival.began)
    }

    /// Everything that is `CodeScan`'s.
    async fn application(mut self, body: Incoming) -> Response<Answer> {
        if self.lacks_token() {
            // Boxed, as it is rare and would make every request larger.
            if let Err(problem) = Box::pin(self.renew()).await {
                return self.refuse(&problem);
            }
        }
        if let Some(session) = &self.record.session {
            self.gateway.app.refresher.used(session);
        }
        let settings = self.snapshot.settings();
        let asked = self.asked(self.record.session.is_some());
        match access::decide(&asked, &settings.access, &settings.server.public_url) {
            Decision::Refused(refusal) => self.refused(refusal),
            decision => self.forward(decision, body).await,
        }
    }

    fn asked(&self, has_session: bool) -> Asked<'_> {
        Asked {
            method: &self.head().method,
            path: self.head().uri.path(),
            headers: &self.head().headers,
            has_session,
            is_upgrade: self.record.arrival.is_upgrade,
        }
    }

    fn refused(self, refusal: Refusal) -> Response<Answer> {
        match refusal {
            Refusal::CrossSite => {
                let problem = Problem::cross_site_request(self.snapshot.site.public_url());
                self.refuse(&problem)
            }
            Refusal::ClientTokenRefused => self.refuse(&Problem::client_token_refused()),
            Refusal::ClientTokenMalformed => self.refuse(&Problem::client_token_malformed()),
            Refusal::LoginRequired => self.ask_to_sign_in(),
        }
    }

    /// A request that needs a login: a navigation is sent to get one, others are told.
    fn ask_to_sign_in(self) -> Response<Answer> {
        let site = Arc::clone(&self.snapshot.site);
        let place = ReturnTo::parse(self.target(), site.public_url());
        let home = || site.sign_in(&ReturnTo::home(site.public_url()));
        match self.sender() {
            Sender::Navigation => {
                let started = site.begin(&self.head().headers, self.target(), SystemTime::now());
                self.started(started)
            }
            Sender::Frame => {
                let sign_in =
                    if self.head().method.is_safe() { site.sign_in(&place) } else { home() };
                self.refuse(&Problem::login_required_in_frame(sign_in))
            }
            Sender::Form if is_foreign_origin(&self.head().headers, site.public_url()) => {
                self.refuse(&Problem::login_required_for_foreign_form(site.public_url()))
            }
            // The form's own address is no place to come back to with a GET.
            Sender::Form => self.refuse(&Problem::login_required_for_form(home())),
            Sender::Machine => self.refuse(&Problem::login_required(site.sign_in(&place))),
        }
    }

    /// The callback address, of which only our share is ours.
    async fn authorize(self, body: Incoming) -> Response<Answer> {
        let is_read = matches!(self.head().method, Method::GET | Method::HEAD);
        match callback::share(self.head().uri.query().unwrap_or_default()) {
            Share::Theirs => self.application(body).await,
            Share::Start { .. } if !is_read => self.application(body).await,
            Share::Start { rd } => self.sign_in(rd.as_deref()),
            // A HEAD must not spend a code, and a POST is nobody's answer.
            Share::Ours(_) if self.head().method != Method::GET => {
                self.refuse(&Problem::method_not_allowed("GET"))
            }
            Share::Ours(Err(fault)) => self.refuse(&Problem::invalid_request(fault)),
            Share::Ours(Ok(response)) => self.callback(response).await,
        }
    }

    fn sign_in(self, rd: Option<&str>) -> Response<Answer> {
        let site = Arc::clone(&self.snapshot.site);
        let return_to = ReturnTo::parse(rd.unwrap_or_default(), site.public_url());
        match self.sender() {
            Sender::Navigation => {
                let started = site.start(&self.head().headers, &return_to, SystemTime::now());
                self.started(started)
            }
            Sender::Frame => {
                let problem = Problem::login_required_in_frame(site.sign_in(&return_to));
                self.refuse(&problem)
            }
            Sender::Form | Sender::Machine => {
                let problem = Problem::login_required(site.sign_in(&return_to));
                self.refuse(&problem)
            }
        }
    }

    fn started(self, started: crate::login::start::Started) -> Response<Answer> {
        if started.left_for_bitbucket {
            self.gateway.app.metrics.login_started();
        }
        self.reply(started.reply)
    }

    async fn callback(mut self, response: callback::Response) -> Response<Answer> {
        let metrics = &self.gateway.app.metrics;
        metrics.login_came_back();
        let site = Arc::clone(&self.snapshot.site);
        let (session, id) = (self.record.session.clone(), self.record.request_id().to_owned());
        let headers = &self.head().headers;
        let (order, return_to) =
            match site.judge(headers, response, session, &id, SystemTime::now()) {
                Judged::Reply(reply) => {
                    if let Content::Problem(problem) = &reply.content {
                        metrics.login_finished(problem.code().as_str());
                    }
                    return self.reply(reply);
                }
                Judged::Spend(order, return_to) => (order, return_to),
            };
        let (attempt, app) = (order.attempt, Arc::clone(&self.gateway.app));
        let began = Instant::now();
        // Apart from this connection: a tab closed now must not lose tokens on their way.
        let exchange = async move { app.exchanges.result(*order).await };
        let Ok(outcome) = self.gateway.app.control.spawn(exchange).await else {
            return self.refuse(&Problem::overloaded(std::time::Duration::from_secs(5)));
        };
        self.record.waited = began.elapsed();
        let headers = &self.head().headers;
        let reply = site.answer(headers, attempt, &return_to, outcome, SystemTime::now());
        self.reply(reply)
    }

    fn logout(self) -> Response<Answer> {
        let site = Arc::clone(&self.snapshot.site);
        let query = self.head().uri.query().unwrap_or_default();
        let sessions = &self.gateway.app.sessions;
        let session = self.record.session.clone();
        let (reply, ended) =
            site.logout(&self.head().method, query, &self.head().headers, session, sessions);
        let signs_out = matches!(reply.content, Content::SeeOther(_));
        if let Some(ended) = ended {
            self.gateway.app.control.spawn(site.revoke(ended));
        }
        let mut response = self.reply(reply);
        if signs_out {
            response.headers_mut().extend([logout::FORGET_PAGES]);
        }
        response
    }

    async fn userinfo(mut self) -> Response<Answer> {
        if self.lacks_token() {
            // Without a live token there is still a session to tell of.
            let _ = self.wait_for_token().await;
        }
        let site = Arc::clone(&self.snapshot.site);
        let reply: Reply =
            site.userinfo(&self.head().method, self.record.session.as_deref(), Instant::now());
        self.reply(reply)
    }

    /// The path and query as they came.
    fn target(&self) -> &str {
        self.head().uri.path_and_query().map_or("/", |target| target.as_str())
    }
}
