//! Gives each setting its type: one line a setting.

use std::path::PathBuf;

use super::addresses::{
    base_url, below, codescan_url, endpoint_url, listen_address, proxy_url, redirect_url,
    tcp_address, trusted_peer, trusted_proxies,
};
use super::credentials::{
    client_id, client_secret, cookie_name, cookie_secret, foreign_cookie_name, scope,
};
use super::headers;
use super::public_url::PublicUrl;
use super::reader::Reader;
use super::rule::RouteRule;
use super::settings::{Access, Admin, Bitbucket, Codescan, Log, Server, Session, Settings};
use super::store_address::store;
use super::values::{
    body_size, client_tokens, count, header_size, lifetime, log_filter, log_format,
    max_connections, path, pause, ready_need, socket_mode, switch, timeout, workers,
};

/// Where the redirection endpoint stands below `server.public_url`.
pub const REDIRECT_PATH: &str = "/_codescan/oauth2/authorize";

/// A struct of values of which each may be missing. All are read before the first missing one
/// ends it, so that every fault is found; `?` within a struct literal would stop at the first.
macro_rules! all {
    ($type:ident { $($field:ident : $value:expr),* $(,)? }) => {{
        $(let $field = $value;)*
        Some($type { $($field: $field?),* })
    }};
}

pub(super) fn settings(read: &mut Reader, terminal: bool) -> Option<Settings> {
    derive(read, terminal);
    all!(Settings {
        server: server(read),
        admin: admin(read),
        bitbucket: bitbucket(read),
        codescan: codescan(read),
        session: session(read),
        access: access(read),
        log: log(read),
    })
}

/// Defaults that depend on other settings or on where the program runs.
fn derive(read: &mut Reader, terminal: bool) {
    let public_url = read.peek("server.public_url", PublicUrl::parse);
    let bitbucket = read.peek("bitbucket.url", base_url);
    let at_bitbucket = |path: &str| bitbucket.as_ref().map(|url| below(url, path));
    let is_https = public_url.as_ref().is_none_or(PublicUrl::is_https);
    let cookie = if is_https { "__Host-codescan_session" } else { "codescan_session" };
    let format = if terminal { "text" } else { "json" };

    read.derive("server.workers", Some(cores().to_string()));
    read.derive("bitbucket.redirect_url", public_url.map(|url| url.at(REDIRECT_PATH)));
    read.derive("bitbucket.authorize_url", at_bitbucket("/rest/oauth2/latest/authorize"));
    read.derive("bitbucket.token_url", at_bitbucket("/rest/oauth2/latest/token"));
    read.derive("bitbucket.whoami_url", at_bitbucket("/rest/api/latest/application-properties"));
    read.derive("session.cookie_name", Some(cookie.into()));
    read.derive("log.format", Some(format.into()));
}

/// Heeds affinity and, on Linux, the quota of the cgroup (documented of the function).
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn server(read: &mut Reader) -> Option<Server> {
    all!(Server {
        listen: read.one("server.listen", listen_address),
        public_url: read.one("server.public_url", PublicUrl::parse),
        tls_certificate_file: read.optional("server.tls_certificate_file", path),
        tls_key_file: read.optional("server.tls_key_file", path),
        trusted_proxies: read.many("server.trusted_proxies", trusted_peer).map(trusted_proxies),
        proxy_protocol: read.one("server.proxy_protocol", switch),
        socket_mode: read.one("server.socket_mode", socket_mode),
        workers: read.one("server.workers", workers),
        max_connections: read.one("server.max_connections", max_connections),
        header_timeout: read.one("server.header_timeout", timeout),
        idle_timeout: read.one("server.idle_timeout", timeout),
        max_header_size: read.one("server.max_header_size", header_size),
        max_body_size: read.one("server.max_body_size", body_size),
        drain_delay: read.one("server.drain_delay", pause),
        drain_timeout: read.one("server.drain_timeout", pause),
    })
}

