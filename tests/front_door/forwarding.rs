//! Requests and answers go through whole: methods, targets, bodies.

use http::{Method, StatusCode};

use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern, sha256};

#[tokio::test]
async fn every_method_goes_through() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = session.send(method.clone(), "/api/echo", &[], "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["method"], method.as_str());
    }
}

#[tokio::test]
async fn a_head_has_the_length_and_no_body() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(head("HEAD", "/bytes/1000", &session.lines())).await;
    let answer = wire.head().await;
    assert_eq!((answer.status, answer.header("content-length")), (StatusCode::OK, Some("1000")));
    // Had a body come, this would not be the next head.
    let next = wire.get("/bytes/3", &session.lines()).await;
    assert_eq!(next.body, pattern(3));
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    for status in [204, 304] {
        let target = format!("/status/{status}?header=ETag:%22x%22");
        wire.send(get(&target, &session.lines())).await;
        let answer = wire.head().await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, Some("\"x\"")));
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    assert_eq!(wire.get("/bytes/3", &session.lines()).await.body, pattern(3));
}

#[tokio::test]
async fn statuses_of_codescan_pass_even_where_they_look_like_ours() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for status in [201, 302, 401, 403, 404, 418, 431, 500, 502, 503, 599] {
        let answer = session.get(&format!("/status/{status}?body=theirs")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, "theirs"));
    }
}

#[tokio::test]
async fn uploads_arrive_to_the_byte_with_a_length() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    for length in [0, 1, 64 * 1024, 20 * 1024 * 1024] {
        let body = pattern(length);
        let fields = format!("{}Content-Length: {length}\r\n", session.lines());
        wire.send(head("POST", "/api/ce/submit", &fields)).await;
        wire.send(&body).await;
        let answer = wire.answer().await;
        assert_eq!(answer.json()["sha256"], sha256(&body), "{length} bytes");
        let received = stage.received("/api/ce/submit");
        assert_eq!(received.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(received.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn uploads_arrive_to_the_byte_in_chunks() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Transfer-Encoding: chunked\r\n", session.lines());
    let mut wire = session.open().await;
    for length in [0, 1, 64 * 1024, 20 * 1024 * 1024] {
        let body = pattern(length);
        wire.send(head("POST", "/api/ce/submit", &fields)).await;
        for chunk in body.chunks(70_001) {
            wire.send(format!("{:X};ext=1\r\n", chunk.len())).await;
            wire.send([chunk, b"\r\n"].concat()).await;
        }
        wire.send("0\r\n\r\n").await;
        let answer = wire.answer().await;
        assert_eq!(answer.json()["sha256"], sha256(&body), "{length} bytes");
        assert_eq!(stage.received("/api/ce/submit").header("content-length"), None);
    }
}

#[tokio::test]
async fn downloads_arrive_to_the_byte_with_a_length_and_in_chunks() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for length in [0, 1, 64 * 1024, 20 * 1024 * 1024] {
        let whole = session.get(&format!("/bytes/{length}")).await;
        assert_eq!(whole.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(sha256(&whole.body), sha256(&pattern(length)), "{length} bytes");
        let chunked = session.get(&format!("/bytes/{length}?chunked")).await;
        assert_eq!(chunked.header("content-length"), None);
        assert_eq!(sha256(&chunked.body), sha256(&pattern(length)), "{length} bytes in chunks");
    }
}

#[tokio::test]
async fn the_target_passes_byte_for_byte() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for target in [
        "/api//a/./b/../c",
        "/api/%2e%2E/%2f%5C;v=1",
        "/api/a%zz%",
        "/api/a|b^c~d\"e{f}g'h!i@j$k",
        "/api/x?",
        "/api/x?a=1&a=2&&=&b+c%20d",
        "/api/x?q=[1]|{2}\\^`",
        "/api/é?ü=ß",
        "/api/\\..\\x",
    ] {
        let mut wire = session.open().await;
        wire.send(get(target, &session.lines())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, StatusCode::OK, "{target}: {}", answer.text());
        assert_eq!(answer.json()["target"], target);
    }
}

#[tokio::test]
async fn the_whole_server_can_be_asked_for_its_options() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(head("OPTIONS", "*", &session.lines())).await;
    assert_eq!(wire.answer().await.json()["target"], "*");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let lengths = [5, 0, 100_000, 1];
    let all: String =
        lengths.iter().map(|length| get(&format!("/bytes/{length}"), &session.lines())).collect();
    wire.send(all).await;
    for length in lengths {
        assert_eq!(wire.answer().await.body, pattern(length));
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served_and_closed() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let request = format!("GET /bytes/1000?chunked HTTP/1.0\r\n{}\r\n", session.lines());
    let answer = session.raw(request.as_bytes()).await;
    assert!(answer.ends_with(&pattern(1000)), "no chunks for one who does not know them");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Expect: 100-continue\r\nContent-Length: 5\r\n", session.lines());
    let mut wire = session.open().await;
    wire.send(head("POST", "/api/echo", &fields)).await;
    assert_eq!(wire.head().await.status, StatusCode::CONTINUE);
    wire.send("hello").await;
    assert_eq!(wire.answer().await.json()["body"], "hello");
}

#[tokio::test]
async fn a_client_that_asks_first_and_may_not_hears_no_at_once() {
    let stage = Stage::set().await;
    let mut wire = stage.client().open().await;
    let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    wire.send(head("POST", "/api/echo", fields)).await;
    assert_eq!(wire.answer().await.status, StatusCode::UNAUTHORIZED);
    assert!(wire.is_closed().await, "what follows could be the body or the next request");
}
