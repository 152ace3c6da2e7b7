//! A browser without a screen: cookies, `Sec-Fetch-*`, and one step at a time.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use simulator::Bitbucket;
use url::Url;

use super::client::{Answer, Client};
use super::evidence::Evidence;
use super::proxy::Proxy;

/// What Firefox sends for a page.
pub const ACCEPT_PAGE: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[derive(Clone)]
pub struct Browser {
    client: Client,
    bitbucket: Bitbucket,
    evidence: Evidence,
    public_url: Url,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(proxy: &Proxy, bitbucket: Bitbucket, evidence: Evidence) -> Self {
        let public_url = Url::parse(proxy.public_url()).expect("a public URL");
        let client = Client::new(&proxy.origin(), evidence.clone())
            .called(&public_url[url::Position::BeforeHost..url::Position::AfterPort]);
        Self { client, bitbucket, evidence, public_url, cookies: BTreeMap::new() }
    }

    /// Opens an address in a tab: one step, no redirect followed.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.navigate(Method::GET, target, &[], "").await
    }

    /// Submits a form in a tab.
    pub async fn post_form(&mut self, target: &str, form: &str) -> Answer {
        let origin = self.public_url.origin().ascii_serialization();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
            ("origin", &origin),
        ];
        self.navigate(Method::POST, target, &headers, form).await
    }

    /// A navigation with more or other fields.
    pub async fn navigate(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut all = vec![
            ("accept", ACCEPT_PAGE),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        if !headers.iter().any(|(name, _)| *name == "sec-fetch-site") {
            all.push(("sec-fetch-site", "none"));
        }
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend_from_slice(headers);
        self.send(method, target, &all, body).await
    }

    /// What a script on one of our pages sends.
    pub async fn fetch(&mut self, method: Method, target: &str, body: &str) -> Answer {
        let origin = self.public_url.origin().ascii_serialization();
        let headers = [
            ("accept", "application/json"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
            ("sec-fetch-site", "same-origin"),
            ("origin", origin.as_str()),
        ];
        self.send(method, target, &headers, body).await
    }

    /// With its cookies and nothing else of a browser's.
    pub async fn send(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let cookies = self.cookie_header();
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = self.client.send(method, target, &headers, body.to_owned()).await;
        self.keep_cookies(&answer);
        answer
    }

    /// Walks the whole way of a login and ends on the page that was asked for.
    pub async fn log_in(&mut self, slug: &str) -> Answer {
        self.log_in_at("/", slug).await
    }

    /// Opens `target`, logs in at Bitbucket, and comes back.
    pub async fn log_in_at(&mut self, target: &str, slug: &str) -> Answer {
        let callback = self.go_to_bitbucket_and_agree(target, slug).await;
        let back = self.get(&callback).await;
        assert_eq!(back.status, StatusCode::FOUND, "the callback: {}", back.text());
        let place = self.target_of(back.location());
        self.get(&place).await
    }

    /// Opens `target`, is sent to Bitbucket, says yes there, and returns the way back.
    pub async fn go_to_bitbucket_and_agree(&mut self, target: &str, slug: &str) -> String {
        let authorize_url = self.go_to_bitbucket(target).await;
        self.agree(&authorize_url, slug)
    }

    /// Opens `target` and is sent to Bitbucket; where to.
    pub async fn go_to_bitbucket(&mut self, target: &str) -> String {
        let sent = self.get(target).await;
        assert_eq!(sent.status, StatusCode::FOUND, "{}", sent.text());
        assert!(sent.location().starts_with(&self.bitbucket.url()), "to {}", sent.location());
        sent.location().to_owned()
    }

    /// The same browser, as it reaches the place by another kind of connection.
    pub fn by(self, change: impl FnOnce(Client) -> Client) -> Self {
        Self { client: change(self.client), ..self }
    }

    /// The same browser, as it reaches the place by another name.
    pub fn at_host(&self, host: &str) -> Self {
        Self { client: self.client.called(host), ..self.clone() }
    }

    /// Says yes on Bitbucket's consent page; the callback's target.
    pub fn agree(&self, authorize_url: &str, slug: &str) -> String {
        let callback = self.bitbucket.approve(slug, authorize_url);
        self.target_of(&callback.unwrap_or_else(|page| panic!("Bitbucket says: {page}")))
    }

    /// Says no there.
    pub fn refuse(&self, authorize_url: &str, slug: &str) -> String {
        let callback = self.bitbucket.deny(slug, authorize_url);
        self.target_of(&callback.unwrap_or_else(|page| panic!("Bitbucket says: {page}")))
    }

    /// Path and query of an address that must be ours.
    pub fn target_of(&self, location: &str) -> String {
        let url = self.public_url.join(location).expect("an address");
        assert_eq!(url.origin(), self.public_url.origin(), "{location} leads elsewhere");
        url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub fn cookie_names(&self) -> Vec<&str> {
        self.cookies.keys().map(String::as_str).collect()
    }

    /// Those whose names begin so.
    pub fn cookies_named(&self, prefix: &str) -> Vec<&str> {
        self.cookie_names().into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// As if the browser had thrown it away.
    pub fn forget(&mut self, name: &str) {
        self.cookies.remove(name);
    }

    pub fn forget_all(&mut self) {
        self.cookies.clear();
    }

    pub fn cookie_header(&self) -> String {
        let pairs: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for line in answer.set_cookies() {
            let cookie = cookie::Cookie::parse(line.to_owned()).expect("a cookie");
            let removed = cookie.max_age() == Some(cookie::time::Duration::ZERO);
            if removed {
                self.cookies.remove(cookie.name());
            } else {
                self.evidence.secrets(secret_value(&cookie));
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
    }
}

/// The session's id and the browser's half of an attempt are secrets too.
fn secret_value(cookie: &cookie::Cookie<'_>) -> Option<String> {
    let is_ours = cookie.name().contains("_session") || cookie.name().contains("_login_");
    (is_ours && cookie.value().len() >= 32).then(|| cookie.value().to_owned())
}
