//! Requests by their fields and bodies: what is malformed goes nowhere, and what is good arrives
//! as HTTP/1.1 would bring it, with one reading.

use super::{
    Answer, Bare, DATA, DEFAULTS, END_HEADERS, END_STREAM, Frames, HEADERS, OPEN, PROTOCOL_ERROR,
    Piece, REFUSED_STREAM, RST_STREAM, Raw, Request, Reset, Row, Told, Trailers, WHOLE, block,
    frame, row, rows_hold,
};
use crate::harness::{Stage, wait_until};

const MALFORMED: &[Told] = &[Reset(1, PROTOCOL_ERROR)];
/// A stream error would do; the h2 crate takes it for one of the connection.
const SPOILT: &[Told] = &[Told::Goodbye(PROTOCOL_ERROR)];
const REFUSED: &[Told] = &[Answer(1, 400)];
const PASSES: &[Told] = &[Answer(1, 200)];

const fn good(
    cites: &'static str,
    sent: &'static [Piece],
    arrives: &'static [&'static str],
) -> Row {
    Row { cites, sent, told: PASSES, arrives }
}

const POST: (&str, &str) = (":method", "POST");

/// Heads alone.
#[rustfmt::skip] // A row a line.
const HEADS: &[Row] = &[
    row("§8.2.1: a name in capitals", &[Request(WHOLE, 1, &[("X-a", "1")])], SPOILT),
    row("§8.2.1: a name with a capital at its end", &[Request(WHOLE, 1, &[("xA", "1")])], SPOILT),
    row("§8.2.1: a name with white space", &[Request(WHOLE, 1, &[("x a", "1")])], SPOILT),
    row("§8.2.1: a name with a colon", &[Request(WHOLE, 1, &[("x:a", "1")])], SPOILT),
    row("§8.2.1: a name with a line end", &[Request(WHOLE, 1, &[("x\r\ny", "1")])], SPOILT),
    row("§8.2.1: a name with another field in it", &[Request(WHOLE, 1, &[("x: 1\r\ntransfer-encoding", "chunked")])], SPOILT),
    row("§8.2.1: a name beyond ASCII", &[Request(WHOLE, 1, &[("xé", "1")])], SPOILT),
    row("§8.2.1: a name with a control character", &[Request(WHOLE, 1, &[("x\x7f", "1")])], SPOILT),
    row("§8.2.1: a name without a byte", &[Request(WHOLE, 1, &[("", "1")])], SPOILT),
    row("§8.2.1: NUL in a value", &[Request(WHOLE, 1, &[("x", "a\0b")])], SPOILT),
    row("§8.2.1: CR in a value", &[Request(WHOLE, 1, &[("x", "a\rb")])], SPOILT),
    row("§8.2.1: LF in a value", &[Request(WHOLE, 1, &[("x", "a\nb")])], SPOILT),
    row("§8.2.1: a field in a value", &[Request(WHOLE, 1, &[("x", "a\r\ntransfer-encoding: chunked")])], SPOILT),
    row("§8.2.1: a request in a value", &[Request(WHOLE, 1, &[("x", "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")])], SPOILT),
    row("§8.2.1: a value that begins with a space", &[Request(WHOLE, 1, &[("x", " a")])], REFUSED),
    row("§8.2.1: a value that begins with a tab", &[Request(WHOLE, 1, &[("x", "\ta")])], REFUSED),
    row("§8.2.1: a value that ends with a space", &[Request(WHOLE, 1, &[("x", "a ")])], REFUSED),
    row("§8.2.1: a value that ends with a tab", &[Request(WHOLE, 1, &[("x", "a\t")])], REFUSED),
    row("§8.2.1: a value of nothing but a space", &[Request(WHOLE, 1, &[("x", " ")])], REFUSED),
    good("§8.2.1: white space within a value, and none at all", &[Request(WHOLE, 1, &[("x", "a \t b"), ("y", "")])], &["x: a \t b", "y: "]),
    row("§8.2.2: connection", &[Request(WHOLE, 1, &[("connection", "close")])], MALFORMED),
    row("§8.2.2: connection that names another", &[Request(WHOLE, 1, &[("connection", "x-forwarded-for"), ("x-forwarded-for", "6.6.6.6")])], MALFORMED),
    row("§8.2.2: keep-alive", &[Request(WHOLE, 1, &[("keep-alive", "timeout=5")])], MALFORMED),
    row("§8.2.2: proxy-connection", &[Request(WHOLE, 1, &[("proxy-connection", "close")])], MALFORMED),
    row("§8.2.2: upgrade", &[Request(WHOLE, 1, &[("upgrade", "h2c")])], MALFORMED),
    row("§8.2.2: transfer-encoding", &[Request(WHOLE, 1, &[("transfer-encoding", "chunked")])], MALFORMED),
    row("§8.2.2: transfer-encoding that changes nothing", &[Request(WHOLE, 1, &[("transfer-encoding", "identity")])], MALFORMED),
    row("§8.2.2: te with more than trailers", &[Request(WHOLE, 1, &[("te", "trailers, gzip")])], MALFORMED),
    good("§8.2.2: te: trailers", &[Request(WHOLE, 1, &[("te", "trailers")])], &["GET /x HTTP/1.1"]),
    good("§8.2.3: crumbs of a cookie are one field", &[Request(WHOLE, 1, &[("cookie", "a=1"), ("x", "2"), ("cookie", "b=2; c=3")])], &["cookie: a=1; b=2; c=3"]),
    row("§8.3: a pseudo field behind another", &[Request(WHOLE, 1, &[("x", "1"), (":path", "/smuggled")])], MALFORMED),
    row("§8.3: an unknown one", &[Request(WHOLE, 1, &[(":x", "1")])], SPOILT),
    row("§8.3: one without a name", &[Request(WHOLE, 1, &[(":", "1")])], SPOILT),
    row("§8.3: one of an answer", &[Request(WHOLE, 1, &[(":status", "200")])], MALFORMED),
    row("§8.3.1: two methods", &[Request(WHOLE, 1, &[(":method", "GET"), (":method", "GET")])], MALFORMED),
    row("§8.3.1: two schemes", &[Request(WHOLE, 1, &[(":scheme", "http"), (":scheme", "https")])], MALFORMED),
    row("§8.3.1: two authorities", &[Request(WHOLE, 1, &[(":authority", "a"), (":authority", "b")])], MALFORMED),
    row("§8.3.1: two paths", &[Request(WHOLE, 1, &[(":path", "/x"), (":path", "/smuggled")])], MALFORMED),
    row("§8.3.1: no method", &[Bare(WHOLE, 1, &[(":scheme", "http"), (":authority", "h"), (":path", "/x")])], MALFORMED),
    row("§8.3.1: no scheme", &[Bare(WHOLE, 1, &[(":method", "GET"), (":authority", "h"), (":path", "/x")])], MALFORMED),
    row("§8.3.1: no path", &[Bare(WHOLE, 1, &[(":method", "GET"), (":scheme", "http"), (":authority", "h")])], MALFORMED),
    row("§8.3.1: neither authority nor host", &[Bare(WHOLE, 1, &[(":method", "GET"), (":scheme", "http"), (":path", "/x")])], REFUSED),
    good("§8.3.1: a host stands for the authority", &[Bare(WHOLE, 1, &[(":method", "GET"), (":scheme", "http"), (":path", "/x?y"), ("host", "h:81")])], &["GET /x?y HTTP/1.1", "host: h:81"]),
    good("§8.3.1: the same host twice", &[Request(WHOLE, 1, &[(":authority", "h"), ("host", "H")])], &["host: h"]),
    row("§8.3.1: hosts that differ", &[Request(WHOLE, 1, &[("host", "evil.example")])], REFUSED),
    row("§8.3.1: hosts that differ by their port", &[Request(WHOLE, 1, &[("host", "codescan.test:81")])], REFUSED),
    row("§8.3.1: several hosts", &[Request(WHOLE, 1, &[("host", "codescan.test"), ("host", "codescan.test")])], REFUSED),
    row("§8.3.1: an authority with a user", &[Request(WHOLE, 1, &[(":authority", "me@codescan.test")])], REFUSED),
    row("§8.3.1: an authority without a byte", &[Request(WHOLE, 1, &[(":authority", "")])], MALFORMED),
    row("§8.3.1: an authority with a path", &[Request(WHOLE, 1, &[(":authority", "codescan.test/smuggled")])], MALFORMED),
    row("§8.3.1: an authority with a space", &[Request(WHOLE, 1, &[(":authority", "codescan.test evil")])], MALFORMED),
    row("§8.3.1: an authority with a line end", &[Request(WHOLE, 1, &[(":authority", "h\r\nx: y")])], MALFORMED),
    row("§8.3.1: an authority with a port that is none", &[Request(WHOLE, 1, &[(":authority", "codescan.test:x")])], REFUSED),
    row("§8.3.1: an authority with a query", &[Request(WHOLE, 1, &[(":authority", "codescan.test?x")])], MALFORMED),
    row("§8.3.1: a scheme that is none", &[Request(WHOLE, 1, &[(":scheme", "ht tp")])], MALFORMED),
    row("§8.3.1: a scheme with a host", &[Request(WHOLE, 1, &[(":scheme", "http://evil/smuggled?")])], MALFORMED),
    row("§8.3.1: a path without a byte", &[Request(WHOLE, 1, &[(":path", "")])], MALFORMED),
    row("§8.3.1: a path without a slash", &[Request(WHOLE, 1, &[(":path", "smuggled")])], MALFORMED),
    row("§8.3.1: two of its parts without a slash before", &[Request(WHOLE, 1, &[(":path", "x/smuggled?y")])], MALFORMED),
    row("§8.3.1: an address in the path", &[Request(WHOLE, 1, &[(":path", "http://evil.example/smuggled")])], MALFORMED),
    row("§8.3.1: one without an authority beside it", &[Bare(WHOLE, 1, &[(":method", "GET"), (":scheme", "http"), (":path", "http://evil.example/smuggled"), ("host", "h")])], MALFORMED),
    row("§8.3.1: a query and no path", &[Request(WHOLE, 1, &[(":path", "?smuggled")])], REFUSED),
    row("§8.3.1: a query and no path, and a host", &[Bare(WHOLE, 1, &[(":method", "GET"), (":scheme", "http"), (":path", "?smuggled"), ("host", "h")])], REFUSED),
    good("§8.3.1: a fragment is no part of a path, and goes nowhere", &[Request(WHOLE, 1, &[(":path", "/x?y#smuggled")])], &["GET /x?y HTTP/1.1"]),
    good("§8.3.1: not even one in place of a path", &[Request(WHOLE, 1, &[(":path", "#smuggled")])], &["GET / HTTP/1.1"]),
    row("§8.3.1: a path with a space", &[Request(WHOLE, 1, &[(":path", "/x /smuggled")])], MALFORMED),
    row("§8.3.1: a path with a line of its own", &[Request(WHOLE, 1, &[(":path", "/x HTTP/1.1\r\nx: y")])], MALFORMED),
    row("§8.3.1: a path with a request", &[Request(WHOLE, 1, &[(":path", "/x HTTP/1.1\r\nHost: h\r\n\r\nGET /smuggled")])], MALFORMED),
    row("§8.3.1: a path with LF", &[Request(WHOLE, 1, &[(":path", "/x\n")])], MALFORMED),
    row("§8.3.1: a path with NUL", &[Request(WHOLE, 1, &[(":path", "/x\0")])], MALFORMED),
    row("§8.3.1: a path with a tab", &[Request(WHOLE, 1, &[(":path", "/x\t")])], MALFORMED),
    row("§8.3.1: a path with DEL", &[Request(WHOLE, 1, &[(":path", "/x\x7f")])], MALFORMED),
    good("§8.3.1: the target goes out as it came", &[Request(WHOLE, 1, &[(":path", "//x/../y;z?a=%41&&b%|c?")])], &["GET //x/../y;z?a=%41&&b%|c? HTTP/1.1"]),
    good("§8.3.1: the asterisk is for OPTIONS", &[Request(WHOLE, 1, &[(":method", "OPTIONS"), (":path", "*")])], &["OPTIONS * HTTP/1.1"]),
    row("§8.3.1: and for nothing else", &[Request(WHOLE, 1, &[(":path", "*")])], REFUSED),
    row("§8.3.1: nor with anything behind it", &[Request(WHOLE, 1, &[(":method", "OPTIONS"), (":path", "*?smuggled")])], MALFORMED),
    row("RFC 9110 §9.1: a method with a space", &[Request(WHOLE, 1, &[(":method", "GET /smuggled")])], SPOILT),
    row("RFC 9110 §9.1: a method with a line of its own", &[Request(WHOLE, 1, &[(":method", "GET /smuggled HTTP/1.1\r\nx: ")])], SPOILT),
    row("RFC 9110 §9.1: a method without a byte", &[Request(WHOLE, 1, &[(":method", "")])], SPOILT),
    good("RFC 9110 §9.1: any other method", &[Request(WHOLE, 1, &[(":method", "PROPFIND")])], &["PROPFIND /x HTTP/1.1"]),
    row("RFC 9110 §9.3.8: TRACE is not let through", &[Request(WHOLE, 1, &[(":method", "TRACE")])], &[Answer(1, 405)]),
    row("§8.5: CONNECT names a host alone", &[Request(WHOLE, 1, &[(":method", "CONNECT")])], MALFORMED),
    row("§8.5: and is not let through", &[Bare(OPEN, 1, &[(":method", "CONNECT"), (":authority", "codescan.test:80")])], &[Answer(1, 405)]),
    row("§8.5: CONNECT without a host", &[Bare(OPEN, 1, &[(":method", "CONNECT")])], &[Answer(1, 405)]),
    row("RFC 8441 §4: :protocol is for CONNECT", &[Request(WHOLE, 1, &[(":protocol", "websocket")])], MALFORMED),
    row("RFC 8441 §4: with a scheme and a path", &[Bare(OPEN, 1, &[(":method", "CONNECT"), (":protocol", "websocket"), (":authority", "codescan.test")])], MALFORMED),
    row("RFC 8441 §4: of protocols WebSocket alone", &[Request(OPEN, 1, &[(":method", "CONNECT"), (":protocol", "connect-udp")])], &[Answer(1, 405)]),
    row("RFC 8441 §4: two protocols", &[Request(OPEN, 1, &[(":method", "CONNECT"), (":protocol", "websocket"), (":protocol", "websocket")])], MALFORMED),
    row("RFC 8441 §4: for one host", &[Request(OPEN, 1, &[(":method", "CONNECT"), (":protocol", "websocket"), ("host", "evil.example")])], REFUSED),
];

