//! The client of Bitbucket Data Center: sends people there to authorize, buys tokens for codes,
//! refreshes and revokes them, and asks whose they are.
//!
//! "Client" is us here (RFC 6749 §1.1). This room knows nothing of serving HTTP, of cookies or of
//! sessions; it decides nothing about who may do what.

mod authorization;
mod connect;
#[cfg(test)]
mod over_the_wire;
mod people;
#[cfg(test)]
pub(crate) mod testing;
mod token;
mod transport;
mod unreachable;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::config::settings::Bitbucket;
use crate::secret::Secret;
use crate::tls::{self, TlsError};

pub use people::{PeopleError, Person};
pub use token::{TokenError, TokenSet};
pub use unreachable::{Cause, ProxyFault, Unreachable};

use transport::Transport;

/// Asks one Bitbucket by one reading of the settings. Cheap to clone. All calls need a tokio
/// runtime with I/O and time, and resolve names on its blocking threads.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Bitbucket,
    transport: Transport,
    oauth: token::OAuthClient,
    addresses: Addresses,
    /// That there is nothing at `revoke_url` has been said.
    said_no_revocation: AtomicBool,
}

/// What is called, in the form that HTTP takes.
struct Addresses {
    /// `bitbucket.url` and `/rest/api/latest`.
    api: String,
    status: Uri,
    token: Uri,
    whoami: Option<Uri>,
    revoke: Option<Uri>,
}

/// A setting that cannot be used. Each message begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("bitbucket.ca_file: {0}")]
    CaFile(#[from] TlsError),
    #[error(
        "bitbucket.proxy_url: is not the URL of an http proxy (http://[user:password@]host:port)"
    )]
    ProxyUrl,
    #[error(
        "the environment's HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names a proxy that is not \
         http://…; set bitbucket.proxy_url, or name Bitbucket's host in NO_PROXY"
    )]
    ProxyInEnvironment,
    /// An address that `url` takes and HTTP does not; the setting's name.
    #[error("{0}: cannot be called")]
    Address(&'static str),
}

/// Whether anything that the proxy calls is an https address.
fn is_over_tls(settings: &Bitbucket) -> bool {
    let others = [&settings.whoami_url, &settings.revoke_url].into_iter().flatten();
    let mut called = [&settings.url, &settings.token_url].into_iter().chain(others);
    called.any(|url| url.scheme() == "https")
}

impl Client {
    /// Reads `bitbucket.ca_file`, the system's roots and the environment's proxy settings, so it
    /// blocks a little. Nothing is sent.
    pub fn new(settings: &Bitbucket) -> Result<Self, SetupError> {
        Self::behind(proxies(settings.proxy_url.as_ref())?, settings)
    }

    fn behind(proxies: Matcher, settings: &Bitbucket) -> Result<Self, SetupError> {
        let tls = tls::client_config(is_over_tls(settings), settings.ca_file.as_deref(), None)?;
        let shared = Shared {
            transport: Transport::new(tls, proxies, settings.timeout),
            oauth: token::oauth_client(settings)?,
            addresses: Addresses::new(settings)?,
            settings: settings.clone(),
            said_no_revocation: AtomicBool::new(false),
        };
        if shared.addresses.all().any(|uri| shared.transport.has_unusable_proxy(uri)) {
            return Err(SetupError::ProxyInEnvironment);
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether Bitbucket is at work: one cheap question without a token. A 200 alone is not
    /// enough, `{url}/status` must say that its state is `RUNNING`.
    pub async fn status(&self) -> Result<(), Unreachable> {
        #[derive(serde::Deserialize)]
        struct Status {
            state: String,
        }
        let answer = self.shared.transport.get(self.shared.addresses.status.clone(), None).await?;
        match serde_json::from_slice(&answer.body) {
            Ok(Status { state }) if answer.status.is_success() && state == "RUNNING" => Ok(()),
            Ok(Status { state }) => Err(Cause::NotRunning { state: printable(&state) }.into()),
            Err(_) if answer.status.is_success() => Err(Unreachable::not_json(&answer.headers)),
            Err(_) => Err(Unreachable::from_head(answer.status, &answer.headers)),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The proxy of the settings, for every address; without one, what the environment says, and
/// what it excepts by `NO_PROXY`.
fn proxies(proxy_url: Option<&Secret>) -> Result<Matcher, SetupError> {
    let Some(proxy_url) = proxy_url else { return Ok(Matcher::from_env()) };
    let proxies = Matcher::builder().all(proxy_url.expose()).build();
    let somewhere = Uri::from_static("https://bitbucket.invalid/");
    match proxies.intercept(&somewhere) {
        Some(proxy) if proxy.uri().scheme_str() == Some("http") => Ok(proxies),
        _ => Err(SetupError::ProxyUrl),
    }
}

impl Addresses {
    fn new(settings: &Bitbucket) -> Result<Self, SetupError> {
        let uri = |text: &str, setting| text.parse().map_err(|_| SetupError::Address(setting));
        let optional = |url: &Option<Url>, setting| {
            url.as_ref().map(|url| uri(url.as_str(), setting)).transpose()
        };
        let base = settings.url.as_str().trim_end_matches('/');
        Ok(Self {
            api: format!("{base}/rest/api/latest"),
            status: uri(&format!("{base}/status"), "bitbucket.url")?,
            token: uri(settings.token_url.as_str(), "bitbucket.token_url")?,
            whoami: optional(&settings.whoami_url, "bitbucket.whoami_url")?,
            revoke: optional(&settings.revoke_url, "bitbucket.revoke_url")?,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Uri> {
        [&self.status, &self.token].into_iter().chain(&self.whoami).chain(&self.revoke)
    }
}

/// A word of Bitbucket's for a message of ours: visible ASCII, 64 characters at most.
fn printable(word: &str) -> String {
    word.chars().filter(char::is_ascii_graphic).take(64).collect()
}
