//! Random requests and answers that HTTP allows, the odd ones more often than in life.

use fastrand::Rng;

use crate::message::{Answer, Body, Fields, Framing, Request};
use crate::pairs::{Back, Front, HOST};
use crate::upstream::EXCHANGE;

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "HEAD", "HEAD", "OPTIONS", "POST", "POST", "PUT", "PATCH", "DELETE",
    "PURGE", "M-SEARCH", "get",
];

const STATUSES: &[u16] = &[
    200, 200, 200, 200, 201, 202, 203, 204, 206, 207, 301, 302, 303, 304, 307, 400, 401, 403, 404,
    409, 418, 429, 500, 502, 503, 599, 999,
];

/// Around the sizes of buffers, and between.
const LENGTHS: &[usize] = &[
    0, 0, 0, 1, 2, 100, 1023, 4095, 4096, 8191, 8192, 8193, 16383, 16384, 16385, 65535, 65536,
    131_071, 131_072, 131_073,
];
const LONGEST: usize = 1024 * 1024;

/// Tiny frames in a row that nobody minds.
const MOST_FRAMES: usize = 1500;

/// Names of requests that pass or not, by the contract.
const ASKED: &[&str] = &[
    "Accept",
    "accept-encoding",
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Date",
    "Forwarded",
    "If-None-Match",
    "Keep-Alive",
    "Max-Forwards",
    "PROJECT_KEY",
    "Priority",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Trailer",
    "Upgrade",
    "User-Agent",
    "Via",
    "X-Empty",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "x-forwarded-login",
    "X-Forwarded_Proto",
    "X-Hop",
    "X-Many",
    "X-MANY",
    "x-many",
    "X-Original-URL",
    "X-Real-IP",
    "X-Request-Id",
    "X-Rewrite-Url",
    "X_Real_Ip",
    "Xforwarded-For",
    "authorization_",
    "traceparent",
    "tracestate",
    "x_odd.name",
];

/// What HTTP/2 does not know (RFC 9113 §8.2.2).
const HTTP1_ONLY: &[&str] = &["Keep-Alive", "Proxy-Connection", "Upgrade"];

const ANSWERED: &[&str] = &[
    "Age",
    "Cache-Control",
    "Content-Type",
    "Date",
    "ETag",
    "Keep-Alive",
    "Link",
    "Location",
    "Proxy-Authenticate",
    "Server",
    "Set-Cookie",
    "Set-Cookie",
    "Set-Cookie",
    "Sonar-MD5",
    "Upgrade",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "X-Empty",
    "X-Forwarded-For",
    "X-Hop",
    "X-Many",
    "X-MANY",
    "X-Request-Id",
    "x_odd.name",
];

const COOKIES: &[&str] = &[
    "a=b",
    "JWT-SESSION=x",
    "  spaced = 1 ",
    "no_value",
    "=nameless",
    "codescan_sessions=theirs",
    "codescan_login_1234=ours",
    "codescan_signed_in=1",
    "__Host-codescan_moved=1",
    "q=\"a b\"",
];

const SET_COOKIES: &[&str] = &[
    "JWT-SESSION=x; Path=/; HttpOnly",
    "a=b",
    "XSRF-TOKEN=\"y\"; Max-Age=5",
    "odd",
    "codescan_session=z; Path=/",
    "__Host-codescan_session=z; Secure",
    "=codescan_signed_out=1",
    "codescan_sessions=theirs",
    "__Host-codescan_login_1=; Max-Age=0",
];

const CACHE_CONTROLS: &[&str] =
    &["max-age=60", "no-cache, no-store", "Public", "private=\"x\"", "no-transform", ""];

/// What codings may come, and whether trailers may.
const CODINGS: &[&str] = &["trailers", "trailers", "gzip", "gzip;q=0.5, Trailers", ""];

/// How far an OPTIONS may go, and what says nothing of it.
const HOPS: &[&str] = &["0", "1", "2", "10", "007", "", "-1", "x", "99999999999999999999"];

const EXPECTATIONS: &[&str] = &["100-continue", "100-continue", "100-Continue", "200-ok"];

/// Names of fields behind a body, some of which never pass.
const TRAILED: &[&str] = &[
    "X-Sum",
    "x-after",
    "X-Many",
    "X-Hop",
    "Content-Digest",
    "Digest",
    "Server-Timing",
    "x_sum",
    "Authorization",
    "Content-Length",
    "Content_Type",
    "Cookie",
    "Set-Cookie",
    "Range",
    "Via",
    "X-Forwarded-For",
    "x_forwarded_login",
    "X-Request-Id",
    "x_real_ip",
    "If-Match",
    "X-Sonar-Login",
];

