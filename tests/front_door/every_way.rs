//! What holds over HTTP/1.1 and HTTP/2, with TLS and without.

use std::time::Duration;

use http::StatusCode;

use crate::harness::upstream::Upstream;
use crate::harness::ways::every_way;
use crate::harness::{Stage, pattern, sha256};

const MIB: usize = 1024 * 1024;
const BIG: usize = 50 * MIB;

async fn resident(stage: &Stage) -> f64 {
    stage.metric("process_resident_memory_bytes").await
}

/// A reader holds its windows and a few pieces, whatever the length of what it reads.
#[tokio::test]
async fn a_download_costs_the_same_memory_whatever_its_length() {
    let body = pattern(BIG);
    every_way(
        |_| {},
        async |stage, way| {
            way.get("/bytes/2000000").await.take(2_000_000).await;
            let before = resident(stage).await;
            let mut download = way.get(&format!("/bytes/{BIG}")).await;
            let mut most = before;
            for piece in body.chunks(4 * MIB) {
                // What can be written ahead is, while the memory is looked at.
                most = resident(stage).await.max(most);
                assert!(download.take(piece.len()).await == piece, "{}", way.name);
            }
            let more = most - before;
            assert!(more < 1.5e6, "{}: {more} bytes beside {before}", way.name);
        },
    )
    .await;
}

#[tokio::test]
async fn an_upload_costs_the_same_memory_whatever_its_length() {
    let body = pattern(BIG);
    every_way(
        |_| {},
        async |stage, way| {
            let mut first = way.post("/api/ce/submit", 2 * MIB).await;
            first.send(&body[..2 * MIB]).await;
            assert_eq!(first.head().await, StatusCode::OK);
            let before = resident(stage).await;
            let mut upload = way.post("/api/ce/submit", BIG).await;
            let mut most = before;
            for piece in body.chunks(4 * MIB) {
                upload.send(piece).await;
                most = resident(stage).await.max(most);
            }
            assert_eq!(upload.head().await, StatusCode::OK, "{}", way.name);
            let received = stage.received("/api/ce/submit");
            assert_eq!(received.body_sha256, Some(sha256(&body)), "{}", way.name);
            let more = most - before;
            assert!(more < 2e6, "{}: {more} bytes beside {before}", way.name);
        },
    )
    .await;
}

/// The upstream is one of ours, so that nothing at all is said in between.
#[tokio::test]
async fn events_come_at_once_and_silence_is_no_end() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
            settings.text("server.idle_timeout", "1s").text("server.header_timeout", "1s");
            settings.text("codescan.response_timeout", "1s");
        },
        async |_, way| {
            let answering = async {
                let mut call = upstream.call().await;
                let head = "content-type: text/event-stream\r\ntransfer-encoding: chunked";
                call.answer(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")).await;
                call
            };
            let (mut events, mut call) = tokio::join!(way.get("/events"), answering);
            // Each is sent only when the one before has come, however short it is.
            for event in ["a", "b", ": c\n\n", "d"] {
                call.answer(format!("{:x}\r\n{event}\r\n", event.len())).await;
                events.until(event.as_bytes()).await;
            }
            // Silence longer than all that is waited for elsewhere.
            tokio::time::sleep(Duration::from_secs(4)).await;
            call.answer("1\r\ne\r\n").await;
            events.until(b"e").await;
            drop(events);
            call.closed().await;
        },
    )
    .await;
}

/// However it was asked, what CodeScan did not finish does not seem finished.
#[tokio::test]
async fn an_answer_that_breaks_off_has_no_clean_end() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
        },
        async |_, way| {
            for (end, is_clean) in [("", false), ("0\r\n\r\n", true)] {
                let answering = async {
                    let mut call = upstream.call().await;
                    call.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n").await;
                    call.answer(format!("connection: close\r\n\r\n2\r\nok\r\n{end}")).await;
                };
                let (mut exchange, ()) = tokio::join!(way.get("/x"), answering);
                exchange.until(b"ok").await;
                assert_eq!(exchange.ends_well().await, is_clean, "{} {end:?}", way.name);
            }
        },
    )
    .await;
}

/// CodeScan hears of it at once, whether it reads or only thinks.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_cancels_it() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
        },
        async |_, way| {
            for sent in [0, 1000] {
                let mut upload = way.post("/api/ce/submit", 1_000_000).await;
                upload.send(&pattern(sent)).await;
                let mut call = upstream.call().await;
                call.take(sent).await;
                drop(upload);
                call.closed().await;
            }
        },
    )
    .await;
}

/// The same where the answer has begun already.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_answer_cancels_it() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
        },
        async |_, way| {
            let answering = async {
                let mut call = upstream.call().await;
                call.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nok").await;
                call
            };
            let (mut exchange, mut call) = tokio::join!(way.get("/x"), answering);
            exchange.take(2).await;
            drop(exchange);
            call.closed().await;
        },
    )
    .await;
}

/// An answer larger than every window and buffer, and a reader that does not begin.
#[tokio::test]
async fn a_reader_that_does_not_read_stops_codescan() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
        },
        async |stage, way| {
            let answering = async {
                let mut call = upstream.call().await;
                call.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n")).await;
                call
            };
            let (mut exchange, mut call) = tokio::join!(way.get("/x"), answering);
            let before = resident(stage).await;
            let body = pattern(BIG);
            let mut stuck = Box::pin(call.try_answer(&body));
            // What the kernel takes on both sides is some MiB; the rest has nowhere to go.
            let written = tokio::time::timeout(Duration::from_secs(2), &mut stuck).await;
            assert!(written.is_err(), "{}: it all went somewhere", way.name);
            let more = resident(stage).await - before;
            assert!(more < 1.5e6, "{}: {more} bytes", way.name);
            let reading = async {
                for piece in body.chunks(MIB) {
                    assert!(exchange.take(piece.len()).await == piece, "{}", way.name);
                }
            };
            let (written, ()) = tokio::join!(stuck, reading);
            written.expect("it is read to its end");
        },
    )
    .await;
}
