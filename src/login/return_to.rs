//! Where a person goes after a login or logout: a place at our own origin, nothing else.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use super::callback::{self, Share};
use crate::config::public_url::PublicUrl;

/// Bytes of a destination with its query; a longer one is cut to its path.
const LONGEST: usize = 2048;

/// Path and query below `public_url`, as a browser would resolve them. Made by the check only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The start page.
    pub fn home(public_url: &PublicUrl) -> Self {
        Self(format!("{}/", public_url.prefix()))
    }

    /// Judges `wanted` as a browser on our origin would resolve it (WHATWG URL); what leads
    /// elsewhere becomes the start page.
    pub fn parse(wanted: &str, public_url: &PublicUrl) -> Self {
        Self::judge(wanted, public_url, 0).unwrap_or_else(|| Self::home(public_url))
    }

    /// `depth` bounds `/sessions/new?return_to=/sessions/new?…`.
    fn judge(wanted: &str, public_url: &PublicUrl, depth: u8) -> Option<Self> {
        // Only a path is a place of ours; browsers drop tabs and line ends and read `\` before
        // the query as `/`, so nothing that holds one is worth resolving.
        let odd = |c: char| c.is_control() || c.is_whitespace();
        let path = wanted.split(['?', '#']).next().unwrap_or_default();
        if !path.starts_with('/') || path.contains('\\') || wanted.contains(odd) || depth > 2 {
            return None;
        }
        let base = Url::parse(public_url.origin()).ok()?;
        let url = base.join(wanted).ok()?;
        // "//host" and "/.//host" both end up as a path or host that a later reader may take for
        // an authority.
        if url.origin() != base.origin() || url.path().starts_with("//") {
            return None;
        }
        // CodeScan reads escapes, so what stands for its login page is told by the decoded path.
        let place = percent_decode_str(below(url.path(), public_url.prefix())?).decode_utf8_lossy();
        if place == "/sessions/new" {
            let (_, inner) = url.query_pairs().find(|(name, _)| name == "return_to")?;
            return Self::judge(&inner, public_url, depth + 1);
        }
        if is_never_a_destination(&place, url.query()) {
            return None;
        }
        Self::bounded(&url)
    }

    fn bounded(url: &Url) -> Option<Self> {
        let path = url.path();
        match url.query() {
            Some(query) if path.len() + 1 + query.len() <= LONGEST => {
                Some(Self(format!("{path}?{query}")))
            }
            _ if path.len() <= LONGEST => Some(Self(path.to_owned())),
            _ => None,
        }
    }

    /// The absolute address, so that no reader can take the path for a host.
    pub fn absolute(&self, public_url: &PublicUrl) -> String {
        format!("{}{}", public_url.origin(), self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    rest.starts_with('/').then_some(rest)
}

/// `CodeScan`'s own login pages, and our addresses that would start the round again.
fn is_never_a_destination(place: &str, query: Option<&str>) -> bool {
    let sessions = place == "/sessions" || place.starts_with("/sessions/");
    let own = match place.strip_prefix("/_codescan/oauth2/") {
        Some("logout" | "userinfo" | "auth") => true,
        // With a query it is CodeScan's own callback, which is worth going on to.
        Some("authorize") => callback::share(query.unwrap_or_default()) != Share::Theirs,
        _ => false,
    };
    sessions || own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(wanted: &str) -> String {
        let public_url = PublicUrl::parse("https://cs.example").expect("a URL");
        ReturnTo::parse(wanted, &public_url).to_string()
    }

    #[test]
    fn places_of_ours_are_kept() {
        for place in ["/", "/a/b?c=d&e=%2F", "/a?q=https://x.example/", "/%2F%2Fevil", "/é"] {
            let wanted = if place == "/é" { "/%C3%A9" } else { place };
            assert_eq!(judged(place), wanted);
        }
        assert_eq!(judged("/a#fragment"), "/a");
        assert_eq!(judged("/a/../b"), "/b");
    }

    #[test]
    fn places_elsewhere_become_the_start_page() {
        for wanted in [
            "",
            "a",
            "//evil",
            "/\\evil",
            "\\/evil",
            "/\t/evil",
            "/.//evil",
            "/%2e//evil",
            "/..//evil",
            "https://evil",
            "https://cs.example@evil/",
            "javascript:alert(1)",
            "/\u{a0}/evil",
            "/\n/evil",
            "///evil",
            "/a\r\nLocation: https://evil",
        ] {
            assert_eq!(judged(wanted), "/", "{wanted:?}");
        }
    }

    #[test]
    fn login_pages_stand_for_where_they_lead() {
        assert_eq!(judged("/sessions/new?return_to=%2Fprojects%3Fx%3D1"), "/projects?x=1");
        assert_eq!(judged("/sessions/new?return_to=//evil"), "/");
        assert_eq!(judged("/sessions/new"), "/");
        assert_eq!(judged("/sessions/logout"), "/");
        assert_eq!(judged("/sessions/new?return_to=/sessions/new?return_to=/a"), "/a");
        assert_eq!(judged("/sessionsx"), "/sessionsx");
    }

    #[test]
    fn our_own_addresses_are_no_destination_but_the_shared_callback_is() {
        assert_eq!(judged("/_codescan/oauth2/authorize"), "/");
        assert_eq!(judged("/_codescan/oauth2/authorize?rd=/x"), "/");
        assert_eq!(judged("/_codescan/oauth2/authorize?code=a&state=cop1.b"), "/");
        assert_eq!(judged("/_codescan/oauth2/logout?done"), "/");
        let foreign = "/_codescan/oauth2/authorize?code=a&state=b";
        assert_eq!(judged(foreign), foreign);
    }

    #[test]
    fn long_destinations_are_cut() {
        let path = format!("/{}", "p".repeat(1000));
        assert_eq!(judged(&format!("{path}?{}", "q".repeat(2000))), path);
        assert_eq!(judged(&format!("/{}", "p".repeat(2048))), "/");
    }

    #[test]
    fn a_prefix_is_kept_and_not_left() {
        let public_url = PublicUrl::parse("https://cs.example/cs").expect("a URL");
        assert_eq!(ReturnTo::parse("/cs/a", &public_url).as_str(), "/cs/a");
        assert_eq!(ReturnTo::parse("/other", &public_url).as_str(), "/cs/");
        assert_eq!(ReturnTo::parse("/cs/../other", &public_url).as_str(), "/cs/");
    }
}
