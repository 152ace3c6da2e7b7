//! Nothing is gathered on the way: streams, early answers, broken ones, readers that dawdle.

use http::{Method, StatusCode};

use crate::harness::upstream::Upstream;
use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern, sha256};

#[tokio::test]
async fn events_arrive_one_by_one_as_they_are_sent() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(get("/api/push/sonarlint_events?projectKeys=a", &session.lines())).await;
    assert_eq!(wire.head().await.header("content-type"), Some("text/event-stream"));
    for number in 0..5 {
        stage.codescan.wait_for_event_streams(1).await;
        stage.codescan.push_event(&format!("event-{number}"));
        // The next is sent only when this one has come.
        wire.until(format!("event-{number}\n\n").as_bytes()).await;
    }
    drop(wire);
    stage.codescan.wait_for_event_streams(0).await;
}

#[tokio::test]
async fn the_answer_begins_while_the_upload_goes_on() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let fields = format!("{}Content-Length: 1000000\r\n", session.lines());
    wire.send(head("POST", "/early?status=413", &fields)).await;
    wire.send(pattern(1000)).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.text(), "I have heard enough.\n");
}

#[tokio::test]
async fn a_client_in_full_swing_still_gets_the_early_answer() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for _ in 0..5 {
        let body = pattern(8 * 1024 * 1024);
        let answer = session.send(Method::POST, "/early?status=413", &[], body).await;
        assert_eq!(answer.text(), "I have heard enough.\n");
    }
}

