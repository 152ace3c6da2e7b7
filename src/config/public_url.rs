//! `server.public_url`: the one truth about how browsers reach the place.

use url::{Host, Url};

use super::addresses::web_url;

/// Origin and optional path prefix that browsers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    authority: String,
    port: u16,
    https: bool,
    prefix: String,
    loopback: bool,
}

impl PublicUrl {
    /// Reads an `http` or `https` URL without credentials, query or fragment, of a host that a
    /// browser can go to. The error is one sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = web_url(text)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not hold a query or a fragment".into());
        }
        let host = url.host().ok_or("names no host")?;
        if is_unspecified(&host) {
            return Err("names an address to listen on; write the one that browsers go to".into());
        }
        let authority =
            url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        Ok(Self {
            origin: format!("{}://{authority}", url.scheme()),
            authority,
            port: url.port_or_known_default().unwrap_or(80),
            https: url.scheme() == "https",
            prefix: prefix(&url)?,
            loopback: is_loopback(&host),
        })
    }

    /// `https://codescan.example.com`, without the prefix (RFC 6454 §6.2).
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host, and the port where it is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The port that browsers connect to, written out or not.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether browsers reach it on their own machine only.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The path prefix: empty, or beginning with `/` and not ending with it.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The absolute address of `path` (which begins with `/`) below the prefix.
    pub fn at(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.prefix)
    }
}

/// The path without its last slash. Only what is the same raw, decoded and normalised, so that
/// nobody has to ask in which form a request's path begins with it.
fn prefix(url: &Url) -> Result<String, String> {
    let prefix = url.path().trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    if prefix.contains("//") || !prefix.chars().all(plain) {
        return Err("may have letters, digits and - . _ ~ only in its path prefix".into());
    }
    if prefix.split('/').any(|segment| segment == "_codescan") {
        return Err("must be what stands before /_codescan/; leave the rest to \
             bitbucket.redirect_url"
            .into());
    }
    Ok(prefix.to_owned())
}

fn is_unspecified(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => address.is_unspecified(),
        Host::Ipv6(address) => address.is_unspecified(),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
