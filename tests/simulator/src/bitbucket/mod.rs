//! A Bitbucket Data Center as far as a client of its OAuth 2.0 provider sees it. Where Atlassian's
//! documents are silent, the most careful reading is the default and [`Faults`] has the others.

mod authorize;
mod calls;
mod faults;
mod grants;
mod options;
mod pages;
mod people;
mod resources;
mod rest;
mod routes;
mod state;
mod token;
mod token_fault;
mod trouble;

pub use calls::Call;
pub use faults::{
    ApplinksWhoami, Consent, DeadToken, Faults, Pkce, Provider, RateLimit, RefusalShape, RestFault,
    Reuse, Revoke, Username,
};
pub use options::BitbucketOptions;
pub use people::{Person, Project};
pub use token_fault::{ExpiresIn, TokenAnswer, TokenFault};

use crate::certificates::{Clients, PrivateCa};
use crate::listener::{Handler, Listener, Place, Service};
use crate::record::Received;
use grants::Grant;
use state::State;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A running Bitbucket. Clones are handles of the same server; it ends with the last of them.
#[derive(Clone)]
pub struct Bitbucket {
    state: Arc<State>,
    listener: Arc<Listener>,
    ca_pem: Option<String>,
}

impl Bitbucket {
    /// Starts on loopback. Its host is `localhost`, so that to a browser it is another site than
    /// a proxy on 127.0.0.1.
    #[expect(clippy::unused_async, reason = "needs a runtime, which async says")]
    pub async fn start(options: BitbucketOptions) -> io::Result<Self> {
        let ca = options.tls.then(|| PrivateCa::new("Bitbucket simulator")).transpose()?;
        let tls = ca.as_ref().map(|ca| ca.server(Clients::Anyone, false)).transpose()?;
        let port = options.port;
        let state = Arc::new(State::new(options));
        let answering = Arc::clone(&state);
        let handler: Handler =
            Arc::new(move |request| Box::pin(routes::answer(Arc::clone(&answering), request)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = Listener::start(Place::Tcp(port), Service { handler, tls, http2: false })?;
        state.set_origin(format!("{scheme}://localhost:{}", listener.port()));
        let ca_pem = ca.map(|ca| ca.pem().to_owned());
        Ok(Self { state, listener: Arc::new(listener), ca_pem })
    }

    /// The base URL, context path included, without a slash at the end.
    pub fn url(&self) -> String {
        self.state.base()
    }

    /// The client id of the application link.
    pub fn client_id(&self) -> &str {
        &self.state.client_id
    }

    /// The client secret of the application link.
    pub fn client_secret(&self) -> &str {
        &self.state.client_secret
    }

    /// The private authority's certificate, with [`BitbucketOptions::tls`].
    ///
    /// # Panics
    /// Without it.
    pub fn ca_pem(&self) -> &str {
        self.ca_pem.as_deref().expect("BitbucketOptions.tls is on")
    }

    /// Adds a redirect URL to the application link; it is compared character for character.
    pub fn register_redirect_url(&self, url: &str) {
        self.state.redirect_urls().push(url.to_owned());
    }

    /// Changes the behaviour, from the next call on; calls that hang look again.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        self.state.faults.send_modify(change);
    }

    /// How often there was such a call.
    pub fn count(&self, call: Call) -> usize {
        self.state.calls.count(call)
    }

    /// Waits until there were `wanted` such calls, ten seconds at most.
    ///
    /// # Panics
    /// When the time is over.
    pub async fn wait_for(&self, call: Call, wanted: usize) {
        self.state.calls.wait_for(call, wanted).await;
    }

    /// The last requests received, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.state.journal.all()
    }

    /// Waits for a request that `wanted` accepts, one that has come already included.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn wait_for_request(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.state.journal.wait_for(wanted).await
    }

    /// Forgets the requests received so far; the counts stay.
    pub fn clear_requests(&self) {
        self.state.journal.clear();
    }

    /// Every code, access token and refresh token ever issued, and the client secret: what must
    /// not turn up in any log.
    pub fn issued_secrets(&self) -> Vec<String> {
        let mut secrets = self.state.grants().issued().to_vec();
        secrets.push(self.state.client_secret.clone());
        secrets
    }

    /// Goes down: refuses connections and closes the open ones. The port stays reserved.
    pub async fn stop(&self) -> io::Result<()> {
        self.listener.stop().await
    }

    /// Comes back on the same port, with all it knew.
    #[expect(clippy::unused_async, reason = "needs a runtime, which async says")]
    pub async fn resume(&self) -> io::Result<()> {
        self.listener.resume()
    }

    /// Does what a person does who logs in and presses Allow: gives the address that the browser
    /// is sent to. `Err` holds the words of a refusal that stays at Bitbucket.
    pub fn approve(&self, slug: &str, authorize_url: &str) -> Result<String, String> {
        authorize::decide(&self.state, slug, authorize_url, true)
    }

    /// As [`Bitbucket::approve`], pressing Deny.
    pub fn deny(&self, slug: &str, authorize_url: &str) -> Result<String, String> {
        authorize::decide(&self.state, slug, authorize_url, false)
    }

    /// An access token that was made elsewhere, as a script brings it: all scopes, one hour.
    pub fn issue_token(&self, slug: &str) -> String {
        let grant = Grant { slug: slug.to_owned(), scopes: self.state.scopes.clone() };
        self.state.grants().issue_access(grant, Duration::from_hours(1))
    }

    /// The person whose live access token this is.
    pub fn person_of(&self, access_token: &str) -> Option<Person> {
        let slug = self.state.grants().bearer(access_token)?.slug.clone();
        self.person(&slug)
    }

    /// The person with this slug, as things stand.
    pub fn person(&self, slug: &str) -> Option<Person> {
        self.state.people().iter().find(|person| person.slug == slug).cloned()
    }

    /// Changes the people: rename one, add one.
    pub fn people(&self, change: impl FnOnce(&mut Vec<Person>)) {
        change(&mut self.state.people());
    }

    /// Changes the projects and who may see them.
    pub fn projects(&self, change: impl FnOnce(&mut Vec<Project>)) {
        change(&mut self.state.projects());
    }

    /// An administrator deactivates the account; its tokens go on working.
    pub fn deactivate_user(&self, slug: &str) {
        let mut people = self.state.people();
        people.iter_mut().filter(|one| one.slug == slug).for_each(|one| one.active = false);
    }

    /// Ends one token, of either kind; a refresh token takes its access tokens along. Tells
    /// whether it was alive.
    pub fn kill_token(&self, token: &str) -> bool {
        self.state.grants().kill(token)
    }

    /// Ends all tokens of a person, as if "Authorized applications" had been emptied.
    pub fn kill_tokens_of(&self, slug: &str) {
        self.state.grants().end_grants(|grant| grant.slug == slug);
    }

    /// Ends all access tokens, as if their time were over; refresh tokens live on.
    pub fn expire_access_tokens(&self) {
        self.state.grants().expire_access();
    }

    /// How many entries the person has among "Authorized applications".
    pub fn grants_of(&self, slug: &str) -> usize {
        self.state.grants().count(slug)
    }

    /// Logs everybody out of Bitbucket's own pages.
    pub fn end_browser_sessions(&self) {
        self.state.sessions().clear();
    }
}
