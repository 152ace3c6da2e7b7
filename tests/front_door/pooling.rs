//! Connections to `CodeScan`: kept, encrypted, and what happens to one that went stale.

use std::time::Duration;

use http::{Method, StatusCode};
use simulator::codescan::Tls;
use simulator::{BitbucketOptions, CodescanOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::upstream::{Call, Upstream};
use crate::harness::wire::{Wire, get, head};
use crate::harness::{Answer, Settings, Stage, kept_file, patiently, sha256, wait_until};

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Before an upstream of our own making, open to all, with one worker and so one pool.
async fn before(upstream: &Upstream) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
    })
    .await
}

/// A wire and an upstream connection that one request has gone through.
async fn warm(stage: &Stage, upstream: &Upstream) -> (Wire, Call) {
    let mut wire = stage.client().open().await;
    wire.send(get("/first", "")).await;
    let mut call = upstream.call().await;
    call.answer(EMPTY).await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
    (wire, call)
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let (mut wire, mut call) = warm(&stage, &upstream).await;
    for number in 0..5 {
        wire.send(get(&format!("/{number}"), "")).await;
        let next = call.next_head().await.expect("the same connection");
        assert!(next.starts_with(&format!("GET /{number} ")));
        call.answer(EMPTY).await;
        assert_eq!(wire.answer().await.status, StatusCode::OK);
    }
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_bodiless_get_survives_a_connection_that_went_stale() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let (mut wire, mut kept) = warm(&stage, &upstream).await;
        wire.send(head(method, "/again", "")).await;
        kept.next_head().await.expect("it goes out on the kept connection");
        drop(kept);
        let mut call = upstream.call().await;
        assert!(call.head.starts_with(&format!("{method} /again ")));
        call.answer("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        assert_eq!(wire.head().await.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn what_could_have_been_done_is_not_sent_twice() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for (method, fields) in [
        ("POST", ""),
        ("PATCH", ""),
        ("POST", "Content-Length: 2\r\n"),
        ("PUT", "Content-Length: 2\r\n"),
    ] {
        let (mut wire, mut kept) = warm(&stage, &upstream).await;
        wire.send(head(method, "/once", fields)).await;
        wire.send(if fields.is_empty() { "" } else { "ab" }).await;
        kept.next_head().await.expect("it goes out on the kept connection");
        drop(kept);
        let answer = wire.answer().await;
        assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"), "{method}");
        assert!(upstream.is_left_alone().await, "{method} went out once more");
    }
}

#[tokio::test]
async fn a_fresh_connection_that_is_lost_is_not_tried_again() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(get("/once", "")).await;
    drop(upstream.call().await);
    assert_eq!(wire.answer().await.error_code().as_deref(), Some("upstream_unreachable"));
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_closed_while_it_idled_is_not_used_even_for_a_post() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let (mut wire, idle) = warm(&stage, &upstream).await;
    drop(idle);
    wait_until("the proxy has noticed", async || {
        let metrics = stage.admin("/metrics").await.text();
        metrics.contains("upstream_connections{state=\"idle\"} 0\n")
    })
    .await;
    wire.send(head("POST", "/x", "Content-Length: 2\r\n\r\nab")).await;
    let mut call = upstream.call().await;
    call.answer(EMPTY).await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_are_never_an_answer() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let (mut wire, mut call) = warm(&stage, &upstream).await;
    call.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong").await;
    call.closed().await;
    wire.send(get("/second", "")).await;
    let mut fresh = upstream.call().await;
    fresh.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nright").await;
    assert_eq!(wire.answer().await.text(), "right");
}

#[tokio::test]
async fn a_connection_whose_upload_was_not_read_is_not_used_again() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut upload = stage.client().open().await;
    upload.send(head("POST", "/early", "Content-Length: 100\r\n\r\nabc")).await;
    let mut call = upstream.call().await;
    call.answer(EMPTY).await;
    assert_eq!(upload.answer().await.status, StatusCode::OK);
    let mut wire = stage.client().open().await;
    wire.send(get("/second", "")).await;
    let mut fresh = upstream.call().await;
    fresh.answer(EMPTY).await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
}

