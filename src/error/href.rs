//! Where a link of a page may lead: into this installation, and nowhere else.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::public_url::PublicUrl;

/// RFC 3986 §2.3, and `/`, which a query may hold as it is.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An address below `server.public_url`, or a path on the same origin. It cannot hold a scheme
/// or host that somebody else chose, so no `javascript:` and no open redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Href(String);

impl Href {
    /// A path on the same origin, perhaps with a query; `None` for what a browser could read
    /// as something else.
    pub fn path(path: &str) -> Option<Self> {
        let bytes = path.as_bytes();
        let rooted = bytes.first() == Some(&b'/') && bytes.get(1) != Some(&b'/');
        // Browsers take `\` for `/` and drop tabs and line ends (WHATWG URL §4.4).
        let plain = bytes.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'\\');
        (rooted && plain).then(|| Self(path.to_owned()))
    }

    /// The address that opens `CodeScan` itself.
    pub fn home(public_url: &PublicUrl) -> Self {
        Self(public_url.at("/"))
    }

    /// The address that starts a login and afterwards leads to `return_to`, which is checked
    /// there and here only encoded.
    pub fn sign_in(public_url: &PublicUrl, return_to: &str) -> Self {
        let start = public_url.at("/_codescan/oauth2/authorize");
        if return_to == "/" {
            return Self(start);
        }
        Self(format!("{start}?rd={}", utf8_percent_encode(return_to, QUERY_VALUE)))
    }

    /// The page that asks whether to sign out.
    pub fn sign_out(public_url: &PublicUrl) -> Self {
        Self(public_url.at("/_codescan/oauth2/logout"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