/// What may be announced of them; a name is no name here and there.
const ANNOUNCED: &[&str] = &[
    "X-Sum, x-after",
    "X-Sum,, Content-Digest , X-Hop",
    "authorization, Server-Timing, x-many",
    "Set-Cookie",
    "no name, x_sum, x_real_ip",
    "",
];

/// An exchange that comes in by `front` and goes on by `back`.
pub fn exchange(random: &mut Rng, front: Front, back: Back, number: u64) -> (Request, Answer) {
    let request = request(random, front, number);
    let answer = answer(random, back, &request);
    (request, answer)
}

fn request(random: &mut Rng, front: Front, number: u64) -> Request {
    let http2 = front.is_http2();
    let is_old = !http2 && random.u8(..20) == 0;
    let method = METHODS[random.usize(..METHODS.len())];
    let has_session = random.u8(..3) > 0;
    let mut fields = fields(random, ASKED);
    fields.retain(|(name, _)| !(http2 && HTTP1_ONLY.contains(&name.as_str())));
    let body = request_body(random, &fields, http2, is_old);
    if http2 && body.bytes.is_empty() {
        // Whether its end has come when the head goes on is chance.
        fields.retain(|(name, _)| name != "Trailer");
    }
    let can_expect = !(http2 && body.bytes.is_empty());
    let expects = can_expect && push_expectation(random, &mut fields);
    if random.bool() {
        let te = if http2 { "trailers" } else { any(random, CODINGS) };
        fields.push(("TE".into(), te.into()));
    }
    if !http2 {
        connection(random, &mut fields);
    }
    add_cookies(random, &mut fields);
    fields.push((EXCHANGE.into(), number.to_string().into_bytes()));
    random.shuffle(&mut fields);
    Request {
        target: target(random, method, http2, has_session),
        host: [HOST, "other.example:81", "[::1]:8080"][random.usize(..3)],
        method,
        is_old,
        fields: if http2 { lower(fields) } else { fields },
        // The others are not told to go on, or have nothing to wait with.
        expects: expects && !http2 && !is_old && !body.bytes.is_empty(),
        body,
        has_session,
    }
}

fn request_body(random: &mut Rng, fields: &Fields, http2: bool, is_old: bool) -> Body {
    // Whether the proxy reads the body of what it answers itself is its own affair.
    let may_end_here = fields.iter().any(|(name, hops)| name == "Max-Forwards" && hops == b"0");
    let framing = match random.u8(..4) {
        _ if may_end_here => Framing::None,
        0 | 1 => Framing::None,
        2 => Framing::Length,
        _ if is_old => Framing::Length,
        _ => Framing::Chunks(chunk_sizes(random)),
    };
    let mut body = body(random, framing);
    if http2 {
        keep_frames_few(&mut body);
        // There they may follow a body of known length too.
        if body.framing == Framing::Length && random.bool() {
            body.trailers = trailers(random);
        }
    }
    body
}

/// Whether the client may wait before its body.
fn push_expectation(random: &mut Rng, fields: &mut Fields) -> bool {
    if random.u8(..6) > 0 {
        return false;
    }
    let expectation = any(random, EXPECTATIONS);
    fields.push(("Expect".into(), expectation.into()));
    expectation.eq_ignore_ascii_case("100-continue")
}

fn answer(random: &mut Rng, back: Back, request: &Request) -> Answer {
    let status = STATUSES[random.usize(..STATUSES.len())];
    let mut framing = match random.u8(..5) {
        0..=2 => Framing::Length,
        3 => Framing::Chunks(chunk_sizes(random)),
        _ => Framing::UntilClose,
    };
    if status == 204 {
        framing = Framing::None;
    }
    if request.method == "HEAD" && framing == Framing::UntilClose {
        framing = Framing::None;
    }
    let mut body = body(random, framing);
    if matches!(status, 204 | 304) {
        body = Body { bytes: Vec::new(), framing: Framing::None, trailers: Vec::new() };
    }
    let mut fields = fields(random, ANSWERED);
    if back.is_http2() {
        keep_frames_few(&mut body);
        fields.retain(|(name, _)| !HTTP1_ONLY.contains(&name.as_str()));
    } else {
        connection(random, &mut fields);
    }
    if matches!(body.framing, Framing::Chunks(_)) {
        for _ in 0..random.usize(..3) {
            fields.push(("Trailer".into(), any(random, ANNOUNCED).into()));
        }
    }
    random.shuffle(&mut fields);
    Answer { status, fields, body, hints: random.u8(..10) == 0 }
}

