//! The contract's rules about fields, written down once more from the contract alone.

use std::collections::BTreeMap;

use crate::message::{Fields, Request, Seen, all, is, value};
use crate::model_trailers::{announced, passes_on, takes_trailers};
use crate::pairs::{Back, Front, HOST};

/// Values by name in small letters, in their order.
pub type Heads = BTreeMap<String, Vec<Vec<u8>>>;

/// What stands for a value that is made anew each time.
const MADE: &[u8] = b"(made)";

const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Of the head: a framing is compared by what it frames.
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

const RULES_OF_THEIR_OWN: &[&str] = &[
    "host",
    "cookie",
    "x-request-id",
    "traceparent",
    "tracestate",
    "trailer",
    "expect",
    "max-forwards",
];

/// What the upstream should get, of what it gets from the client itself.
pub fn request_fields(direct: &Seen, front: Front, back: Back, request: &Request) -> Heads {
    let mut heads = Heads::new();
    let named = named(&direct.fields);
    for (name, value) in &direct.fields {
        let name = name.to_ascii_lowercase();
        if !named.contains(&name) && goes_on(&name) {
            heads.entry(name).or_default().push(value.clone());
        }
    }
    heads.entry("via".to_owned()).or_default().push(via(front, request).to_vec());
    heads.extend(between_neighbours(direct, back));
    heads.extend(about_the_body(direct, back, request));
    heads.extend(max_forwards(direct, request));
    let mut set = |name: &str, value: &[u8]| {
        heads.insert(name.to_owned(), vec![value.to_vec()]);
    };
    let scheme = front.scheme();
    let port = if front.is_encrypted() { "443" } else { "80" };
    set("x-forwarded-proto", scheme.as_bytes());
    set("x-forwarded-host", HOST.as_bytes());
    set("x-forwarded-port", port.as_bytes());
    set("x-forwarded-for", b"127.0.0.1");
    let forwarded = format!("for=127.0.0.1;host=\"{HOST}\";proto={scheme}");
    set("forwarded", forwarded.as_bytes());
    set("x-request-id", MADE);
    set("traceparent", MADE);
    set("host", host(request).as_bytes());
    if request.has_session {
        set("authorization", MADE);
    }
    let cookies: Vec<Vec<u8>> =
        all(&direct.fields, "cookie").filter_map(|field| cut(field, front)).collect();
    if !cookies.is_empty() {
        // RFC 9113 §8.2.3: HTTP/2 may bring them apart.
        let is_one = front.is_http2() || back.is_http2();
        let fields = if is_one { vec![cookies.join(&b"; "[..])] } else { cookies };
        heads.insert("cookie".to_owned(), fields);
    }
    heads
}

/// Whether a request's field passes as it is.
fn goes_on(name: &str) -> bool {
    let dashed = name.replace('_', "-");
    let is_one = |names: &[&str]| names.contains(&name);
    !(is_one(HOP_BY_HOP)
        || is_one(FRAMING)
        || is_one(RULES_OF_THEIR_OWN)
        || tells_of_forwarding(&dashed)
        // Named in `[codescan.headers]`, by default.
        || dashed == "authorization")
}

/// RFC 9110 §7.6.3.
fn via(front: Front, request: &Request) -> &'static [u8] {
    match (front.is_http2(), request.is_old) {
        (true, _) => b"2.0 codescan-oauth-proxy",
        (false, true) => b"1.0 codescan-oauth-proxy",
        (false, false) => b"1.1 codescan-oauth-proxy",
    }
}

/// `TE`, if the client takes trailers (RFC 9110 §10.1.4).
fn between_neighbours(direct: &Seen, back: Back) -> Heads {
    let takes = takes_trailers(&direct.fields);
    let mut heads = Heads::new();
    if takes {
        heads.insert("te".to_owned(), vec![b"trailers".to_vec()]);
    }
    if takes && !back.is_http2() {
        heads.insert("connection".to_owned(), vec![b"te".to_vec()]);
    }
    heads
}

/// `Trailer` before a body of unknown length, `Expect` before any, of who can wait.
fn about_the_body(direct: &Seen, back: Back, request: &Request) -> Heads {
    let mut heads = Heads::new();
    let is_chunked = direct.value("transfer-encoding").is_some();
    let names = announced(&direct.fields, |name| passes_on(name, &named(&direct.fields)));
    if is_chunked && !names.is_empty() {
        heads.insert("trailer".to_owned(), vec![names.into_bytes()]);
    }
    let has_body = is_chunked || !direct.body.is_empty();
    let expectation = direct.value("expect").filter(|it| is(it, "100-continue"));
    if let Some(expectation) = expectation.filter(|_| has_body && !request.is_old)
        && !back.is_http2()
    {
        heads.insert("expect".to_owned(), vec![expectation.into()]);
    }
    heads
}

/// It counts for OPTIONS alone (RFC 9110 §7.6.2).
fn max_forwards(direct: &Seen, request: &Request) -> Heads {
    let fields: Vec<Vec<u8>> = match hops(&direct.fields, request) {
        Some(hops) => vec![(hops - 1).to_string().into_bytes()],
        None => all(&direct.fields, "max-forwards").map(<[u8]>::to_vec).collect(),
    };
    let named = (!fields.is_empty()).then(|| ("max-forwards".to_owned(), fields));
    named.into_iter().collect()
}

