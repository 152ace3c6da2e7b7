//! Answers that no server should give: what the client may see of them, and that the connection
//! they came on never gives its next answer to somebody else.

use http::StatusCode;

use crate::harness::Stage;
use crate::harness::upstream::{Call, Upstream};
use crate::harness::wire::{Wire, head};

/// What the client gets.
#[derive(Clone, Copy)]
enum Gets {
    /// `upstream_unreachable`.
    Refusal,
    /// An answer that ends before its end.
    Broken,
    Body(&'static str),
    /// A head with this status, which has no body.
    Head(u16),
}

use Gets::{Body, Broken, Head, Refusal};

/// What becomes of the connection to the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Closed,
    /// The upstream hangs up itself.
    HungUp,
}

use Then::{Closed, HungUp, Kept};

struct Case(&'static str, &'static str, Gets, Then);

const OK: &str = "HTTP/1.1 200 OK\r\n";
const SECOND: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond";

/// Answers to GET: status line aside, what follows `OK`.
#[rustfmt::skip] // A row a line.
const FRAMINGS: &[Case] = &[
    Case("one length", "content-length: 5\r\n\r\nhello", Body("hello"), Kept),
    Case("no body", "content-length: 0\r\n\r\n", Body(""), Kept),
    Case("equal lengths", "content-length: 5\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Kept),
    Case("a list of equal lengths", "content-length: 5, 5\r\n\r\nhello", Body("hello"), Kept),
    Case("lengths that differ", "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!", Refusal, Closed),
    Case("a list that differs", "content-length: 5, 6\r\n\r\nhello!", Refusal, Closed),
    Case("a sign", "content-length: +5\r\n\r\nhello", Refusal, Closed),
    Case("a minus", "content-length: -5\r\n\r\nhello", Refusal, Closed),
    Case("hexadecimal", "content-length: 0x5\r\n\r\nhello", Refusal, Closed),
    Case("an empty length", "content-length:\r\n\r\nhello", Refusal, Closed),
    Case("2^64", "content-length: 18446744073709551616\r\n\r\nhello", Refusal, Closed),
    Case("two numbers", "content-length: 5 5\r\n\r\nhello", Refusal, Closed),
    Case("a length and a coding", "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("a coding and a length", "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("gzip", "transfer-encoding: gzip\r\n\r\nhello", Refusal, Closed),
    Case("gzip and chunked", "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("chunked twice", "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("two codings", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("identity", "transfer-encoding: identity\r\n\r\nhello", Refusal, Closed),
    Case("a short body", "content-length: 10\r\n\r\nhello", Broken, HungUp),
    Case("an answer behind the answer", concat!("content-length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond" ), Body("hello"), Closed),
    Case("a byte too many", "content-length: 5\r\n\r\nhello!", Body("hello"), Closed),
    Case("a connection that closes", "connection: close\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Closed),
    Case("no length", "\r\nhello", Body("hello"), HungUp),
    Case("chunks", "transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", Body("hello"), Kept),
    Case("an answer behind the last chunk", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Body("hello"), Closed),
    Case("no last chunk", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Broken, HungUp),
    Case("half a chunk", "transfer-encoding: chunked\r\n\r\n5\r\nhel", Broken, HungUp),
    Case("a bad size", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", Broken, Closed),
    Case("a size of 2^64", "transfer-encoding: chunked\r\n\r\n10000000000000000\r\nhello\r\n", Broken, Closed),
    Case("a negative size", "transfer-encoding: chunked\r\n\r\n-1\r\nhello\r\n", Broken, Closed),
    Case("a bare line feed behind a size", "transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Broken, Closed),
    Case("a chunk longer than its size", "transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", Broken, Closed),
    Case("no size where there should be the last", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n\r\n", Broken, Closed),
    Case("a trailer without a colon", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nnothing\r\n\r\n", Broken, Closed),
    Case("a folded line", "x: a\r\n b\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a bare carriage return", "x: a\rb\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a NUL", "x: a\0b\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a blank before a colon", "content-length : 5\r\n\r\nhello", Refusal, Closed),
    Case("no colon", "nothing\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("no name", ": x\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("half a head", "x: y\r\n", Refusal, HungUp),
];

/// Whole answers to GET.
#[rustfmt::skip] // A row a line.
const STATUSES: &[Case] = &[
    Case("no reason", "HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Kept),
    Case("HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Closed),
    Case("HTTP/1.0 without one", "HTTP/1.0 200 OK\r\n\r\nhello", Body("hello"), HungUp),
    Case("HTTP/1.0 with a coding", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refusal, Closed),
    Case("another version", "HTTP/1.2 200 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("HTTP/2", "HTTP/2 200\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("another protocol", "ICY 200 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("no protocol", "<html>hello</html>\r\n\r\n", Refusal, Closed),
    Case("nothing", "", Refusal, HungUp),
    Case("a status of two digits", "HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a status of four digits", "HTTP/1.1 2000 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a status of 0", "HTTP/1.1 000 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("informational answers first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Kept),
    Case("an informational answer with a length", "HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Body("hello"), Kept),
    Case("an informational answer with a body", "HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Refusal, Closed),
    Case("a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", Refusal, Closed),
    Case("204", "HTTP/1.1 204 No Content\r\n\r\n", Head(204), Kept),
    Case("204 with a body", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", Head(204), Closed),
    Case("204 with chunks", "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Head(204), Closed),
    Case("304 with the length that a 200 would have", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Head(304), Kept),
    Case("304 with a body", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello", Head(304), Closed),
];

#[rustfmt::skip] // A row a line.
const TO_HEAD: &[Case] = &[
    Case("a length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Head(200), Kept),
    Case("a coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Head(200), Kept),
    Case("a body", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Head(200), Closed),
    Case("a body of chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Head(200), Closed),
    Case("both framings", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", Head(502), Closed),
];

#[tokio::test]
async fn answers_with_two_readings_or_none() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for case in FRAMINGS {
        answer_oddly(&stage, &upstream, "GET", case, &format!("{OK}{}", case.1)).await;
    }
    for case in STATUSES {
        answer_oddly(&stage, &upstream, "GET", case, case.1).await;
    }
    for case in TO_HEAD {
        answer_oddly(&stage, &upstream, "HEAD", case, case.1).await;
    }
}

#[tokio::test]
async fn answers_without_end() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let flood = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(40);
    let long = format!("{OK}x: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("{OK}{}\r\n", "x: y\r\n".repeat(200));
    for (name, wire) in [("interim answers", flood), ("a long field", long), ("many fields", many)]
    {
        let case = Case(name, "", Refusal, Closed);
        answer_oddly(&stage, &upstream, "GET", &case, &wire).await;
    }
}

async fn before(upstream: &Upstream) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
    })
    .await
}

/// Gives one answer; then another request on the client's connection must get its own.
async fn answer_oddly(stage: &Stage, upstream: &Upstream, method: &str, case: &Case, bytes: &str) {
    let Case(name, _, gets, then) = case;
    let mut wire = stage.client().open().await;
    wire.send(head(method, "/odd", "")).await;
    let mut call = upstream.call().await;
    // The proxy may hang up before the end.
    let _ = call.try_answer(bytes).await;
    let mut call = (*then != HungUp).then_some(call);
    expect(*gets, &mut wire, name).await;
    let mut wire = if matches!(gets, Broken) { stage.client().open().await } else { wire };
    wire.send(head("GET", "/next", "")).await;
    let mut next = match (*then, call.take()) {
        (Kept, Some(mut kept)) => {
            let head = kept.next_head().await;
            assert!(head.is_some_and(|head| head.starts_with("GET /next ")), "{name}: not kept");
            kept
        }
        (_, closed) => {
            let next = upstream.call().await;
            assert!(next.head.starts_with("GET /next "), "{name}: {}", next.head);
            closed_by_proxy(closed).await;
            next
        }
    };
    next.answer(SECOND).await;
    assert_eq!(wire.answer().await.text(), "second", "{name}");
}

async fn closed_by_proxy(call: Option<Call>) {
    if let Some(mut call) = call {
        call.closed().await;
    }
}

async fn expect(gets: Gets, wire: &mut Wire, name: &str) {
    match gets {
        Refusal => {
            let answer = wire.answer().await;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{name}");
            assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"), "{name}");
        }
        Broken => {
            let head = wire.head().await;
            assert_eq!(head.status, StatusCode::OK, "{name}");
            let body = String::from_utf8(wire.rest().await).expect("text");
            assert!(!body.ends_with("0\r\n\r\n"), "{name} ends cleanly: {body}");
            let length = head.header("content-length").and_then(|length| length.parse().ok());
            assert!(length.is_none_or(|length: usize| body.len() < length), "{name}: {body}");
        }
        Body(body) => {
            let answer = wire.answer().await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, body), "{name}");
        }
        Head(status) => assert_eq!(wire.head().await.status.as_u16(), status, "{name}"),
    }
}