fn admin(read: &mut Reader) -> Option<Admin> {
    all!(Admin {
        listen: read.one("admin.listen", tcp_address),
        ready_needs: read.many("admin.ready_needs", ready_need),
    })
}

fn bitbucket(read: &mut Reader) -> Option<Bitbucket> {
    all!(Bitbucket {
        url: read.one("bitbucket.url", base_url),
        client_id: read.one("bitbucket.client_id", client_id),
        client_secret: read.one("bitbucket.client_secret", client_secret),
        redirect_url: read.one("bitbucket.redirect_url", redirect_url),
        scopes: read.many("bitbucket.scopes", scope),
        authorize_url: read.one("bitbucket.authorize_url", endpoint_url),
        token_url: read.one("bitbucket.token_url", endpoint_url),
        whoami_url: read.optional("bitbucket.whoami_url", endpoint_url),
        revoke_url: read.optional("bitbucket.revoke_url", endpoint_url),
        ca_file: read.optional("bitbucket.ca_file", path),
        timeout: read.one("bitbucket.timeout", timeout),
        proxy_url: read.optional("bitbucket.proxy_url", proxy_url),
    })
}

fn codescan(read: &mut Reader) -> Option<Codescan> {
    all!(Codescan {
        url: read.one("codescan.url", codescan_url),
        ca_file: read.optional("codescan.ca_file", path),
        client_certificate_file: read.optional("codescan.client_certificate_file", path),
        client_key_file: read.optional("codescan.client_key_file", path),
        connect_timeout: read.one("codescan.connect_timeout", timeout),
        response_timeout: read.one("codescan.response_timeout", timeout),
        max_connections: read.one("codescan.max_connections", |text| count(text, &(1..=1_000_000))),
        session_cookies: read.many("codescan.session_cookies", foreign_cookie_name),
        preserve_host: read.one("codescan.preserve_host", switch),
        http2: read.one("codescan.http2", switch),
        retry_on_401: read.one("codescan.retry_on_401", switch),
        headers: headers::read(read),
    })
}

fn session(read: &mut Reader) -> Option<Session> {
    all!(Session {
        store: read.one("session.store", store),
        ca_file: read.optional("session.ca_file", path),
        capacity: read.one("session.capacity", |text| count(text, &(1..=100_000_000))),
        idle_timeout: read.one("session.idle_timeout", lifetime),
        max_lifetime: read.one("session.max_lifetime", lifetime),
        per_person: read.one("session.per_person", |text| count(text, &(1..=1_000_000))),
        cookie_name: read.one("session.cookie_name", cookie_name),
        cookie_name_is_set: Some(read.is_set("session.cookie_name")),
        cookie_secrets: read.many("session.cookie_secret", cookie_secret),
        refresh_before: read.one("session.refresh_before", lifetime),
        logout_routes: read.many("session.logout_routes", RouteRule::parse),
    })
}

fn access(read: &mut Reader) -> Option<Access> {
    all!(Access {
        public: read.many("access.public", RouteRule::parse),
        client_tokens: read.one("access.client_tokens", client_tokens),
    })
}

fn log(read: &mut Reader) -> Option<Log> {
    all!(Log {
        format: read.one("log.format", log_format),
        level: read.one("log.level", log_filter),
        access: read.one("log.access", switch),
    })
}

/// Files that other rooms open: they must be readable from the start.
pub(super) fn named_files(settings: &Settings) -> Vec<PathBuf> {
    let (server, codescan) = (&settings.server, &settings.codescan);
    let files = [
        &server.tls_certificate_file,
        &server.tls_key_file,
        &settings.bitbucket.ca_file,
        &codescan.ca_file,
        &codescan.client_certificate_file,
        &codescan.client_key_file,
        &settings.session.ca_file,
    ];
    files.into_iter().flatten().cloned().collect()
}
