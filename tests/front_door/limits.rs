//! Every limit that a client can run into, and heads that are no heads.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::wire::{get, head};
use crate::harness::{Settings, Stage, pattern};

async fn open_to_all(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

/// What is said to these bytes before the connection is closed.
async fn said_to(stage: &Stage, bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8(stage.client().raw(bytes.as_ref()).await).expect("text")
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_a_431() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_header_size", "8KiB");
    })
    .await;
    for (length, status) in
        [(7_000, StatusCode::OK), (8_200, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)]
    {
        let long = "x".repeat(length);
        let client = stage.client();
        assert_eq!(
            client.get(&format!("/api/{long}")).await.status,
            status,
            "a target of {length}"
        );
        let answer = client.get_with("/api/x", &[("x-long", &long)]).await;
        assert_eq!(answer.status, status, "a field of {length}");
        if status != StatusCode::OK {
            assert_eq!(answer.error_code().as_deref(), Some("header_too_large"));
        }
    }
}

#[tokio::test]
async fn a_head_far_beyond_the_limit_is_a_431_too() {
    let stage = open_to_all(|_| {}).await;
    let long = format!("X-Long: {}\r\n", "x".repeat(3_000_000));
    let answer = said_to(&stage, get("/api/x", &long)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..5_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let answer = said_to(&stage, get("/api/x", &many)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_a_413_at_once() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let client = stage.client();
    assert_eq!(
        client.send(Method::POST, "/api/x", &[], pattern(1024)).await.status,
        StatusCode::OK
    );
    stage.codescan.clear_requests();
    let mut wire = client.open().await;
    wire.send(head("POST", "/api/x", "Content-Length: 1025\r\n")).await;
    assert_eq!(wire.answer().await.error_code().as_deref(), Some("body_too_large"));
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
    let whole = client.send(Method::POST, "/api/x", &[], pattern(4_000_000)).await;
    assert_eq!(whole.status, StatusCode::PAYLOAD_TOO_LARGE, "read by one who sends first");
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_a_413() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/api/ce/submit", "Transfer-Encoding: chunked\r\n")).await;
    for _ in 0..8 {
        wire.send("100\r\n").await;
        wire.send([&pattern(256)[..], b"\r\n"].concat()).await;
    }
    assert_eq!(wire.answer().await.error_code().as_deref(), Some("body_too_large"));
    stage.codescan.wait_for_open_requests(0).await;
    for arrived in stage.codescan.requests_to("/api/ce/submit") {
        assert_eq!(arrived.body_sha256, None, "what CodeScan got never looks whole");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let stage = open_to_all(|settings| {
        settings.text("server.header_timeout", "1s");
    })
    .await;
    let silent = stage.client().open().await;
    let mut slow = stage.client().open().await;
    slow.send("GET /api/x HTTP/1.1\r\nHost: h\r\nX-Slow: ").await;
    let mut again = stage.client().open().await;
    again.get("/api/x", "").await;
    again.send("GET /api/x HTTP/1.1\r\nHost: ").await;
    for mut wire in [silent, slow, again] {
        assert!(wire.is_closed().await);
    }
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let stage = open_to_all(|settings| {
        settings.text("server.idle_timeout", "1s");
        settings.text("server.header_timeout", "1s");
    })
    .await;
    let mut busy = stage.client().open().await;
    busy.send(get("/slow?ms=3000", "")).await;
    let mut upload = stage.client().open().await;
    upload.send(head("POST", "/api/echo", "Content-Length: 2\r\n")).await;
    upload.send("a").await;
    let mut idle = stage.client().open().await;
    idle.get("/api/x", "").await;
    assert!(idle.is_closed().await);
    assert_eq!(busy.answer().await.text(), "At last.\n");
    upload.send("b").await;
    assert_eq!(upload.answer().await.json()["body"], "ab");
}

#[tokio::test]
async fn what_follows_an_unread_body_is_never_the_next_request() {
    let stage = Stage::with(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let smuggled = get("/_codescan/actuator/health?smuggled", "");
    for fields in [
        // Refused without a look at the body: no session, too large, a foreign method.
        format!("Content-Length: {}\r\n", smuggled.len()),
        "Transfer-Encoding: chunked\r\n".to_owned(),
        "Content-Length: 5000\r\n".to_owned(),
    ] {
        for method in ["POST", "TRACE", "CONNECT"] {
            let target = if method == "CONNECT" { "codescan.test:80" } else { "/api/x" };
            let last = get("/last", "Connection: close\r\n");
            let head = head(method, target, &fields);
            let said = said_to(&stage, format!("{head}{smuggled}{smuggled}{last}")).await;
            assert!(said.starts_with("HTTP/1.1 4"), "{method} {fields}: {said}");
        }
    }
    let smuggled = |it: &simulator::Received| it.query() == Some("smuggled");
    let came = stage.codescan.requests().into_iter().filter(smuggled).count();
    // A body of known length may be skipped; what lies behind it is a request in its own right.
    assert!(came <= 1, "{came} requests came out of bodies");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let stage = open_to_all(|_| {}).await;
    for (lines, status) in [
        ("Host: codescan.example\r\n", 200),
        ("Host: codescan.example:8443\r\n", 200),
        ("Host: [2001:db8::1]:8443\r\n", 200),
        ("Host:\r\n", 200),
        ("", 400),
        ("Host: a\r\nHost: b\r\n", 400),
        ("Host: a\r\nhost: a\r\n", 400),
        ("Host: a, b\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: user@codescan.example\r\n", 400),
        ("Host: codescan.example/x\r\n", 400),
        ("Host: codescan.example:8x\r\n", 400),
        ("Host: http://a\r\n", 400),
    ] {
        let request = format!("GET /api/x HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        let answer = said_to(&stage, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{lines:?}: {answer}");
    }
}

#[tokio::test]
async fn an_absolute_target_does_not_excuse_a_missing_host() {
    let stage = open_to_all(|_| {}).await;
    for target in ["http://codescan.example/api/x", "http://user:pw@codescan.example/api/x"] {
        let host = if target.contains('@') { "Host: codescan.example\r\n" } else { "" };
        let request = format!("GET {target} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        let answer = said_to(&stage, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
}

#[tokio::test]
async fn what_is_no_head_is_a_400_and_the_end() {
    let stage = open_to_all(|_| {}).await;
    for bytes in [
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "GET\r\n\r\n",
        "GET /x\r\n\r\n",
        "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /x HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET /x y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
        "G(T /x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /x HTTP/3.0\r\nHost: h\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET /x HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let mut wire = stage.client().open().await;
        let _ = wire.try_send(bytes).await;
        assert_eq!(wire.answer().await.status, StatusCode::BAD_REQUEST, "{bytes:?}");
        assert!(wire.is_closed().await, "{bytes:?}");
    }
    let came = stage.codescan.requests();
    assert!(came.iter().all(|it| it.path() == "/api/system/status"), "{came:?}");
}

#[tokio::test]
async fn codings_that_only_look_like_chunked_end_nothing_early() {
    let stage = open_to_all(|_| {}).await;
    for coding in [
        "chunked, chunked",
        "gzip, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "\u{b}chunked",
        "chunked\u{b}",
        "\"chunked\"",
        "chunked;x",
    ] {
        let mut wire = stage.client().open().await;
        let fields = format!("Transfer-Encoding: {coding}\r\n");
        wire.send(head("POST", "/api/ce/submit", &fields)).await;
        let _ = wire.try_send("0\r\n\r\n").await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{coding:?}");
    }
}

#[tokio::test]
async fn bytes_behind_a_request_of_http_1_0_are_not_another() {
    let stage = open_to_all(|_| {}).await;
    let smuggled = get("/api/smuggled", "");
    let request = format!("POST /api/x HTTP/1.0\r\nHost: h\r\n\r\n{smuggled}");
    let answer = said_to(&stage, request).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count() + answer.matches("HTTP/1.0 ").count(), 1);
    assert_eq!(stage.codescan.requests_to("/api/smuggled").len(), 0);
}

/// A closed connection is read on for a while, so that the answer is not lost; but one who sends
/// a byte now and then does not keep it open for ever.
#[tokio::test]
async fn a_closed_connection_is_not_kept_open_by_dripping_bytes() {
    let stage = open_to_all(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(head("POST", "/api/x", "Content-Length: 1000000\r\n")).await;
    assert_eq!(wire.answer().await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let drip = async {
        while wire.try_send("x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(16), drip).await.is_ok(), "still open");
}

/// With `server.idle_timeout` the wait for the next request is meant, not for a slow reader.
#[tokio::test]
async fn the_end_of_an_answer_on_its_way_is_not_idleness() {
    let stage = open_to_all(|settings| {
        settings.text("server.idle_timeout", "1s");
    })
    .await;
    let mut readers = tokio::task::JoinSet::new();
    // What the kernel holds differs, so with some of the lengths only the end is still with us.
    for length in (1_000_000..9_000_000).step_by(200_000) {
        let client = stage.client();
        readers.spawn(async move {
            let mut wire = client.open().await;
            wire.send(get(&format!("/bytes/{length}"), "")).await;
            wire.head().await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            (length, wire.rest().await.len())
        });
    }
    for (length, read) in readers.join_all().await {
        assert_eq!(read, length);
    }
}
