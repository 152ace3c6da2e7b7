//! `Expect: 100-continue`: whether a body is wanted is for `CodeScan` to say (RFC 9110 §10.1.1).

use http::StatusCode;

use crate::harness::upstream::{Call, Upstream};
use crate::harness::wire::{Wire, head};
use crate::harness::{Stage, wait_until};

const EXPECTS: &str = "Expect: 100-continue\r\nContent-Length: 2\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A request that waits to be told to go on, and what `CodeScan` got of it.
async fn expecting(fields: &str) -> (Stage, Upstream, Wire, Call) {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/x", fields)).await;
    let call = upstream.call().await;
    (stage, upstream, wire, call)
}

#[tokio::test]
async fn a_body_that_is_wanted_is_asked_for() {
    for framing in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        let fields = format!("Expect: 100-Continue\r\n{framing}");
        let (_stage, _upstream, mut wire, mut call) = expecting(&fields).await;
        assert!(call.head.contains("expect: 100-Continue\r\n"), "{}", call.head);
        call.answer(CONTINUE).await;
        wire.until(CONTINUE).await;
        wire.send(if framing.starts_with('C') { "ok" } else { "2\r\nok\r\n0\r\n\r\n" }).await;
        call.body_until(b"ok").await;
        call.answer(EMPTY).await;
        assert_eq!(wire.answer().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_body_that_is_not_wanted_is_never_asked_for() {
    let (_stage, upstream, mut wire, mut call) = expecting(EXPECTS).await;
    call.answer("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "no"));
    assert!(wire.is_closed().await, "what comes next could be the body or a request");
    call.closed().await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_codescan_that_says_nothing_gets_the_body_all_the_same() {
    let (_stage, _upstream, mut wire, mut call) = expecting(EXPECTS).await;
    wire.until(CONTINUE).await;
    wire.send("ok").await;
    assert_eq!(call.body_until(b"ok").await, "ok");
    call.answer(EMPTY).await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_served() {
    let (_stage, _upstream, mut wire, mut call) = expecting(EXPECTS).await;
    wire.send("ok").await;
    call.answer(CONTINUE).await;
    assert_eq!(call.body_until(b"ok").await, "ok");
    call.answer(EMPTY).await;
    while wire.head().await.status != StatusCode::OK {}
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_leaves_nothing_behind() {
    let (stage, _upstream, wire, mut call) = expecting(EXPECTS).await;
    drop(wire);
    call.closed().await;
    wait_until("nothing is under way", async || {
        let metrics = stage.admin("/metrics").await.text();
        metrics.contains("upstream_connections{state=\"active\"} 0\n")
    })
    .await;
}

#[tokio::test]
async fn an_expectation_of_http_1_0_or_without_a_body_is_none() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    for request in [
        format!("POST / HTTP/1.0\r\nHost: codescan.test\r\n{EXPECTS}\r\nok"),
        head("POST", "/", "Expect: 100-continue\r\n"),
        head("GET", "/", "Expect: 100-continue\r\n"),
    ] {
        let mut wire = stage.client().open().await;
        wire.send(&request).await;
        let mut call = upstream.call().await;
        assert!(!call.head.contains("expect"), "{}", call.head);
        call.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        assert_eq!(wire.head().await.status, StatusCode::OK, "{request}");
    }
}
