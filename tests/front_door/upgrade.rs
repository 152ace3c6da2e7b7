//! Connections that go on as WebSocket, and those that must not.

use http::{Method, StatusCode};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::upstream::Upstream;
use crate::harness::websocket::WebSocket;
use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern};

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_websocket_carries_messages_both_ways_until_it_is_closed() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut socket = WebSocket::open(&session, "/ws?a=%41", &[]).await.expect("a tunnel");
    let big = pattern(1_000_000);
    for message in [Message::text("hello"), Message::binary(big), Message::text("é")] {
        socket.send(message.clone()).await;
        assert_eq!(socket.next().await, Some(message));
    }
    let received = stage.received("/ws");
    assert_eq!(received.query(), Some("a=%41"));
    assert!(received.header("authorization").is_some_and(|it| it.starts_with("Bearer ")));
    assert_eq!(received.header("cookie"), None);
    stage.codescan.wait_for_websockets(1).await;
    socket.send(Message::Close(None)).await;
    assert!(matches!(socket.next().await, Some(Message::Close(_))));
    stage.codescan.wait_for_websockets(0).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_tunnel() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.codescan.wait_for_websockets(1).await;
    drop(socket);
    stage.codescan.wait_for_websockets(0).await;
}

#[tokio::test]
async fn codescan_that_leaves_ends_the_tunnel() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.codescan.stop().await.expect("it stops");
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn without_a_session_there_is_a_401_and_no_tunnel() {
    let stage = Stage::set().await;
    let accept = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    for fields in [&accept[..], &[]] {
        let refusal = WebSocket::open(&stage.client(), "/ws", fields).await.err().expect("none");
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refusal.json()["error"], "login_required");
    }
    assert_eq!(stage.codescan.requests_to("/ws").len(), 0);
}

#[tokio::test]
async fn another_site_cannot_shake_hands() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let own = stage.proxy.public_url().to_owned();
    for (name, value) in
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")]
    {
        let refusal = WebSocket::open(&session, "/ws", &[(name, value)]).await.err().expect("none");
        assert_eq!(refusal.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(refusal.json()["error"], "cross_site_request");
    }
    assert_eq!(stage.codescan.requests_to("/ws").len(), 0);
    assert!(WebSocket::open(&session, "/ws", &[("origin", &own)]).await.is_ok());
}

#[tokio::test]
async fn a_refused_handshake_leaves_an_ordinary_connection() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let refused = wire.get("/ws-refused", &format!("{}{HANDSHAKE}", session.lines())).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.text(), "No upgrade here.\n");
    // A raw tunnel would carry these as they are: fields of ours missing, spoofed ones in place.
    wire.get("/api/x", &format!("{}X-Forwarded-User: root\r\n", session.lines())).await;
    let received = stage.received("/api/x");
    assert!(received.header("authorization").is_some());
    assert_eq!(received.header("x-forwarded-user"), None);
}

#[tokio::test]
async fn bytes_sent_before_the_101_wait_for_it() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let (session, codescan) = {
        let browser = stage.browser();
        let logging_in = async {
            let mut browser = browser;
            browser.log_in("jcitizen").await;
            stage.client().with("cookie", &browser.cookie_header())
        };
        let answering = async {
            let mut page = upstream.call().await;
            page.answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        };
        (tokio::join!(logging_in, answering).0, &upstream)
    };
    let mut wire = session.open().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\nX-Forwarded-User: root\r\n\r\n";
    wire.send(format!("{}{smuggled}", get("/ws", &format!("{}{HANDSHAKE}", session.lines()))))
        .await;
    let mut call = codescan.call().await;
    assert!(call.head.contains("upgrade: websocket\r\n"), "{}", call.head);
    call.answer("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(wire.answer().await.status, StatusCode::FORBIDDEN);
    // What was sent along is the next request, judged as any other: here without a session.
    assert_eq!(wire.answer().await.error_code().as_deref(), Some("login_required"));
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn bytes_sent_along_with_the_handshake_reach_the_tunnel() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    // A masked text frame "hi", with a mask of zeros.
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let request = get("/ws", &format!("{}{HANDSHAKE}", session.lines()));
    wire.send([request.as_bytes(), &frame].concat()).await;
    assert_eq!(wire.head().await.status, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(&wire.take(4).await[..], [0x81, 2, b'h', b'i']);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_opens_nothing() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    for fields in ["", HANDSHAKE] {
        let mut wire = stage.client().open().await;
        wire.send(get("/x", fields)).await;
        let mut call = upstream.call().await;
        assert!(!call.head.contains("upgrade"), "only a session may have a tunnel: {}", call.head);
        call.answer(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
        let answer = wire.answer().await;
        assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
    }
}

#[tokio::test]
async fn no_other_protocol_is_let_on() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for upgrade in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let mut wire = session.open().await;
        let answer = wire.get("/api/x", &format!("{}{upgrade}", session.lines())).await;
        assert_eq!(answer.status, StatusCode::OK, "{upgrade}");
        let received = stage.received("/api/x");
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(received.header(name), None, "{upgrade}");
        }
        assert_eq!(wire.get("/bytes/3", &session.lines()).await.body, pattern(3));
    }
}

#[tokio::test]
async fn trace_and_connect_are_never_forwarded() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    stage.codescan.clear_requests();
    for (method, target) in [
        ("TRACE", "/api/x"),
        ("CONNECT", "codescan.test:80"),
        ("CONNECT", "127.0.0.1:22"),
        ("TRACE", "/_codescan/oauth2/userinfo"),
    ] {
        let mut wire = session.open().await;
        wire.send(head(method, target, &session.lines())).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {target}");
        assert_eq!(answer.error_code().as_deref(), Some("method_not_allowed"));
        assert!(answer.header("allow").is_some_and(|allowed| allowed.contains("GET")));
    }
    let mine = |it: &simulator::Received| it.path() != "/api/system/status";
    assert_eq!(stage.codescan.requests().iter().filter(|it| mine(it)).count(), 0);
}

#[tokio::test]
async fn a_tunnel_ends_when_its_session_is_logged_out() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let session = stage.client().with("cookie", &browser.cookie_header());
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    let other = stage.session_of("jcitizen").await;
    let mut others = WebSocket::open(&other, "/ws", &[]).await.expect("a tunnel");
    let answer = browser.post_form("/_codescan/oauth2/logout", "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(socket.next().await, None);
    others.send(Message::text("still here")).await;
    assert_eq!(others.next().await, Some(Message::text("still here")));
    stage.codescan.wait_for_websockets(1).await;
}

#[tokio::test]
async fn codescans_own_logout_ends_the_tunnel_too() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let session = stage.client().with("cookie", &browser.cookie_header());
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    browser.fetch(Method::POST, "/api/authentication/logout", "").await;
    assert_eq!(socket.next().await, None);
}
