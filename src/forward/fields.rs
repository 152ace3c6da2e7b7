//! Header fields on their way through: what is removed, what is cut, what is set.
//!
//! Towards `CodeScan` the head is built anew: what came is copied with what must go left out,
//! and only then is ours added, so that nothing in `Connection` can name it away
//! (RFC 9110 §7.6.1).

use std::sync::Arc;

use http::header::{
    CACHE_CONTROL, CONNECTION, COOKIE, EXPECT, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::forwarded::{Forwarded, PublicFields};
use super::sink::{Either, Sink};
use super::trailers;

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

pub(super) fn same_but_for_underscores(name: &str, dashed: &str) -> bool {
    name.len() == dashed.len()
        && name.bytes().zip(dashed.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// Writes what is left of a `Cookie` field without ours; whether anything is.
pub type Cut<'a> = &'a dyn Fn(&[u8], &mut Vec<u8>) -> bool;

/// What becomes of the client's `Cookie`.
pub enum Cookies<'a> {
    /// Ours are cut out, the others pass byte for byte.
    Cut(Cut<'a>),
    Removed,
}

/// Fields that are set in a request, whatever the client sent.
pub trait Own {
    fn sets(&self, name: &HeaderName) -> bool;

    fn write<S: Sink>(&self, out: &mut S);
}

/// How to make the head that `CodeScan` gets of the one that came.
pub struct Plan<'a, O> {
    pub reserved: &'a Arc<Reserved>,
    pub cookies: Cookies<'a>,
    /// Whether the client's own `Authorization` goes through.
    pub keep_authorization: bool,
    /// Set last.
    pub own: &'a O,
    pub host: &'a HeaderValue,
    pub forwarded: &'a Forwarded,
    pub public: &'a PublicFields,
    pub request_id: &'a [u8],
    pub trace: &'a Trace,
    /// The protocol asked for, if an upgrade is to be forwarded.
    pub upgrade: Option<&'a HeaderValue>,
    /// In which version the request came.
    pub version: Version,
    /// Whether trailer fields may follow the body.
    pub may_trail: bool,
    /// Whether the client's `Expect` goes through.
    pub keep_expect: bool,
    /// What is left of the client's `Max-Forwards`, where it counts.
    pub hops_left: Option<u64>,
}

/// W3C Trace Context of a request.
pub struct Trace {
    pub traceparent: [u8; 55],
    /// Passed on only together with a `traceparent` that came.
    pub keep_tracestate: bool,
}

impl<O: Own> Plan<'_, O> {
    /// Writes the fields of the request to `CodeScan`, without those that frame its body.
    pub fn write(&self, incoming: &HeaderMap, out: Either<'_>) {
        match out {
            Either::Lines(lines) => self.write_fields(incoming, lines),
            Either::Map(map) => self.write_fields(incoming, map),
        }
    }

    fn write_fields<S: Sink>(&self, incoming: &HeaderMap, out: &mut S) {
        let named = named_in_connection(incoming);
        let (mut takes_trailers, mut announces_trailers) = (false, false);
        out.host(self.host);
        for (name, value) in incoming {
            if self.passes(name, &named) {
                out.field(name, value);
            } else if *name == TE {
                takes_trailers |= names_trailers(value);
            } else if *name == TRAILER {
                announces_trailers = self.may_trail;
            }
        }
        self.write_cookies(incoming, out);
        self.forwarded.write(self.public, out);
        self.write_ours(out, &VIA, via(self.version));
        self.write_ours(out, &REQUEST_ID, self.request_id);
        self.write_ours(out, &TRACEPARENT, &self.trace.traceparent);
        if let Some(hops) = self.hops_left {
            out.field(&MAX_FORWARDS, &hops.into());
        }
        match self.upgrade {
            Some(protocol) => out.upgrade(protocol),
            None if takes_trailers => out.takes_trailers(),
            None => {}
        }
        if announces_trailers {
            self.write_trailer_names(incoming, &named, out);
        }
        self.own.write(out);
    }

    /// A field of ours, unless `[codescan.headers]` sets it.
    fn write_ours<S: Sink>(&self, out: &mut S, name: &HeaderName, value: &[u8]) {
        if !self.own.sets(name) {
            out.made(name, |out| out.extend_from_slice(value));
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
            "expect" => self.keep_expect,
            "max-forwards" => self.hops_left.is_none(),
            name => !self.reserved.holds(name),
        }
    }

    fn write_cookies<S: Sink>(&self, incoming: &HeaderMap, out: &mut S) {
        let Cookies::Cut(cut) = self.cookies else { return };
        let fields = incoming.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        // It may bring each cookie in a field of its own; HTTP/1.1 has one (RFC 9113 §8.2.3).
        if self.version != Version::HTTP_2 {
            return fields.for_each(|field| out.perhaps(&COOKIE, |out| cut(field, out)));
        }
        out.perhaps(&COOKIE, |out| {
            let begin = out.len();
            for field in fields {
                let end = out.len();
                out.extend_from_slice(if end > begin { b"; " } else { b"" });
                if !cut(field, out) {
                    out.truncate(end);
                }
            }
            out.len() > begin
        });
    }

    /// Which trailer fields follow: of the names announced those that will be let pass.
    fn write_trailer_names<S: Sink>(
        &self,
        incoming: &HeaderMap,
        named: &[HeaderName],
        out: &mut S,
    ) {
        let passes = |name: &HeaderName| trailers::reaches_codescan(name, self.reserved, named);
        if let Some(names) = trailers::announced(incoming, passes) {
            out.field(&TRAILER, &names);
        }
    }
}

/// How the message came, and who passes it on (RFC 9110 §7.6.3).
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"1.0 codescan-oauth-proxy",
        Version::HTTP_2 => b"2.0 codescan-oauth-proxy",
        _ => b"1.1 codescan-oauth-proxy",
    }
}