/// Heads with bodies, and what comes behind them.
#[rustfmt::skip] // A row a line.
const BODIES: &[Row] = &[
    good("§8.1: a body without a length", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"o"), Raw(DATA, 0, 1, b""), Raw(DATA, END_STREAM, 1, b"k")], &["POST /x HTTP/1.1", "transfer-encoding: chunked", "ok"]),
    good("§8.1: a body with a length", &[Request(OPEN, 1, &[POST, ("content-length", "2")]), Raw(DATA, END_STREAM, 1, b"ok")], &["content-length: 2", "ok"]),
    good("§8.1: a body that ends with an empty frame", &[Request(OPEN, 1, &[POST, ("content-length", "2")]), Raw(DATA, 0, 1, b"ok"), Raw(DATA, END_STREAM, 1, b"")], &["content-length: 2", "ok"]),
    good("§8.1: the same length twice", &[Request(OPEN, 1, &[POST, ("content-length", "2"), ("content-length", "2")]), Raw(DATA, END_STREAM, 1, b"ok")], &["content-length: 2", "ok"]),
    good("§8.1: a GET with a body", &[Request(OPEN, 1, &[("content-length", "2")]), Raw(DATA, END_STREAM, 1, b"ok")], &["GET /x HTTP/1.1", "content-length: 2", "ok"]),
    good("§8.1: no body where one is expected", &[Request(WHOLE, 1, &[POST])], &["content-length: 0"]),
    good("§8.1: a body of no bytes", &[Request(OPEN, 1, &[POST, ("content-length", "0")]), Raw(DATA, END_STREAM, 1, b"")], &["content-length: 0"]),
    row("§8.1.1: a length and no body", &[Request(WHOLE, 1, &[POST, ("content-length", "2")])], MALFORMED),
    row("§8.1.1: a body too short", &[Request(OPEN, 1, &[POST, ("content-length", "5")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: one too short, at a HEAD", &[Request(OPEN, 1, &[(":method", "HEAD"), ("content-length", "5")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: one that is missing, at a HEAD", &[Request(WHOLE, 1, &[(":method", "HEAD"), ("content-length", "5")])], MALFORMED),
    row("§8.1.1: a body too long", &[Request(OPEN, 1, &[POST, ("content-length", "1")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: too long in its second part", &[Request(OPEN, 1, &[POST, ("content-length", "2")]), Raw(DATA, 0, 1, b"ok"), Raw(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")], MALFORMED),
    row("§8.1.1: too short for its trailers", &[Request(OPEN, 1, &[POST, ("content-length", "5")]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("x-sum", "1")])], MALFORMED),
    row("§8.1.1: lengths that differ", &[Request(OPEN, 1, &[POST, ("content-length", "2"), ("content-length", "3")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: a list of lengths", &[Request(OPEN, 1, &[POST, ("content-length", "2, 2")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: a length with a sign", &[Request(OPEN, 1, &[POST, ("content-length", "+2")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: a length with a space", &[Request(OPEN, 1, &[POST, ("content-length", " 2")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: a length without a digit", &[Request(OPEN, 1, &[POST, ("content-length", "")]), Raw(DATA, END_STREAM, 1, b"")], REFUSED),
    row("§8.1.1: a length in another base", &[Request(OPEN, 1, &[POST, ("content-length", "0x2")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.1.1: a length beyond all numbers", &[Request(OPEN, 1, &[POST, ("content-length", "18446744073709551618")]), Raw(DATA, END_STREAM, 1, b"ok")], MALFORMED),
    row("§8.2.2: chunks with a request behind them", &[Request(OPEN, 1, &[POST, ("transfer-encoding", "chunked")]), Raw(DATA, END_STREAM, 1, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")], MALFORMED),
    good("§8.2.2: what looks like chunks is a body like any other", &[Request(OPEN, 1, &[POST]), Raw(DATA, END_STREAM, 1, b"0\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n")], &["0", "GET /nothing HTTP/1.1"]),
    good("§8.1: trailers end a request", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("x-sum", "1")])], &["ok"]),
    good("§8.1: trailers without a body", &[Request(OPEN, 1, &[POST]), Trailers(WHOLE, 1, &[("x-sum", "1")])], &["POST /x HTTP/1.1"]),
    row("§8.1: trailers that do not end it", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(OPEN, 1, &[("x-sum", "1")])], MALFORMED),
    row("§8.1: a body behind the trailers (STREAM_CLOSED)", &[Request(OPEN, 1, &[POST]), Trailers(WHOLE, 1, &[("x-sum", "1")]), Raw(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")], SPOILT),
    row("§8.1: a field of a connection in trailers", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("transfer-encoding", "chunked")])], MALFORMED),
    row("§8.1: a name in capitals in trailers", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("X-Sum", "1")])], SPOILT),
    row("§8.1: pseudo fields behind others in trailers", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("x-sum", "1"), (":path", "/smuggled")])], MALFORMED),
    good("§8.1: pseudo fields of trailers go nowhere", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[(":path", "/smuggled"), (":method", "DELETE")])], &["POST /x HTTP/1.1", "ok"]),
    good("§8.1: nor do fields that frame a body", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"ok"), Trailers(WHOLE, 1, &[("content-length", "5"), ("host", "evil")])], &["POST /x HTTP/1.1", "ok"]),
    row("§8.1.1: an upload that is reset is never whole", &[Request(OPEN, 1, &[POST]), Raw(DATA, 0, 1, b"o"), Raw(RST_STREAM, 0, 1, &[0, 0, 0, 8])], &[]),
    row("§8.1.1: nor one whose end was announced", &[Request(OPEN, 1, &[POST, ("content-length", "2")]), Raw(DATA, 0, 1, b"o"), Raw(RST_STREAM, 0, 1, &[0, 0, 0, 0])], &[]),
];

#[tokio::test]
async fn heads_have_one_reading_or_none() {
    rows_hold(HEADS).await;
}

#[tokio::test]
async fn bodies_end_where_they_say() {
    rows_hold(BODIES).await;
}

/// §5.1.2, §8.7: what was refused was not done, and may be tried again.
#[tokio::test]
async fn the_stream_beyond_the_limit_is_refused_and_can_be_tried_again() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let hanging = block(&[&DEFAULTS[..3], &[(":path", "/hang")]].concat());
    let last = block(DEFAULTS);
    for stream in (1..=255).step_by(2) {
        frames.send(HEADERS, WHOLE, stream, &hanging).await;
    }
    frames.send(HEADERS, OPEN, 257, &last).await;
    let refused = frames.next_of(&[RST_STREAM, HEADERS]).await.expect("a refusal");
    assert_eq!((refused.stream, refused.error()), (257, REFUSED_STREAM));
    assert_eq!(stage.codescan.requests_to("/x").len(), 0);
    let cancelled = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let again = frame(HEADERS, END_HEADERS | END_STREAM, 259, &last);
    frames.try_send(&[cancelled, again].concat()).await.expect("it listens");
    let answer = frames.next_of(&[RST_STREAM, HEADERS]).await.expect("an answer");
    assert_eq!((answer.stream, answer.is_ok()), (259, true));
}

