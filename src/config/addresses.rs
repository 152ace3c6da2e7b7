//! Addresses as they are written in settings: URLs, listeners, networks.
//!
//! No message quotes a URL: one written by mistake may hold a password.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::uri::Authority;
use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

use super::faults::quoted;
use super::settings::{CodescanUrl, ListenAddress, TrustedProxies};
use crate::secret::Secret;

/// `sun_path` of Linux holds 108 bytes, a closing NUL among them (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// An absolute `http` or `https` URL without credentials.
pub(super) fn web_url(text: &str) -> Result<Url, String> {
    let url = any_web_url(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".into());
    }
    Ok(url)
}

/// The `url` crate mends what browsers mend (blanks, backslashes, missing slashes); whoever
/// wrote such a thing meant something else.
fn any_web_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("is empty; write a URL that begins with http:// or https://".into());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("must not hold blanks, control characters or backslashes".into());
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err("must begin with http:// or https://".into());
    }
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
    if url.port() == Some(0) {
        return Err("must not name port 0".into());
    }
    Ok(url)
}

/// `bitbucket.url`: no slash at its end, so that paths can be put behind it.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let mut url = web_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// What stands at `path` below a base URL.
pub(super) fn below(base: &Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}

/// An endpoint; it may have a query but no fragment (RFC 6749 §3.1).
pub(super) fn endpoint_url(text: &str) -> Result<Url, String> {
    let url = web_url(text)?;
    if url.fragment().is_some() {
        return Err("must not hold a fragment".into());
    }
    Ok(url)
}

/// `bitbucket.redirect_url`, kept as it was written: Bitbucket compares characters.
pub(super) fn redirect_url(text: &str) -> Result<String, String> {
    endpoint_url(text).map(|_| text.to_owned())
}

/// `bitbucket.proxy_url`, which may have a user name and password.
pub(super) fn proxy_url(text: &str) -> Result<Secret, String> {
    let url = any_web_url(text)?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a path, a query or a fragment".into());
    }
    Ok(Secret::new(text))
}

/// `codescan.url`: no path, since requests bring their own.
pub(super) fn codescan_url(text: &str) -> Result<CodescanUrl, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(CodescanUrl::Unix);
    }
    let url = web_url(text).map_err(|problem| match problem.strip_prefix("must begin with") {
        Some(_) => "must begin with http://, https:// or unix:/".to_owned(),
        None => problem,
    })?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a path, a query or a fragment; requests bring their own".into());
    }
    let (authority, host) = authority_and_host(&url)?;
    let port = url.port_or_known_default().unwrap_or(80);
    Ok(match url.scheme() {
        "https" => CodescanUrl::Https { authority, host, port },
        _ => CodescanUrl::Http { authority, host, port },
    })
}

/// The authority for `Host`, and the host as resolvers and TLS want it: no brackets.
fn authority_and_host(url: &Url) -> Result<(Authority, String), String> {
    let host = url.host().ok_or("names no host")?;
    let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    let authority = authority.parse().map_err(|_| "names a host that HTTP cannot carry")?;
    let bare = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Ok((authority, bare))
}

/// `server.listen`.
pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    match text.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(ListenAddress::Unix),
        None => {
            tcp_address(text).map(ListenAddress::Tcp).map_err(|it| format!("{it}, or unix:/path"))
        }
    }
}

/// `admin.listen`.
pub(super) fn tcp_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "is not an address to listen on ({}); write an IP address and a port, such as \
             0.0.0.0:8080 or [::]:8080",
            quoted(text)
        )
    })
}

fn socket_path(text: &str) -> Result<PathBuf, String> {
    if !Path::new(text).is_absolute() || text.ends_with('/') {
        return Err("must name a socket by its whole path, such as unix:/run/codescan.sock".into());
    }
    if text.len() > LONGEST_SOCKET_PATH || text.contains('\0') {
        return Err(format!(
            "must have a path of at most {LONGEST_SOCKET_PATH} bytes, none of them 0"
        ));
    }
    Ok(PathBuf::from(text))
}

/// One entry of `server.trusted_proxies`.
pub(super) enum TrustedPeer {
    Unix,
    Network(IpNet),
}

pub(super) fn trusted_peer(text: &str) -> Result<TrustedPeer, String> {
    if text == "unix" {
        return Ok(TrustedPeer::Unix);
    }
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        format!(
            "has {}, which is not a network; write 10.0.0.0/8, 2001:db8::/32 or unix",
            quoted(text)
        )
    })?;
    Ok(TrustedPeer::Network(canonical(network.trunc())))
}

pub(super) fn trusted_proxies(peers: Vec<TrustedPeer>) -> TrustedProxies {
    let mut trusted = TrustedProxies::default();
    for peer in peers {
        match peer {
            TrustedPeer::Unix => trusted.unix = true,
            TrustedPeer::Network(network) => trusted.networks.push(network),
        }
    }
    trusted
}

/// Peers are compared as IPv4 where they can be, so a network of mapped addresses is too.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(address) = network.addr().to_canonical() else { return network };
    let length = match network {
        IpNet::V4(_) => return network,
        IpNet::V6(mapped) => mapped.prefix_len().checked_sub(96),
    };
    length.and_then(|length| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}
