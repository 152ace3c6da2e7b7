//! Header fields on their way through: what is removed, what is cut, what is set.
//!
//! Towards `CodeScan` the head is built anew: what came is copied with what must go left out,
//! and only then is ours added, so that nothing in `Connection` can name it away
//! (RFC 9110 §7.6.1).

use http::header::{CACHE_CONTROL, CONNECTION, COOKIE, HOST, SET_COOKIE, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarded::{Forwarded, PublicFields};

/// Names that a client may not use, as they are nobody's to set but ours.
#[derive(Debug, Clone, Default)]
pub struct Reserved(Vec<String>);

impl Reserved {
    /// Of the names of `[codescan.headers]`.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        Self(names.into_iter().map(|name| name.as_str().replace('_', "-")).collect())
    }

    /// Whether `name` is reserved, in any spelling: servers behind us may read `_` as `-`.
    pub fn holds(&self, name: &str) -> bool {
        is_forwarding(name)
            || self.0.iter().any(|reserved| same_but_for_underscores(name, reserved))
    }
}

/// `X-Forwarded-*`, `X-Original-*`, `X-Rewrite-*`, `X-Real-IP`, `Forwarded`.
fn is_forwarding(name: &str) -> bool {
    const FAMILIES: [&str; 4] = ["x-forwarded", "x-original", "x-rewrite", "x-real-ip"];
    let family = |family: &&str| {
        name.get(..family.len()).is_some_and(|start| same_but_for_underscores(start, family))
            && matches!(name.as_bytes().get(family.len()), None | Some(b'-' | b'_'))
    };
    name == "forwarded" || (name.starts_with('x') && FAMILIES.iter().any(family))
}

fn same_but_for_underscores(name: &str, dashed: &str) -> bool {
    name.len() == dashed.len()
        && name.bytes().zip(dashed.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// What becomes of the client's `Cookie`.
pub enum Cookies<'a> {
    /// Ours are cut out, the others pass byte for byte.
    Cut(&'a dyn Fn(&HeaderValue) -> Option<HeaderValue>),
    Removed,
}

/// How to make the head that `CodeScan` gets of the one that came.
pub struct Plan<'a> {
    pub reserved: &'a Reserved,
    pub cookies: Cookies<'a>,
    /// HTTP/2 may bring each cookie in a field of its own; HTTP/1.1 has one (RFC 9113 §8.2.3).
    pub joins_cookies: bool,
    /// Whether the client's own `Authorization` goes through.
    pub keep_authorization: bool,
    /// Set last.
    pub set: &'a [(HeaderName, HeaderValue)],
    pub host: &'a HeaderValue,
    pub forwarded: &'a Forwarded,
    pub public: &'a PublicFields,
    pub request_id: &'a HeaderValue,
    pub trace: &'a Trace,
    /// The protocol asked for, if an upgrade is to be forwarded.
    pub upgrade: Option<&'a HeaderValue>,
}

/// W3C Trace Context of a request.
pub struct Trace {
    pub traceparent: HeaderValue,
    /// Passed on only together with a `traceparent` that came.
    pub keep_tracestate: bool,
}

impl Plan<'_> {
    /// Writes the fields of the request to `CodeScan`, without those that frame its body.
    pub fn write_fields(&self, incoming: &HeaderMap, out: &mut Vec<u8>) {
        let named = named_in_connection(incoming);
        write_field(out, HOST.as_str(), self.host);
        for (name, value) in incoming {
            if self.passes(name, &named) {
                write_field(out, name.as_str(), value);
            }
        }
        self.write_cookies(incoming, out);
        self.forwarded.write(self.public, out);
        self.write_ours(out, &REQUEST_ID, self.request_id);
        self.write_ours(out, &TRACEPARENT, &self.trace.traceparent);
        if let Some(protocol) = self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\n");
            write_field(out, UPGRADE.as_str(), protocol);
        }
        for (name, value) in self.set {
            write_field(out, name.as_str(), value);
        }
    }

    /// A field of ours, unless `[codescan.headers]` sets it.
    fn write_ours(&self, out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
        if !self.set.iter().any(|(set, _)| set == name) {
            write_field(out, name.as_str(), value);
        }
    }

    fn passes(&self, name: &HeaderName, named: &[HeaderName]) -> bool {
        if is_hop_by_hop(name) || named.contains(name) {
            return false;
        }
        match name.as_str() {
            // Set by us, or copied by a rule of their own.
            "host" | "cookie" | "content-length" | "x-request-id" | "traceparent" => false,
            "authorization" => self.keep_authorization,
            "tracestate" => self.trace.keep_tracestate,
            name => !self.reserved.holds(name),
        }
    }

    fn write_cookies(&self, incoming: &HeaderMap, out: &mut Vec<u8>) {
        let Cookies::Cut(cut) = self.cookies else { return };
        let between = if self.joins_cookies { "; " } else { "\r\ncookie: " };
        let mut before = "cookie: ";
        for rest in incoming.get_all(COOKIE).iter().filter_map(cut) {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(rest.as_bytes());
            before = between;
        }
        if before == between {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// One line of a head. Name and value were parsed, so they hold no line end.
fn write_field(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Names the request in the logs of every server it passes.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Fields that are between two neighbours only (RFC 9110 §7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Whether the request asks to go on as WebSocket (RFC 6455 §4.1); no other protocol is let on.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut wanted = headers.get_all(UPGRADE).iter();
    let only_websocket = match (wanted.next(), wanted.next()) {
        (Some(protocol), None) => protocol.as_bytes().eq_ignore_ascii_case(b"websocket"),
        _ => false,
    };
    only_websocket && named_in_connection(headers).contains(&UPGRADE)
}

/// Makes the fields of an answer of `CodeScan` those that the client gets.
pub fn clean_response(
    headers: &mut HeaderMap,
    sets_ours: &dyn Fn(&HeaderValue) -> bool,
    keep_upgrade: bool,
) {
    let upgrade = keep_upgrade.then(|| headers.get(UPGRADE).cloned()).flatten();
    for name in named_in_connection(headers) {
        headers.remove(name);
    }
    let hop_by_hop: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in hop_by_hop {
        // Not between neighbours, but what the answer says of its trailers and of the realm.
        if name != TRAILER {
            headers.remove(name);
        }
    }
    if headers.get_all(SET_COOKIE).iter().any(sets_ours) {
        drop_set_cookies(headers, sets_ours);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

fn drop_set_cookies(headers: &mut HeaderMap, sets_ours: &dyn Fn(&HeaderValue) -> bool) {
    let kept: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).iter().filter(|field| !sets_ours(field)).cloned().collect();
    headers.remove(SET_COOKIE);
    for field in kept {
        headers.append(SET_COOKIE, field);
    }
}

/// Adds `private` to `Cache-Control`, unless the answer says who may store it: a shared cache
/// does not see the `Authorization` that we added (RFC 9111 §3.5).
pub fn keep_from_shared_caches(headers: &mut HeaderMap) {
    let decided = headers.get_all(CACHE_CONTROL).iter().any(|field| {
        field.as_bytes().split(|byte| *byte == b',').any(|directive| {
            let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default();
            let name = name.trim_ascii();
            [&b"public"[..], b"private", b"no-store"]
                .iter()
                .any(|decision| name.eq_ignore_ascii_case(decision))
        })
    });
    if !decided {
        headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}