fn hops(fields: &Fields, request: &Request) -> Option<u64> {
    let text = value(fields, "max-forwards").filter(|_| request.method == "OPTIONS")?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether it may go no further than the proxy.
pub fn is_answered_here(request: &Request) -> bool {
    hops(&request.fields, request) == Some(0)
}

/// An absolute target wins.
fn host(request: &Request) -> &str {
    let rest = request.target.strip_prefix("http://");
    rest.map_or(request.host, |rest| rest.split(['/', '?']).next().unwrap_or_default())
}

fn tells_of_forwarding(dashed: &str) -> bool {
    let families = ["x-forwarded-", "x-original-", "x-rewrite-"];
    dashed == "x-real-ip"
        || dashed == "forwarded"
        || families.iter().any(|family| dashed.starts_with(family))
}

/// Without our cookies.
fn cut(field: &[u8], front: Front) -> Option<Vec<u8>> {
    let pairs: Vec<&[u8]> = field.split(|byte| *byte == b';').collect();
    let others: Vec<&[u8]> = pairs.iter().copied().filter(|it| !is_ours(it, front)).collect();
    if others.len() == pairs.len() {
        return Some(field.to_vec());
    }
    let joined = others.join(&b';');
    // White space around a value is not part of it.
    let rest = joined.trim_ascii();
    (!rest.is_empty()).then(|| rest.to_vec())
}

fn is_ours(pair: &[u8], front: Front) -> bool {
    let pair = String::from_utf8_lossy(pair).into_owned();
    let name = pair.split('=').next().unwrap_or_default().trim();
    let prefix = if front.is_encrypted() { "__Host-codescan_" } else { "codescan_" };
    let whole = ["session", "signed_in", "signed_out", "moved"];
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| whole.contains(&rest) || rest.starts_with("login_"))
}

/// What the client should get, of what the upstream answers to itself.
pub fn answer_fields(direct: &Seen, front: Front, request: &Request) -> Heads {
    let mut heads = Heads::new();
    let named = named(&direct.fields);
    for (name, value) in &direct.fields {
        let name = name.to_ascii_lowercase();
        let dropped = HOP_BY_HOP.contains(&name.as_str())
            || FRAMING.contains(&name.as_str())
            || named.contains(&name)
            || name == "trailer"
            || (name == "set-cookie" && overwrites_ours(value, front));
        if !dropped {
            heads.entry(name).or_default().push(value.clone());
        }
    }
    let announced = announced(&direct.fields, |name| passes_on(name, &named));
    if can_have_trailers(front, request) && !announced.is_empty() {
        heads.insert("trailer".to_owned(), vec![announced.into_bytes()]);
    }
    heads.insert("x-request-id".to_owned(), vec![MADE.to_vec()]);
    // RFC 9110 §6.6.1 lets a recipient with a clock add it.
    heads.entry("date".to_owned()).or_insert_with(|| vec![MADE.to_vec()]);
    if request.has_session && !says_who_may_store(&heads) {
        heads.entry("cache-control".to_owned()).or_default().push(b"private".to_vec());
    }
    heads
}

/// Over HTTP/1.1 they follow chunks, and there are none in HTTP/1.0 or behind the answer to HEAD.
pub fn can_have_trailers(front: Front, request: &Request) -> bool {
    front.is_http2() || !(request.is_old || request.method == "HEAD")
}

fn overwrites_ours(set_cookie: &[u8], front: Front) -> bool {
    let pair = set_cookie.split(|byte| *byte == b';').next().unwrap_or_default();
    // Without a name a browser sends the value alone.
    is_ours(pair.trim_ascii_start().strip_prefix(b"=").unwrap_or(pair), front)
}

fn says_who_may_store(heads: &Heads) -> bool {
    let values = heads.get("cache-control").into_iter().flatten();
    let values = values.map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
    values.flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>()).any(|it| {
        ["public", "private", "no-store"].contains(&it.split('=').next().unwrap_or_default().trim())
    })
}

/// What `Connection` names.
pub fn named(fields: &Fields) -> Vec<String> {
    lists(fields, "connection")
}

/// The members of all fields of a name, in small letters.
pub fn lists(fields: &Fields, name: &str) -> Vec<String> {
    let fields = all(fields, name).map(String::from_utf8_lossy);
    let members = fields.flat_map(|field| {
        field.split(',').map(|it| it.trim().to_ascii_lowercase()).collect::<Vec<_>>()
    });
    members.collect()
}

/// What the upstream got of a request through the proxy, made comparable.
pub fn comparable_request(seen: &Seen, back: Back) -> Heads {
    let mut heads = comparable(seen, &["x-request-id", "traceparent", "authorization"]);
    if let Some(cookies) = heads.get_mut("cookie").filter(|_| back.is_http2()) {
        *cookies = vec![cookies.join(&b"; "[..])];
    }
    heads
}

/// What the client got of an answer through the proxy, made comparable.
pub fn comparable_answer(seen: &Seen, made_date: bool) -> Heads {
    let made: &[&str] = if made_date { &["x-request-id", "date"] } else { &["x-request-id"] };
    let mut heads = comparable(seen, made);
    // Between the proxy and its client.
    heads.remove("connection");
    heads
}

/// A value that is made anew stands for itself if it is well-formed. `made` are the names of those.
fn comparable(seen: &Seen, made: &[&str]) -> Heads {
    let mut heads = Heads::new();
    for (name, value) in &seen.fields {
        let name = name.to_ascii_lowercase();
        if FRAMING.contains(&name.as_str()) {
            continue;
        }
        let is_made = made.contains(&name.as_str()) && is_well_made(&name, value);
        let value = if is_made { MADE.to_vec() } else { value.clone() };
        heads.entry(name).or_default().push(value);
    }
    heads
}

fn is_well_made(name: &str, value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    match name {
        "x-request-id" => uuid::Uuid::parse_str(text).is_ok_and(|id| id.get_version_num() == 7),
        "traceparent" => text.len() == 55 && text.starts_with("00-") && text.is_ascii(),
        "authorization" => text.starts_with("Bearer ") && text.len() > 20,
        "date" => httpdate::parse_http_date(text).is_ok(),
        _ => false,
    }
}
