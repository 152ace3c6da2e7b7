//! Clients that take their time, and a `CodeScan` that does.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::harness::upstream::Upstream;
use crate::harness::wire::{Wire, get, head};
use crate::harness::{Settings, Stage, pattern};

async fn open_to_all(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

/// Sends a byte of a field now and then, until the proxy hangs up; how long that took.
async fn drip(mut wire: Wire) -> Duration {
    let began = Instant::now();
    while wire.try_send("x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_head_that_drips_in_is_not_waited_for_longer_than_one_that_stands_still() {
    let stage = open_to_all(|settings| {
        settings.text("server.header_timeout", "2s").text("server.idle_timeout", "60s");
    })
    .await;
    let beginning = "GET /api/x HTTP/1.1\r\nHost: h\r\nX-Slow: ";
    let mut first = stage.client().open().await;
    first.send(beginning).await;
    let mut second = stage.client().open().await;
    second.get("/bytes/1", "").await;
    second.send(beginning).await;
    let mut pipelined = stage.client().open().await;
    pipelined.send(format!("{}{beginning}", get("/bytes/1", ""))).await;
    pipelined.answer().await;
    for (what, took) in [
        ("the first", tokio::spawn(drip(first))),
        ("the second", tokio::spawn(drip(second))),
        ("one that was pipelined", tokio::spawn(drip(pipelined))),
    ] {
        let took = took.await.expect("it ends");
        assert!(took < Duration::from_secs(6), "{what} was waited for {took:?}");
    }
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn an_upload_that_codescan_does_not_take_is_a_504() {
    let upstream = Upstream::start().await;
    let stage = open_to_all(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.text("codescan.response_timeout", "1s");
    })
    .await;
    let client = stage.client();
    let body = pattern(32 * 1024 * 1024);
    let (answer, mut call) =
        tokio::join!(client.send(Method::POST, "/x", &[], body), upstream.call());
    assert_eq!(answer.error_code().as_deref(), Some("upstream_timeout"));
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    call.closed().await;
}

#[tokio::test]
async fn a_codescan_that_reads_slowly_is_waited_for_as_long_as_it_takes_something() {
    let upstream = Upstream::start().await;
    let stage = open_to_all(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.text("codescan.response_timeout", "2s");
    })
    .await;
    let client = stage.client();
    let length = 40 * 1024 * 1024;
    let reading = async {
        let mut call = upstream.call().await;
        // Longer than the limit in all; but not at the end, what the kernel holds has been sent.
        for _ in 0..10 {
            call.take(length / 10).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        call.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(client.send(Method::POST, "/x", &[], pattern(length)), reading);
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_rests_in_its_upload_is_not_codescans_fault() {
    let stage = open_to_all(|settings| {
        settings.text("codescan.response_timeout", "1s");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/api/ce/submit", "Content-Length: 2\r\n")).await;
    wire.send("a").await;
    stage.codescan.wait_for(|it| it.path() == "/api/ce/submit" && it.body_length == 1).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    wire.send("b").await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
}
