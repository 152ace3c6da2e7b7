//! The cross-site rule: what the session cookie authenticates must come from our own pages.
//!
//! `CodeScan`'s CSRF check covers its own cookies only and does not see credentials that a proxy
//! injects; and `SameSite=Lax` lets sibling subdomains through (RFC 6265bis §8.8).

use http::HeaderMap;
use http::header::ORIGIN;

use super::Asked;
use crate::config::public_url::PublicUrl;

/// Whether a request that could change something came from another origin.
pub fn is_foreign(asked: &Asked<'_>, public_url: &PublicUrl) -> bool {
    // A WebSocket handshake is a GET, but opens a channel that changes things.
    if asked.method.is_safe() && !asked.is_upgrade {
        return false;
    }
    is_foreign_origin(asked.headers, public_url)
}

/// `Sec-Fetch-Site` decides if it is there, else `Origin`; neither: not a browser's doing.
pub fn is_foreign_origin(headers: &HeaderMap, public_url: &PublicUrl) -> bool {
    if headers.contains_key("sec-fetch-site") {
        let own = |value: &[u8]| value == b"same-origin" || value == b"none";
        return !headers.get_all("sec-fetch-site").iter().all(|value| own(value.as_bytes()));
    }
    let own = |value: &[u8]| value.eq_ignore_ascii_case(public_url.origin().as_bytes());
    !headers.get_all(ORIGIN).iter().all(|value| own(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn sec_fetch_site_decides_before_origin() {
        let public_url = PublicUrl::parse("https://cs.example:8443/prefix").expect("a URL");
        let table: [(&[(&'static str, &'static str)], bool); 10] = [
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://cs.example:8443")], true),
            (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "https://cs.example:8443")], false),
            (&[("origin", "https://cs.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "https://cs.example:8443.evil.example")], true),
        ];
        for (fields, wanted) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_foreign_origin(&headers, &public_url), wanted, "{fields:?}");
        }
    }
}