#[tokio::test]
async fn an_upload_reaches_codescan_piece_by_piece() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let fields = format!("{}Content-Length: 20\r\n", session.lines());
    wire.send(head("POST", "/api/ce/submit", &fields)).await;
    wire.send(&pattern(20)[..10]).await;
    stage.codescan.wait_for(|it| it.path() == "/api/ce/submit" && it.body_length == 10).await;
    wire.send(&pattern(20)[10..]).await;
    assert_eq!(wire.answer().await.json()["sha256"], sha256(&pattern(20)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut wire = stage.client().open().await;
        wire.send(get("/", "")).await;
        let mut call = upstream.call().await;
        call.answer(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n")).await;
        drop(call);
        let answer = wire.rest().await;
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.contains("hello"), "what came is passed on: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "no clean end: {answer}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_for_the_client() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    assert!(session.try_get("/die").await.is_err());
    let lost = session.get("/die-at-once").await;
    assert_eq!(lost.error_code().as_deref(), Some("upstream_unreachable"));
    assert_eq!(session.get("/bytes/3").await.body, pattern(3));
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_whole() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        stage.codescan.clear_requests();
        let mut wire = session.open().await;
        let fields = format!("{}{framing}\r\n", session.lines());
        wire.send(head("POST", "/api/ce/submit", &fields)).await;
        wire.send("5\r\nhello\r\n").await;
        stage.codescan.wait_for(|it| it.path() == "/api/ce/submit" && it.body_length > 0).await;
        drop(wire);
        stage.codescan.wait_for_open_requests(0).await;
        assert_eq!(stage.received("/api/ce/submit").body_sha256, None, "{framing}");
    }
}

#[tokio::test]
async fn a_broken_chunk_is_not_passed_on_as_a_good_one() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Transfer-Encoding: chunked\r\n", session.lines());
    for chunk in [
        "x\r\nhello\r\n",
        "5\r\nhelloX",
        "FFFFFFFFFFFFFFFFF\r\nhello",
        "-1\r\n",
        "+5\r\nhello\r\n",
        "5\nhello\r\n",
        "5;a=b\nhello\r\n",
        "5\r\nhello\n",
        "\r\n5\r\nhello\r\n",
    ] {
        stage.codescan.clear_requests();
        let request = format!("{}{chunk}0\r\n\r\n", head("POST", "/api/ce/submit", &fields));
        let answer = String::from_utf8(session.raw(request.as_bytes()).await).expect("text");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        let arrived = stage.codescan.requests_to("/api/ce/submit");
        assert!(arrived.iter().all(|request| request.body_sha256.is_none()), "{chunk:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_request_at_codescan() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(get("/hang", &session.lines())).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    drop(wire);
    stage.codescan.wait_for_open_requests(0).await;
}

#[tokio::test]
async fn a_reader_that_dawdles_gets_all_of_the_last_answer() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Connection: close\r\n", session.lines());
    for length in [300_000, 3_000_000, 12_000_000] {
        let mut wire = session.open().await;
        wire.send(get(&format!("/bytes/{length}"), &fields)).await;
        let answer = wire.head().await;
        assert_eq!(answer.header("connection"), Some("close"));
        // Meanwhile everything else is served, so all that can be written has been.
        for _ in 0..20 {
            session.get("/bytes/100000").await;
        }
        assert_eq!(sha256(&wire.rest().await), sha256(&pattern(length)), "{length} bytes");
    }
}

#[tokio::test]
async fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6",
        "HTTP/1.1 200 OK\r\ncontent-length: +5",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked",
        "HTTP/1.1 200 OK\r\ncontent-length : 5",
        "HTTP/1.1 200 OK\r\nx: a\r\n content-length: 5",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 5",
        "HTTP/1.1 20 OK\r\ncontent-length: 5",
        "HTTP/2 200 OK\r\ncontent-length: 5",
        "SSH-2.0-OpenSSH\r\ncontent-length: 5",
    ] {
        let mut wire = stage.client().open().await;
        wire.send(get("/", "")).await;
        let mut call = upstream.call().await;
        call.answer(format!("{head}\r\n\r\nhello")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"), "{head}");
        call.closed().await;
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read_for_ever() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(get("/", "")).await;
    let mut call = upstream.call().await;
    call.answer("HTTP/1.1 200 OK\r\nx: ").await;
    // The proxy may hang up in the middle of it.
    let _ = call.try_answer("x".repeat(4_000_000)).await;
    let answer = wire.answer().await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
}

#[tokio::test]
async fn what_codescan_says_beforehand_is_not_its_answer() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    let mut wire = stage.client().open().await;
    wire.send(get("/", "")).await;
    let mut call = upstream.call().await;
    let beforehand = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";
    call.answer(beforehand).await;
    call.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "hello"));
    assert_eq!(answer.header("link"), None);
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream).await;
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut wire = stage.client().open().await;
        wire.send(get("/", "")).await;
        let mut call = upstream.call().await;
        call.answer(format!("{version} 200 OK\r\n\r\nhello")).await;
        drop(call);
        assert_eq!(wire.answer().await.text(), "hello");
    }
}

/// Before an upstream of our own making, open to all.
async fn before(upstream: &Upstream) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await
}

/// Some servers merge trailer fields into the head: there they would pass as the proxy's own.
#[tokio::test]
async fn trailers_of_a_request_name_nobody() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/x", "Transfer-Encoding: chunked\r\n")).await;
    wire.send("1\r\na\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-Login: admin\r\n\r\n").await;
    let mut call = upstream.call().await;
    assert_eq!(call.body_until(b"\r\n\r\n").await, "1\r\na\r\n0\r\n\r\n");
    call.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
}

/// `CodeScan` answered first, and the rest of the upload is refused: it must not seem whole.
#[tokio::test]
async fn an_upload_that_breaks_off_after_the_answer_began_never_looks_whole() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    for rest in ["800\r\n".to_owned() + &"b".repeat(0x800) + "\r\n0\r\n\r\n", "zz\r\n".to_owned()] {
        let mut wire = stage.client().open().await;
        wire.send(head("POST", "/x", "Transfer-Encoding: chunked\r\n")).await;
        wire.send("1\r\na\r\n").await;
        let mut call = upstream.call().await;
        call.answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
        wire.until(b"12345").await;
        let _ = wire.try_send(&rest).await;
        let read = call.rest_within(std::time::Duration::from_millis(700)).await;
        assert!(!read.contains("\r\n0\r\n"), "{rest:.9}: {read:?}");
    }
}