/// Whether this `TE` holds `trailers`, the one member that says no coding (RFC 9110 §10.1.4).
fn names_trailers(field: &HeaderValue) -> bool {
    let mut members = field.as_bytes().split(|byte| *byte == b',');
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Names the request in the logs of every server it passes.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Fields that are between two neighbours only (RFC 9110 §7.6.1).
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
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

/// The fields that `Connection` names. `close` names none, and `Keep-Alive` goes no further in any
/// case; both are too frequent to make a name of them each time.
pub(super) fn named_in_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !is_frequent_option(name))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

fn is_frequent_option(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close")
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

/// Whether the client holds back the body until it is asked for (RFC 9110 §10.1.1). An HTTP/1.0
/// one does not know how; no other expectation is defined.
pub fn asks_to_continue(head: &Parts) -> bool {
    let expectation = head.headers.get(EXPECT).filter(|_| head.version > Version::HTTP_10);
    expectation.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// How many may still pass the request on, if it says so: of OPTIONS alone, as TRACE is none of
/// ours (RFC 9110 §7.6.2).
pub fn hops(head: &Parts) -> Option<u64> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let hops = head.headers.get(MAX_FORWARDS)?;
    let digits = hops.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits?.parse().ok()
}

/// Makes the fields of an answer of `CodeScan` those that the client gets.
pub fn clean_response(
    headers: &mut HeaderMap,
    sets_ours: &dyn Fn(&HeaderValue) -> bool,
    keep_upgrade: bool,
) {
    let upgrade = keep_upgrade.then(|| headers.get(UPGRADE).cloned()).flatten();
    let (mut has_others, mut sets_one_of_ours) = (false, false);
    for (name, value) in &*headers {
        has_others |= *name != CONNECTION && is_hop_by_hop(name);
        sets_one_of_ours |= *name == SET_COOKIE && sets_ours(value);
    }
    drop_hop_by_hop(headers, has_others);
    if sets_one_of_ours {
        drop_set_cookies(headers, sets_ours);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// `has_others`: whether there are some besides `Connection`.
fn drop_hop_by_hop(headers: &mut HeaderMap, has_others: bool) {
    let named = named_in_connection(headers);
    for name in &named {
        headers.remove(name);
    }
    if !has_others {
        headers.remove(CONNECTION);
        return;
    }
    let hop_by_hop: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in hop_by_hop {
        if name == TRAILER {
            trailers::announce_to_client(headers, &named);
        } else {
            headers.remove(name);
        }
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
