//! The settings as the rest of the program sees them: typed, checked, impossible to misuse.
//!
//! Nothing here reads files or the environment; [`super::sources`] does, and [`super::keys`]
//! says what there is to read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use url::Url;
use zeroize::Zeroizing;

use super::public_url::PublicUrl;
use super::rule::RouteRule;
use super::template::Template;
use crate::secret::Secret;

/// One consistent reading of all settings. A reload makes a new one.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    pub admin: Admin,
    pub bitbucket: Bitbucket,
    pub codescan: Codescan,
    pub session: Session,
    pub access: Access,
    pub log: Log,
}

/// `[server]`: the public listener.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: ListenAddress,
    pub public_url: PublicUrl,
    /// The listener's certificate chain and its key: both or neither.
    pub tls_certificate_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    pub trusted_proxies: TrustedProxies,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Permission bits of a unix listener's socket file.
    pub socket_mode: u32,
    pub workers: NonZeroUsize,
    /// Connections of clients at a time, in all workers together.
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    /// Bytes of a request head.
    pub max_header_size: usize,
    /// Bytes of a request body; `None` is no limit.
    pub max_body_size: Option<u64>,
    pub drain_delay: Duration,
    /// From SIGTERM to exit, `drain_delay` included.
    pub drain_timeout: Duration,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// As it is written in the settings.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Peers whose `X-Forwarded-For`, `X-Request-Id` and `traceparent` are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    pub networks: Vec<IpNet>,
    /// The word `unix` in the list: peers on a unix socket.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether `address` lies in one of the networks (an IPv4-mapped IPv6 address counts as IPv4).
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// `[admin]`: health and metrics.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    pub ready_needs: Vec<ReadyNeed>,
}

/// What must answer for `/readyz` to be 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyNeed {
    Codescan,
    Store,
}

/// `[bitbucket]`: the OAuth 2.0 provider.
#[derive(Debug, Clone)]
pub struct Bitbucket {
    /// Base URL, context path included, no trailing slash.
    pub url: Url,
    pub client_id: String,
    pub client_secret: Secret,
    /// As the application link has it, character for character.
    pub redirect_url: String,
    pub scopes: Vec<String>,
    /// For browsers.
    pub authorize_url: Url,
    /// Called by the proxy.
    pub token_url: Url,
    /// `None`: identity is not asked for.
    pub whoami_url: Option<Url>,
    /// RFC 7009, where an installation has one.
    pub revoke_url: Option<Url>,
    pub ca_file: Option<PathBuf>,
    /// For one whole call.
    pub timeout: Duration,
    pub proxy_url: Option<Secret>,
}

/// `[codescan]`: the upstream.
#[derive(Debug, Clone)]
pub struct Codescan {
    pub url: CodescanUrl,
    pub ca_file: Option<PathBuf>,
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub connect_timeout: Duration,
    /// From the last byte of the request to the response head.
    pub response_timeout: Duration,
    /// Of the whole program.
    pub max_connections: usize,
    /// Names of `CodeScan`'s own login cookies.
    pub session_cookies: Vec<String>,
    pub preserve_host: bool,
    /// Where `CodeScan` offers it; over `http` and a socket it must.
    pub http2: bool,
    /// A 401 to a request that is safe to repeat may mean that its token has died.
    pub retry_on_401: bool,
    /// `[codescan.headers]`, in the order of the file.
    pub headers: Vec<HeaderTemplate>,
}

/// How `CodeScan` is reached. No path: the request's own is forwarded as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodescanUrl {
    Http { authority: http::uri::Authority, host: String, port: u16 },
    Https { authority: http::uri::Authority, host: String, port: u16 },
    Unix(PathBuf),
}

impl CodescanUrl {
    /// The `Host` to send when the client's is not preserved.
    pub fn host_field(&self) -> &str {
        match self {
            Self::Http { authority, .. } | Self::Https { authority, .. } => authority.as_str(),
            Self::Unix(_) => "localhost",
        }
    }
}

/// One line of `[codescan.headers]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTemplate {
    pub name: HeaderName,
    pub value: Template,
}

/// `[session]`: how long a login lives, and in which cookie.
#[derive(Debug, Clone)]
pub struct Session {
    pub store: Store,
    /// PEM to trust for the store in addition to the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Sessions held in memory.
    pub capacity: u64,
    pub idle_timeout: Duration,
    pub max_lifetime: Duration,
    /// Live sessions of one person.
    pub per_person: usize,
    pub cookie_name: String,
    /// Whether `cookie_name` was set by hand: the login cookies are then named after it.
    pub cookie_name_is_set: bool,
    /// The first seals, all open. Empty: made at random at start.
    pub cookie_secrets: Vec<CookieSecret>,
    /// How long before they expire tokens are refreshed, at most a quarter of their life.
    pub refresh_before: Duration,
    pub logout_routes: Vec<RouteRule>,
}

/// `session.store`.
#[derive(Debug, Clone)]
pub enum Store {
    Memory,
    Redis(RedisAddress),
}

/// Where a Redis or Valkey is, and how to sign in to it.
#[derive(Debug, Clone)]
pub struct RedisAddress {
    pub kind: RedisKind,
    pub tls: bool,
    /// Names or addresses (IPv6 without brackets) and ports; more than one only where the kind
    /// has several.
    pub hosts: Vec<(String, u16)>,
    pub credentials: RedisCredentials,
    /// Number of the database; 0 in a cluster.
    pub database: u32,
}

/// How many servers there are, and who knows which of them to ask.
#[derive(Debug, Clone)]
pub enum RedisKind {
    Single,
    /// `hosts` are Sentinels, which know the address of `master`.
    Sentinel {
        master: String,
        credentials: RedisCredentials,
    },
    Cluster,
}

/// For `AUTH`; without a user it is the server's default user.
#[derive(Debug, Clone, Default)]
pub struct RedisCredentials {
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}

/// 32 bytes from which the keys of each use are derived. Wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecret(Zeroizing<[u8; 32]>);

impl CookieSecret {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for CookieSecret {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CookieSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(…)")
    }
}

/// `[access]`: who gets through without a session of ours.
#[derive(Debug, Clone)]
pub struct Access {
    pub public: Vec<RouteRule>,
    pub client_tokens: ClientTokens,
}

/// What becomes of a request that brings its own `Authorization` and has no live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTokens {
    Deny,
    Pass,
}

/// `[log]`.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter, checked.
    pub level: String,
    /// One line a request.
    pub access: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}
