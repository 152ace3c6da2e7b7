//! HTTP/2 on the public listener: its requests, its streams, and how it ends.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderValue, Method, StatusCode};

use crate::harness::frames::{DATA, END_HEADERS, Frames, HEADERS, PING, RST_STREAM, block, frame};
use crate::harness::http2::{Http2, body};
use crate::harness::upstream::Upstream;
use crate::harness::{Settings, Stage, patiently, pattern, sha256};

async fn open_to_all(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

#[tokio::test]
async fn prior_knowledge_is_enough_and_http1_stays_what_it_is() {
    let stage = open_to_all(|_| {}).await;
    let answer = stage.client().over_http2().get("/bytes/3").await;
    assert_eq!(answer.body, pattern(3));
    stage.proxy.wait_for_log(&["\"path\":\"/bytes/3\"", "HTTP/2"]).await;
    let mut slow = stage.client().open().await;
    for piece in ["P", "R", "OPFIND /bytes/4 HTTP/1.1\r\nHost: codescan.test\r\n\r\n"] {
        slow.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(slow.answer().await.status, StatusCode::OK, "a method that begins like it");
    let said = stage.client().raw(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn a_request_reaches_codescan_as_http1_would_bring_it() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut client = Http2::open(&session).await;
    let mut request = client.request("GET", "/api/x/%2e?a=%41&b");
    for crumb in ["a=1", "b=2"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(crumb));
    }
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request.headers_mut().insert("x-custom", HeaderValue::from_static("1"));
    assert_eq!(client.status(request).await.expect("an answer"), StatusCode::OK);
    let received = stage.received("/api/x/%2e");
    assert_eq!(received.query(), Some("a=%41&b"));
    assert_eq!(received.header("host"), Some("codescan.test"));
    assert_eq!(received.all("cookie").collect::<Vec<_>>(), ["a=1; b=2"], "and ours cut out");
    assert_eq!(received.header("te"), Some("trailers"));
    assert_eq!(received.header("x-custom"), Some("1"));
    assert!(received.header("authorization").is_some_and(|it| it.starts_with("Bearer ")));
}

#[tokio::test]
async fn an_answer_has_no_fields_of_a_connection() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    for target in ["/chunked?n=3&ms=1", "/bytes/10", "/_codescan/oauth2/userinfo"] {
        let answer = client.get(target).await;
        for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
            assert!(!answer.headers().contains_key(name), "{target}: {name}");
        }
        assert!(answer.headers().contains_key("x-request-id"));
        body(answer.into_body()).await.expect("a whole body");
    }
}

#[tokio::test]
async fn a_request_names_one_host_and_one_path() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    for (host, status) in [
        ("codescan.test", StatusCode::OK),
        ("CODESCAN.test", StatusCode::OK),
        ("evil.example", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        ("codescan.test, evil.example", StatusCode::BAD_REQUEST),
    ] {
        let mut request = client.request("GET", "/api/x");
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        assert_eq!(client.status(request).await.expect("an answer"), status, "{host:?}");
    }
    let connect = http::Request::connect("codescan.test:80").body(()).expect("a request");
    let refused = client.status(connect).await.expect("an answer");
    assert_eq!(refused, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_a_431() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_header_size", "8KiB");
    })
    .await;
    let client = stage.client().over_http2();
    for (length, status) in [(7_000, 200), (8_200, 431), (60_000, 431)] {
        let answer = client.get_with("/api/x", &[("x-long", &"x".repeat(length))]).await;
        assert_eq!(answer.status.as_u16(), status, "{length}");
        if status == 431 {
            assert_eq!(answer.error_code().as_deref(), Some("header_too_large"));
        }
    }
}

#[tokio::test]
async fn a_hundred_streams_run_side_by_side() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..100 {
        let request = client.request("GET", "/slow?ms=500");
        let (answer, _) = client.send(request, true).await;
        answers.spawn(async move {
            let answer = patiently("an answer", answer).await.expect("an answer");
            (number, body(answer.into_body()).await.expect("a body"))
        });
    }
    let began = tokio::time::Instant::now();
    for (_, said) in answers.join_all().await {
        assert_eq!(said, b"At last.\n");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "not one after the other");
}

#[tokio::test]
async fn a_slow_reader_gets_all_and_holds_little() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    let answer = client.get("/bytes/50000000").await;
    let before = stage.metric("process_resident_memory_bytes").await;
    // The window is 64 KiB, and nothing is read: the rest has to wait with CodeScan.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = stage.metric("process_resident_memory_bytes").await - before;
    assert!(grown < 4e6, "{grown} bytes for one reader");
    let mut other = Http2::open(&stage.client()).await;
    assert_eq!(body(other.get("/bytes/9").await.into_body()).await.expect("a body"), pattern(9));
    let beside = client.get("/api/x").await;
    assert_eq!(beside.status(), StatusCode::OK);
    drop((other, beside));
    let read = body(answer.into_body()).await.expect("a whole body");
    assert!(read == pattern(50_000_000), "{} bytes", read.len());
}

#[tokio::test]
async fn an_upload_waits_for_its_window() {
    let stage = open_to_all(|_| {}).await;
    let big = pattern(10_000_000);
    let client = stage.client().over_http2();
    let answer = client.send(Method::POST, "/api/ce/submit", &[], big.clone()).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    let received = stage.received("/api/ce/submit");
    assert_eq!(received.body_sha256, Some(sha256(&big)));
}

