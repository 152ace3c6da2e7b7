//! Trailer fields both ways: what may follow a body does, what only a head may say does not.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::harness::http2::Http2;
use crate::harness::upstream::Upstream;
use crate::harness::wire::{get, head};
use crate::harness::{Stage, patiently};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// Before an upstream of our own making, open to all.
async fn before(upstream: &Upstream) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await
}

/// What an HTTP/1.1 client gets after the head of this answer.
async fn answered(fields: &str, answer: &str) -> (HeaderMap, String) {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(get("/", fields)).await;
    upstream.call().await.answer(format!("HTTP/1.1 200 OK\r\n{CHUNKED}{answer}")).await;
    let head = wire.head().await;
    let rest = wire.until(b"\r\n\r\n").await;
    (head.headers, String::from_utf8(rest).expect("text"))
}

#[tokio::test]
async fn announced_trailers_of_an_answer_reach_who_takes_them() {
    let answer =
        "trailer: X-Sum, Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\nset-cookie: a=b\r\n\r\n";
    let (head, rest) = answered("TE: trailers\r\n", answer).await;
    assert_eq!(head["trailer"], "x-sum");
    assert_eq!(rest, "2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n");
}

#[tokio::test]
async fn who_takes_no_trailers_gets_none() {
    let answer = "trailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    let (_, rest) = answered("", answer).await;
    assert_eq!(rest, "2\r\nok\r\n0\r\n\r\n");
}

#[tokio::test]
async fn codescan_is_told_that_trailers_are_taken_only_if_they_are() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for (said, passed) in
        [("", false), ("TE: gzip\r\n", false), ("TE: gzip;q=1, Trailers\r\n", true)]
    {
        let mut wire = stage.client().open().await;
        wire.send(get("/", said)).await;
        let call = upstream.call().await;
        assert_eq!(call.head.contains("te: trailers\r\n"), passed, "{said:?}: {}", call.head);
        assert_eq!(call.head.contains("connection: te\r\n"), passed, "{said:?}");
    }
}

/// What `CodeScan` gets of a chunked request with these fields and this trailer section.
async fn asked(fields: &str, trailers: &str) -> (String, String) {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/", &format!("{fields}{CHUNKED}"))).await;
    wire.send(format!("2\r\nok\r\n0\r\n{trailers}\r\n")).await;
    let mut call = upstream.call().await;
    let body = call.body_until(b"\r\n\r\n").await;
    (call.head, body)
}

#[tokio::test]
async fn trailers_of_a_request_pass() {
    let (head, body) = asked("Trailer: X-Sum\r\n", "X-Sum: 1\r\nx-other: 2\r\n").await;
    assert!(head.contains("trailer: x-sum\r\n"), "{head}");
    assert_eq!(body, "2\r\nok\r\n0\r\nx-sum: 1\r\nx-other: 2\r\n\r\n");
}

#[tokio::test]
async fn trailers_that_name_somebody_or_a_length_do_not() {
    let (head, body) = asked(
        "Trailer: Authorization, X-Forwarded-Login\r\nConnection: X-Hop\r\n",
        "Authorization: Basic eA==\r\nX_Forwarded_Login: admin\r\nContent-Length: 3\r\n\
         Transfer-Encoding: x\r\nCookie: a=b\r\nX-Hop: 1\r\n",
    )
    .await;
    assert!(!head.contains("trailer:"), "{head}");
    assert_eq!(body, "2\r\nok\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_body_of_known_length_announces_none() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/", "Trailer: X-Sum\r\nContent-Length: 2\r\n")).await;
    wire.send("ok").await;
    let call = upstream.call().await;
    assert!(!call.head.contains("trailer"), "{}", call.head);
}

#[tokio::test]
async fn trailers_pass_between_http2_and_http1() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut client = Http2::open(&stage.client()).await;
    let (answer, mut body) = client.send(client.request("POST", "/"), false).await;
    body.send_data(Bytes::from_static(b"ok"), false).expect("it is sent");
    let trailers = [("x-sum", "1"), ("authorization", "Basic eA==")];
    let trailers = trailers
        .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)));
    body.send_trailers(HeaderMap::from_iter(trailers)).expect("they are sent");
    let mut call = upstream.call().await;
    assert!(call.body_until(b"\r\n\r\n").await.ends_with("0\r\nx-sum: 1\r\n\r\n"));
    let end = "2\r\nok\r\n0\r\nx-sum: 2\r\nset-cookie: a=b\r\n\r\n";
    call.answer(format!("HTTP/1.1 200 OK\r\n{CHUNKED}\r\n{end}")).await;
    let mut answer = patiently("an answer", answer).await.expect("an answer").into_body();
    while let Some(piece) = patiently("a piece", answer.data()).await {
        piece.expect("a piece");
    }
    let trailers = patiently("trailers", answer.trailers()).await.expect("an end");
    let trailers = trailers.expect("some");
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &HeaderValue::from_static("2")));
}
