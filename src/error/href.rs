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

    /// The address as it stands in `href` or `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_same_origin_are_links() {
        for good in ["/", "/projects?id=a&b=%2F%2Fc#top", "/_codescan/oauth2/logout", "/a//b"] {
            assert_eq!(Href::path(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " /",
            "data:text/html,x",
            "a/b",
            "?a",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\\\\evil",
            "https://evil.example/",
            "/a b",
            "/\u{e9}",
            "/a\\b",
            "/\0",
        ];
        for bad in bad {
            assert_eq!(Href::path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_destination_stays_inside_the_query_of_the_sign_in_link() {
        let public_url = PublicUrl::parse("https://example.com/scan").unwrap();
        let start = "https://example.com/scan/_codescan/oauth2/authorize";
        let cases = [
            ("/", start.to_owned()),
            ("/a?b=c&d", format!("{start}?rd=/a%3Fb%3Dc%26d")),
            ("javascript:x", format!("{start}?rd=javascript%3Ax")),
            ("/\"><script>#\r\n", format!("{start}?rd=/%22%3E%3Cscript%3E%23%0D%0A")),
            ("/ä", format!("{start}?rd=/%C3%A4")),
        ];
        for (return_to, expected) in cases {
            assert_eq!(Href::sign_in(&public_url, return_to).as_str(), expected);
        }
    }
}
