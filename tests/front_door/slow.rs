//! Clients that are slow in every way, and lose nothing by it.

use http::{Method, StatusCode};

use crate::harness::upstream::Upstream;
use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern, sha256};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_a_head() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    for number in 0..3 {
        let target = format!("/api/x?{number}");
        for byte in get(&target, &session.lines()).as_bytes() {
            wire.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.answer().await.json()["target"], target);
    }
}

#[tokio::test]
async fn bodies_that_come_byte_by_byte_arrive_whole() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let chunked: String = "hello".chars().map(|letter| format!("1;x=y\r\n{letter}\r\n")).collect();
    for (framing, body) in [
        ("Content-Length: 5", "hello".to_owned()),
        ("Transfer-Encoding: chunked", format!("{chunked}0\r\nX-Sum: 1\r\n\r\n")),
    ] {
        let fields = format!("{}{framing}\r\n", session.lines());
        wire.send(head("POST", "/api/echo", &fields)).await;
        for byte in body.as_bytes() {
            wire.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.json()["body"].as_str()),
            (StatusCode::OK, Some("hello"))
        );
    }
}

/// What the kernel holds aside, a reader that waits costs no more than a few hundred KiB.
#[tokio::test]
async fn readers_that_wait_cost_no_memory_and_lose_nothing() {
    const READERS: usize = 8;
    const LENGTH: usize = 50 * MIB;
    let stage = Stage::with(|settings| {
        // A line for each piece would be most of the work.
        settings.text("log.level", "warn");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    session.get("/bytes/1000000").await;
    let before = stage.proxy.resident();
    let mut wires = Vec::new();
    for _ in 0..READERS {
        let mut wire = session.open().await;
        wire.send(get(&format!("/bytes/{LENGTH}"), &session.lines())).await;
        wire.head().await;
        wires.push(wire);
    }
    let mut most = 0;
    let wanted = pattern(LENGTH);
    for piece in wanted.chunks(LENGTH / 100) {
        for wire in &mut wires {
            assert!(wire.take(piece.len()).await == piece);
        }
        most = most.max(stage.proxy.resident());
    }
    let each = most.saturating_sub(before) / READERS;
    assert!(each < MIB, "{each} bytes for each of {READERS} readers, beside {before}");
}

#[tokio::test]
async fn a_writer_that_waits_costs_no_memory_and_loses_nothing() {
    const LENGTH: usize = 50 * MIB;
    let stage = Stage::with(|settings| {
        settings.text("log.level", "warn");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    session.send(Method::POST, "/api/ce/submit", &[], pattern(MIB)).await;
    let before = stage.proxy.resident();
    let mut wire = session.open().await;
    let fields = format!("{}Content-Length: {LENGTH}\r\n", session.lines());
    wire.send(head("POST", "/api/ce/submit", &fields)).await;
    let (wanted, mut most) = (pattern(LENGTH), 0);
    for piece in wanted.chunks(LENGTH / 100) {
        wire.send(piece).await;
        most = most.max(stage.proxy.resident());
    }
    assert_eq!(wire.answer().await.json()["sha256"], sha256(&wanted));
    let more = most.saturating_sub(before);
    assert!(more < 2 * MIB, "{more} bytes beside {before}");
}

/// hyper once cut such answers short (its issue 4022): the upstream has long hung up, and the
/// connection is to be closed behind the answer, of which the reader has seen nothing yet.
#[tokio::test]
async fn the_end_of_an_answer_waits_for_its_reader() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let body = pattern(3 * MIB + 7);
    let chunks = body
        .chunks(40_000)
        .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    let chunked = [chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat();
    for (framing, bytes) in [
        (format!("content-length: {}", body.len()), &body),
        ("transfer-encoding: chunked".to_owned(), &chunked),
        ("connection: close".to_owned(), &body),
    ] {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let mut wire = stage.client().open().await;
            wire.send(format!("GET / {version}\r\nHost: h\r\nConnection: close\r\n\r\n")).await;
            let mut call = upstream.call().await;
            let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            let answer = [answer.as_bytes(), bytes].concat();
            let answering = tokio::spawn(async move { call.answer(answer).await });
            let head = wire.head().await;
            // Meanwhile all that can be written is.
            for _ in 0..20 {
                stage.client().get("/_codescan/oauth2/userinfo").await;
            }
            let came = if head.header("transfer-encoding").is_some() {
                wire.chunked().await.to_vec()
            } else {
                let mut came = wire.take(1000).await.to_vec();
                came.extend_from_slice(&wire.rest().await);
                came
            };
            assert!(came == body, "{framing}, {version}: {} of {}", came.len(), body.len());
            answering.await.expect("all of it is read");
        }
    }
}
