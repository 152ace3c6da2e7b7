//! `server.public_url`: the one truth about how browsers reach the place.

use url::Url;

/// Origin and optional path prefix that browsers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    authority: String,
    port: u16,
    https: bool,
    prefix: String,
}

impl PublicUrl {
    /// Reads an `http` or `https` URL without credentials, query or fragment.
    /// The error is one sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must begin with http:// or https://".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not hold a query or a fragment".into());
        }
        let host = url.host_str().ok_or("names no host")?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            origin: format!("{}://{authority}", url.scheme()),
            authority,
            port: url.port_or_known_default().unwrap_or(80),
            https: url.scheme() == "https",
            prefix: url.path().trim_end_matches('/').to_owned(),
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
