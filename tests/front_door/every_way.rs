//! What holds over HTTP/1.1 and HTTP/2, with TLS and without.

use std::time::Duration;

use http::StatusCode;

use crate::harness::upstream::Upstream;
use crate::harness::ways::{Way, every_way};
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

/// However it was asked, what `CodeScan` did not finish does not seem finished.
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

/// `CodeScan` hears of it at once, whether it reads or only thinks.
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

/// RFC 9110 §9.2.2: only what may be done twice is sent again, and the client does not notice.
#[tokio::test]
async fn a_connection_that_went_stale_costs_no_get_its_answer_and_repeats_no_post() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url()).set("server.workers", "1");
        },
        async |_, way| {
            let warm = async || {
                let answering = async {
                    let mut call = upstream.call().await;
                    call.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    call
                };
                tokio::join!(way.get("/first"), answering).1
            };
            let mut kept = warm().await;
            let answering = async {
                kept.next_head().await.expect("it goes out on the kept connection");
                drop(kept);
                let mut call = upstream.call().await;
                assert!(call.head.starts_with("GET /again "), "{}", call.head);
                let fields = "connection: close\r\ncontent-length: 0";
                call.answer(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
            };
            tokio::join!(way.get("/again"), answering);

            let mut kept = warm().await;
            let mut post = way.post("/once", 2).await;
            post.send(b"ab").await;
            kept.next_head().await.expect("it goes out on the kept connection");
            drop(kept);
            assert_eq!(post.head().await, StatusCode::BAD_GATEWAY, "{}", way.name);
            assert!(upstream.is_left_alone().await, "{}", way.name);
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_upload_arrives() {
    let upstream = Upstream::start().await;
    every_way(
        |settings| {
            settings.text("codescan.url", upstream.url());
        },
        async |_, way| {
            let mut upload = way.post("/x", 1_000_000).await;
            upload.send(&pattern(1000)).await;
            let mut call = upstream.call().await;
            call.answer("HTTP/1.1 413 Too Much\r\ncontent-length: 2\r\n\r\nno").await;
            assert_eq!(upload.head().await, StatusCode::PAYLOAD_TOO_LARGE, "{}", way.name);
            assert_eq!(upload.take(2).await, "no", "{}", way.name);
            call.closed().await;
        },
    )
    .await;
}

/// The first half minute is free, and the second is judged as a whole; so this takes its time.
#[tokio::test]
async fn a_body_that_only_drips_is_given_up_and_one_on_a_slow_line_is_not() {
    const LENGTH: usize = 100_000;
    const PAUSE: Duration = Duration::from_secs(5);
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let [one, two] = Way::both(&stage, None);
    let upload = async |way: &Way, each_time: usize| {
        let mut upload = way.post("/api/ce/submit", LENGTH).await;
        for _ in 0..11 {
            upload.send(&pattern(each_time)).await;
            tokio::time::sleep(PAUSE).await;
        }
        upload
    };
    let drips = async |way: &Way| {
        assert_eq!(upload(way, 1).await.head().await, StatusCode::BAD_REQUEST, "{}", way.name);
    };
    // 300 bytes a second.
    let goes_on = async |way: &Way| {
        let mut upload = upload(way, 1_500).await;
        for _ in 0..2 {
            upload.send(&pattern(1_500)).await;
            tokio::time::sleep(PAUSE).await;
        }
        upload.send(&pattern(LENGTH - 13 * 1_500)).await;
        assert_eq!(upload.head().await, StatusCode::OK, "{}", way.name);
    };
    tokio::join!(drips(&one), drips(&two), goes_on(&one), goes_on(&two));
}