fn body(random: &mut Rng, framing: Framing) -> Body {
    let length = match random.u8(..50) {
        0 => random.usize(..=LONGEST),
        1..=24 => random.usize(..300),
        _ => LENGTHS[random.usize(..LENGTHS.len())],
    };
    let length = if framing == Framing::None { 0 } else { length };
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    let is_chunked = matches!(framing, Framing::Chunks(_));
    let trailers = if is_chunked && random.bool() { trailers(random) } else { Fields::new() };
    Body { bytes, framing, trailers }
}

fn trailers(random: &mut Rng) -> Fields {
    (0..random.usize(1..6)).map(|_| (any(random, TRAILED).into(), value(random))).collect()
}

/// The h2 crate ends a connection that brings thousands of tiny frames before they are read.
fn keep_frames_few(body: &mut Body) {
    let least = body.bytes.len() / MOST_FRAMES;
    if let Framing::Chunks(sizes) = &mut body.framing {
        for size in sizes {
            *size = least.max(*size);
        }
    }
}

fn chunk_sizes(random: &mut Rng) -> Vec<usize> {
    let size = |random: &mut Rng| {
        [1, 7, 100, 1024, 4090, 8192, 70_000][random.usize(..7)] + random.usize(..9)
    };
    (0..random.usize(1..5)).map(|_| size(random)).collect()
}

fn any(random: &mut Rng, values: &[&'static str]) -> &'static str {
    values[random.usize(..values.len())]
}

fn fields(random: &mut Rng, names: &[&str]) -> Fields {
    let count = random.usize(..12);
    let field = |random: &mut Rng| {
        let name = names[random.usize(..names.len())];
        let value = match name {
            "Set-Cookie" => any(random, SET_COOKIES).into(),
            "Cache-Control" => any(random, CACHE_CONTROLS).into(),
            "Max-Forwards" => any(random, HOPS).into(),
            "Trailer" => any(random, ANNOUNCED).into(),
            "X-Empty" => Vec::new(),
            _ => value(random),
        };
        (name.to_owned(), value)
    };
    (0..count).map(|_| field(random)).collect()
}

/// Everything that a value may hold: obs-text, tabs and spaces within.
fn value(random: &mut Rng) -> Vec<u8> {
    let length = if random.u8(..30) == 0 { 300 } else { random.usize(..20) };
    let byte = |random: &mut Rng| match random.u8(..10) {
        0 => random.u8(0x80..),
        1 => [b' ', b'\t'][random.usize(..2)],
        _ => random.u8(0x21..0x7f),
    };
    let value: Vec<u8> = (0..length).map(|_| byte(random)).collect();
    value.trim_ascii().to_vec()
}

/// What is between two neighbours, and what they name there.
fn connection(random: &mut Rng, fields: &mut Fields) {
    let options: &[&str] = &["x-hop", "keep-alive", "X-Hop, close", ", x-hop ,,", "X-Many"];
    if random.u8(..3) == 0 {
        let options = options[random.usize(..options.len())];
        fields.push(("Connection".into(), options.as_bytes().to_vec()));
    }
}

fn add_cookies(random: &mut Rng, fields: &mut Fields) {
    for _ in 0..random.usize(..3) {
        let count = random.usize(1..4);
        let cookies = (0..count).map(|_| COOKIES[random.usize(..COOKIES.len())]);
        let field = cookies.collect::<Vec<_>>().join(["; ", ";"][random.usize(..2)]);
        fields.push(("Cookie".into(), field.trim().as_bytes().to_vec()));
    }
}

fn target(random: &mut Rng, method: &str, http2: bool, has_session: bool) -> String {
    const PARTS: &[&str] =
        &["a", "api", "%2F", "..", ".", "", "é", "a%20b", "x;y=1", "~!$&'()*+,=:@", "%zz", "_"];
    if method == "OPTIONS" && !http2 && has_session && random.u8(..4) == 0 {
        return "*".to_owned();
    }
    let part = |random: &mut Rng| PARTS[random.usize(..PARTS.len())];
    // Without a session only what can be judged is public.
    let path = if has_session {
        let parts: Vec<_> = (0..random.usize(..5)).map(|_| part(random)).collect();
        format!("/x/{}", parts.join("/"))
    } else {
        format!("/public/{}", ["a", "b/c", "a%20b", "_"][random.usize(..4)])
    };
    let query = ["", "?", "?a=b&c=%2F&&d", "?q=//http://x/?"];
    let absolute = if !http2 && random.u8(..20) == 0 { "http://third.example" } else { "" };
    format!("{absolute}{path}{}", query[random.usize(..query.len())])
}

fn lower(mut fields: Fields) -> Fields {
    for (name, _) in &mut fields {
        name.make_ascii_lowercase();
    }
    fields
}