#[tokio::test]
async fn a_body_too_large_is_a_413_and_the_connection_lives() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let mut client = Http2::open(&stage.client()).await;
    let (answer, mut upload) = client.send(client.request("POST", "/api/x"), false).await;
    upload.send_data(Bytes::from(pattern(4_000)), true).expect("within the window");
    let answer = patiently("an answer", answer).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.get("/api/x").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reset_cancels_what_was_asked_of_codescan() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    let (answer, mut waiting) = client.send(client.request("GET", "/hang"), true).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    waiting.send_reset(Reason::CANCEL);
    drop(answer);
    stage.codescan.wait_for_open_requests(0).await;
    let stream = client.get("/api/push/sonarlint_events").await;
    stage.codescan.wait_for_event_streams(1).await;
    drop(stream);
    stage.codescan.wait_for_event_streams(0).await;
    assert_eq!(client.get("/api/x").await.status(), StatusCode::OK);
}

/// RFC 9113 §8.1: only a server may leave the rest of a body with `NO_ERROR`, and Envoy says that
/// for every client that hung up on it; browsers say `CANCEL`.
#[tokio::test]
async fn an_upload_that_is_reset_is_never_whole() {
    let upstream = Upstream::start().await;
    let stage = open_to_all(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "codescan.test"),
        (":path", "/api/ce/submit"),
    ];
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let mut frames = Frames::begin(stage.client().open().await).await;
        frames.send(HEADERS, END_HEADERS, 1, &block(&fields)).await;
        frames.send(DATA, 0, 1, b"half").await;
        let mut call = upstream.call().await;
        assert_eq!(call.body_until(b"half\r\n").await, "4\r\nhalf\r\n");
        frames.send(RST_STREAM, 0, 1, &u32::from(reason).to_be_bytes()).await;
        let rest = call.rest_within(Duration::from_secs(5)).await;
        assert_eq!(rest, "", "no last chunk: {reason:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_all() {
    let stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    let (_answer, _) = client.send(client.request("GET", "/hang"), true).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    client.hang_up();
    stage.codescan.wait_for_open_requests(0).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_never_whole() {
    let upstream = crate::harness::upstream::Upstream::start().await;
    let stage = open_to_all(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let mut client = Http2::open(&stage.client()).await;
    let (answer, _) = client.send(client.request("GET", "/x"), true).await;
    let mut call = upstream.call().await;
    call.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    drop(call);
    let answer = patiently("an answer", answer).await.expect("a head");
    assert!(body(answer.into_body()).await.is_err());
}

#[tokio::test]
async fn a_running_stream_ends_well_while_it_drains() {
    let mut stage = open_to_all(|_| {}).await;
    let mut client = Http2::open(&stage.client()).await;
    let slow = client.get("/chunked?n=4&ms=300").await;
    let idle = Http2::open(&stage.client()).await;
    stage.proxy.signal("TERM");
    stage.proxy.wait_for_log(&["draining"]).await;
    let said = body(slow.into_body()).await.expect("a whole body");
    assert!(String::from_utf8_lossy(&said).contains("chunk 4"));
    assert!(client.ended().await.is_ok(), "told to go away, not cut");
    let _ = idle.ended().await;
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    stage.proxy.wait_for_log(&["drained"]).await;
}

#[tokio::test]
async fn a_connection_without_streams_idles_and_one_with_does_not() {
    let stage = open_to_all(|settings| {
        settings.text("server.idle_timeout", "1s").text("server.header_timeout", "1s");
    })
    .await;
    let mut busy = Http2::open(&stage.client()).await;
    let slow = busy.get("/chunked?n=4&ms=1000").await;
    let mut idle = Http2::open(&stage.client()).await;
    body(idle.get("/bytes/3").await.into_body()).await.expect("a body");
    assert!(idle.ended().await.is_ok(), "told to go away");
    body(slow.into_body()).await.expect("a whole body");
    assert!(!busy.is_over());
    busy.ended().await.expect("told to go away, later");
}

#[tokio::test]
async fn who_says_nothing_after_the_preface_is_not_waited_for() {
    let stage = open_to_all(|settings| {
        settings.text("server.header_timeout", "1s");
    })
    .await;
    let mut silent = Frames::begin(stage.client().open().await).await;
    silent.rest().await;
    // A head that never ends.
    let mut halting = Frames::begin(stage.client().open().await).await;
    halting.send(HEADERS, 0, 1, &block(&[(":method", "GET")])).await;
    halting.rest().await;
    // Pings are no request.
    let mut pinging = Frames::begin(stage.client().open().await).await;
    while pinging.try_send(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Clients count tiny frames that wait to be read, and end a connection that brings too many.
#[tokio::test]
async fn an_answer_in_tiny_chunks_does_not_become_as_many_frames() {
    let upstream = Upstream::start().await;
    let stage = open_to_all(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let mut client = Http2::open(&stage.client()).await;
    let asking = async { body(client.get("/").await.into_body()).await };
    let answering = async {
        let chunks = "9\r\n123456789\r\n".repeat(64 * 1024 / 9);
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        upstream.call().await.answer(format!("{head}{chunks}0\r\n\r\n")).await;
    };
    let (came, ()) = tokio::join!(asking, answering);
    assert_eq!(came.expect("all of it").len(), 64 * 1024 / 9 * 9);
}