async fn echo_through(codescan: CodescanOptions, change: impl FnOnce(&mut Settings)) -> Answer {
    let stage = Stage::between(BitbucketOptions::default(), codescan, change).await;
    let session = stage.session_of("jcitizen").await;
    let body = "x".repeat(100_000);
    let answer = session.send(Method::POST, "/api/ce/submit", &[], body.clone()).await;
    assert_eq!(answer.json()["sha256"], sha256(body.as_bytes()));
    answer
}

#[tokio::test]
async fn codescan_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let unix_socket = Some(folder.path().join("codescan.sock"));
    echo_through(CodescanOptions { unix_socket, ..CodescanOptions::default() }, |_| {}).await;
}

#[tokio::test]
async fn codescan_over_https_with_a_private_authority() {
    let stage = before_tls(Tls::Server, |_, _| {}).await;
    let answer = stage.client().get("/bytes/10").await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"), "not trusted yet");
    let stage = before_tls(Tls::Server, trust).await;
    assert_eq!(stage.client().get("/bytes/100000").await.body.len(), 100_000);
}

#[tokio::test]
async fn codescan_that_asks_for_a_certificate() {
    let stage = before_tls(Tls::Mutual, trust).await;
    let answer = stage.client().get("/bytes/10").await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"), "none was shown");
    let stage = before_tls(Tls::Mutual, |settings, codescan| {
        trust(settings, codescan);
        let identity = codescan.client_identity().expect("an identity");
        let certificate = kept_file("certificate", &identity.certificate_pem);
        settings.text("codescan.client_certificate_file", &certificate);
        settings.text("codescan.client_key_file", &kept_file("key", &identity.key_pem));
    })
    .await;
    assert_eq!(stage.client().get("/bytes/10").await.body.len(), 10);
}

fn trust(settings: &mut Settings, codescan: &simulator::Codescan) {
    settings.text("codescan.ca_file", &kept_file("ca", codescan.ca_pem()));
}

async fn before_tls(tls: Tls, change: impl FnOnce(&mut Settings, &simulator::Codescan)) -> Stage {
    let options = CodescanOptions { tls, ..CodescanOptions::default() };
    let codescan = simulator::Codescan::start(options).await.expect("the upstream starts");
    let mut stage = Stage::with(|settings| {
        settings.text("codescan.url", codescan.url());
        settings.set("access.public", "[\"/**\"]");
        change(settings, &codescan);
    })
    .await;
    stage.codescan = codescan;
    stage
}

/// An upload of which the rest was taken in and waits to be written, when the answer comes: the
/// next request must not go out in its place, where `CodeScan` would read it as that rest.
#[tokio::test]
async fn no_request_stands_in_for_the_rest_of_another_ones_body() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("codescan.sock");
    // What a unix socket holds unread does not grow, so the rest is there with one of the lengths.
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", &format!("unix:{}", path.display()));
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
    });
    let (stage, mut call) = tokio::join!(stage, next_call(&listener, "GET /api/system/status "));
    call.write_all(EMPTY.as_bytes()).await.expect("the proxy reads");
    for length in (100_000..500_000).step_by(40_000) {
        let mut upload = stage.client().open().await;
        upload.send(head("POST", "/early", &format!("Content-Length: {length}\r\n"))).await;
        let mut call = next_call(&listener, "POST /early ").await;
        upload.send(vec![b'x'; length]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        call.write_all(EMPTY.as_bytes()).await.expect("the proxy reads");
        assert_eq!(upload.answer().await.status, StatusCode::OK);
        let mut wire = stage.client().open().await;
        wire.send(get("/second", "")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut body = vec![0; length];
        let mut got = 0;
        while got < length {
            match call.read(&mut body[got..]).await {
                Ok(more) if more > 0 => got += more,
                _ => break,
            }
        }
        assert!(body[..got].iter().all(|byte| *byte == b'x'), "in a body of {length}");
    }
}

/// The next connection whose request begins so, read up to the end of its head.
async fn next_call(listener: &tokio::net::UnixListener, start: &str) -> tokio::net::UnixStream {
    loop {
        let (mut stream, _) = patiently("a call", listener.accept()).await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        if head.starts_with(start.as_bytes()) {
            return stream;
        }
        let _ = stream.write_all(EMPTY.as_bytes()).await;
    }
}
