//! The contract's rules about fields, written down once more from the contract alone.

use std::collections::BTreeMap;

use crate::message::{Fields, Request, Seen, all, is, value};
use crate::pairs::{Front, HOST};

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

/// What the upstream should get, of what it gets from the client itself.
pub fn request_fields(direct: &Seen, front: Front, request: &Request) -> Heads {
    let mut heads = Heads::new();
    let named = named(&direct.fields);
    for (name, value) in &direct.fields {
        let name = name.to_ascii_lowercase();
        let dashed = name.replace('_', "-");
        let own_rule = ["host", "cookie", "x-request-id", "traceparent", "tracestate", "trailer"];
        let dropped = HOP_BY_HOP.contains(&name.as_str())
            || FRAMING.contains(&name.as_str())
            || named.contains(&name)
            || own_rule.contains(&name.as_str())
            || tells_of_forwarding(&dashed)
            // Named in `[codescan.headers]`, by default.
            || dashed == "authorization";
        if !dropped {
            heads.entry(name).or_default().push(value.clone());
        }
    }
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
        let fields = if front.is_http2() { vec![cookies.join(&b"; "[..])] } else { cookies };
        // White space around a value is not part of it.
        let fields = fields.iter().map(|field| field.trim_ascii().to_vec());
        heads.insert("cookie".to_owned(), fields.collect());
    }
    heads
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
    let rest = joined.trim_ascii_start();
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
            || (name == "trailer" && !can_have_trailers(front, request))
            || (name == "set-cookie" && overwrites_ours(value, front));
        if !dropped {
            heads.entry(name).or_default().push(value.clone());
        }
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
fn can_have_trailers(front: Front, request: &Request) -> bool {
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

fn named(fields: &Fields) -> Vec<String> {
    let options = all(fields, "connection").map(String::from_utf8_lossy);
    let options = options.flat_map(|field| {
        field.split(',').map(|it| it.trim().to_ascii_lowercase()).collect::<Vec<_>>()
    });
    options.collect()
}

/// What has been seen of a message through the proxy, made comparable: a value that is made anew
/// stands for itself if it is well-formed. `made` are the names of those.
pub fn comparable(seen: &Seen, made: &[&str]) -> Heads {
    let mut heads = Heads::new();
    for (name, value) in &seen.fields {
        let name = name.to_ascii_lowercase();
        if is(&name, "connection") || FRAMING.contains(&name.as_str()) {
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

/// Whether the trailer fields of an answer reach this client: over HTTP/1.1 only if it said so
/// (RFC 9110 §6.5.1), and the answer names them.
pub fn trailers_pass(front: Front, request: &Request) -> bool {
    front.is_http2() || (!request.is_old && value(&request.fields, "te") == Some("trailers"))
}
