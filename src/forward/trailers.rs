//! Trailer fields: which may pass, and which never (RFC 9110 §6.5.1).
//!
//! Some servers merge them into the head. So nothing passes that frames, routes or authenticates
//! a message, changes how it is handled, or says what only the proxy may say.

use std::sync::Arc;

use http::header::TRAILER;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::fields::{Reserved, is_hop_by_hop, named_in_connection, same_but_for_underscores};

/// Names that mean something only in a head.
#[rustfmt::skip]
const OF_THE_HEAD: &[&str] = &[
    // Routing and framing.
    "host", "via", "max-forwards", "http2-settings", "alt-svc", "alt-used", "early-data",
    // How a message is to be handled.
    "age", "allow", "cache-control", "cdn-cache-control", "date", "etag", "expect", "expires",
    "from", "last-modified", "location", "origin", "pragma", "prefer", "priority", "range",
    "referer", "refresh", "retry-after", "user-agent", "vary", "warning", "x-http-method",
    "x-http-method-override", "x-method-override", "x-requested-with", "link",
    // Who somebody is.
    "authorization", "authentication-info", "proxy-authentication-info", "www-authenticate",
    "cookie", "cookie2", "set-cookie", "set-cookie2", "remote-user", "remote-addr", "client-ip",
    "true-client-ip", "x-client-ip", "x-cluster-client-ip", "cf-connecting-ip", "x-remote-user",
    "x-user", "x-csrf-token", "x-xsrf-token", "x-ausername", "forwarded",
    // What only the proxy says.
    "x-request-id", "x-correlation-id", "traceparent", "tracestate", "baggage",
];

/// Beginnings of such names. `content-` but for the digest, which is made for trailers.
#[rustfmt::skip]
const FAMILIES_OF_THE_HEAD: &[&str] = &[
    "content-", "accept", "if-", "sec-", "proxy-", "access-control-", "cross-origin-", "x-auth-",
    "x-forwarded", "x-original", "x-rewrite", "x-real-ip", "x-ssl-", "x-sonar", "strict-transport-",
    "clear-site-", "x-frame-", "x-content-", "x-xss-",
];

/// May follow a body (RFC 9530 §2).
const DIGEST: &str = "content-digest";

/// Whether a field of this name may stand in a trailer section at all, in any spelling: servers
/// behind us may read `_` as `-`.
fn may_trail(name: &HeaderName) -> bool {
    let text = name.as_str();
    let begins = |family: &&str| {
        text.get(..family.len()).is_some_and(|start| same_but_for_underscores(start, family))
    };
    let is_one = |other: &&str| same_but_for_underscores(text, other);
    text == DIGEST
        || !(is_hop_by_hop(name)
            || OF_THE_HEAD.iter().any(is_one)
            || FAMILIES_OF_THE_HEAD.iter().any(begins))
}

/// Whether a client's trailer field goes through to `CodeScan`. `named` are the names in its
/// `Connection`.
pub fn reaches_codescan(name: &HeaderName, reserved: &Reserved, named: &[HeaderName]) -> bool {
    may_trail(name) && !named.contains(name) && !reserved.holds(name.as_str())
}

/// What of one request's trailers goes through to `CodeScan`.
pub struct Upwards {
    reserved: Arc<Reserved>,
    named: Vec<HeaderName>,
}

impl Upwards {
    /// For a request whose head has these fields.
    pub fn new(head: &HeaderMap, reserved: &Arc<Reserved>) -> Self {
        Self { reserved: Arc::clone(reserved), named: named_in_connection(head) }
    }

    pub fn filter(&self, trailers: &HeaderMap) -> HeaderMap {
        only(trailers, |name| reaches_codescan(name, &self.reserved, &self.named))
    }
}

/// What of an answer's trailers the client gets. `named` are the names in its `Connection`.
pub fn for_client(trailers: &HeaderMap, named: &[HeaderName]) -> HeaderMap {
    only(trailers, |name| reaches_client(name, named))
}

fn reaches_client(name: &HeaderName, named: &[HeaderName]) -> bool {
    may_trail(name) && !named.contains(name)
}

fn only(trailers: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let passing = trailers.iter().filter(|(name, _)| passes(name));
    passing.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Leaves in an answer's `Trailer` the names that will be let pass.
pub fn announce_to_client(head: &mut HeaderMap, named: &[HeaderName]) {
    match announced(head, |name| reaches_client(name, named)) {
        Some(list) => head.insert(TRAILER, list),
        None => head.remove(TRAILER),
    };
}

/// The names of `Trailer` that pass, as one field.
pub fn announced(head: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> Option<HeaderValue> {
    let fields = head.get_all(TRAILER).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    let names: Vec<HeaderName> = names.filter(passes).collect();
    let list = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&list).ok().filter(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(name: &str) -> bool {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let reserved = Reserved::new(&[HeaderName::from_static("x-codescan-who")]);
        reaches_codescan(&name, &reserved, &[HeaderName::from_static("x-hop")])
    }

    #[test]
    fn what_is_known_at_the_end_only_may_follow() {
        for name in ["x-checksum", "digest", "repr-digest", "content-digest", "server-timing"] {
            assert!(passes(name), "{name}");
        }
    }

    #[test]
    fn what_frames_routes_or_names_somebody_never_follows() {
        for name in [
            "content-length",
            "content_length",
            "transfer-encoding",
            "host",
            "connection",
            "te",
            "trailer",
            "upgrade",
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "x-forwarded-login",
            "x_forwarded_for",
            "x-forwarded",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-request-id",
            "x_request_id",
            "traceparent",
            "via",
            "content-type",
            "content_type",
            "content-encoding",
            "if-match",
            "range",
            "expect",
            "cache-control",
            "max-forwards",
            "x-codescan-who",
            "x_codescan_who",
            "x-hop",
            "origin",
            "sec-fetch-site",
            "accept",
            "x-http-method-override",
        ] {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn only_names_that_pass_are_announced() {
        let mut head = HeaderMap::new();
        for value in ["X-Sum, Authorization", "set-cookie,, x-other"] {
            head.append(TRAILER, HeaderValue::from_static(value));
        }
        announce_to_client(&mut head, &[]);
        assert_eq!(head.get_all(TRAILER).iter().collect::<Vec<_>>(), ["x-sum, x-other"]);
        head.insert(TRAILER, HeaderValue::from_static("cookie"));
        announce_to_client(&mut head, &[]);
        assert!(!head.contains_key(TRAILER));
    }
}