/// §8.1.1: the end that a length tells is one, whatever comes behind it; an empty request may
/// have gone out by then, what comes behind it never does.
#[tokio::test]
async fn what_is_beyond_the_length_reaches_nobody() {
    let (recorder, stage, session) = super::before().await;
    for (length, body) in [("0", &b""[..]), ("2", b"ok")] {
        let mut frames = Frames::begin(stage.client().open().await).await;
        let fields = [&[POST], &DEFAULTS[1..], &[("content-length", length), ("cookie", &session)]];
        frames.send(HEADERS, OPEN, 1, &block(&fields.concat())).await;
        frames.send(DATA, 0, 1, body).await;
        wait_until("the first part is with CodeScan", async || {
            recorder.has(|it| it.is_whole && it.body == body)
        })
        .await;
        frames.send(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let marker = Request(WHOLE, super::MARKER, &[(":path", "/marker")]).bytes(&session);
        frames.try_send(&marker).await.expect("the connection lives");
        while frames.next_of(&[HEADERS]).await.expect("an answer").stream != super::MARKER {}
        let arrived = recorder.take();
        assert!(arrived.iter().all(|it| it.is_plain() && !it.target().contains("smuggled")));
        assert!(arrived.iter().any(|it| it.target() == "/marker"), "and the marker is one");
    }
}
