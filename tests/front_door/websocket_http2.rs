//! WebSocket over HTTP/2, by extended CONNECT (RFC 8441).

use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::tls::Certificate;
use crate::harness::upstream::Upstream;
use crate::harness::websocket::WebSocket;
use crate::harness::{Stage, pattern};

const WEBSOCKET: &str = "websocket";

#[tokio::test]
async fn it_carries_messages_both_ways_until_it_is_closed() {
    let certificate = Certificate::new();
    let stage = Stage::with(|settings| {
        certificate.in_settings(settings);
        settings.text("server.idle_timeout", "1s");
    })
    .await;
    let client = stage.client().over_tls(&certificate.trusted());
    let mut browser = stage.browser().by(|client| client.over_tls(&certificate.trusted()));
    browser.log_in("jcitizen").await;
    let session = client.with("cookie", &browser.cookie_header());
    let mut socket =
        WebSocket::connect(&session, WEBSOCKET, "/ws?a=%41", &[]).await.expect("a tunnel");
    // Longer than a connection without a stream may idle.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    for message in [Message::text("hello"), Message::binary(pattern(1_000_000))] {
        socket.send(message.clone()).await;
        assert_eq!(socket.next().await, Some(message));
    }
    let received = stage.received("/ws");
    assert_eq!((received.method.as_str(), received.query()), ("GET", Some("a=%41")));
    assert_eq!(received.header("upgrade"), Some("websocket"));
    assert!(received.header("authorization").is_some_and(|it| it.starts_with("Bearer ")));
    assert_eq!(received.header("cookie"), None);
    socket.send(Message::Close(None)).await;
    assert!(matches!(socket.next().await, Some(Message::Close(_))));
    stage.codescan.wait_for_websockets(0).await;
}

#[tokio::test]
async fn either_side_that_leaves_ends_it() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let socket = WebSocket::connect(&session, WEBSOCKET, "/ws", &[]).await.expect("a tunnel");
    stage.codescan.wait_for_websockets(1).await;
    drop(socket);
    stage.codescan.wait_for_websockets(0).await;
    let mut socket = WebSocket::connect(&session, WEBSOCKET, "/ws", &[]).await.expect("a tunnel");
    stage.codescan.stop().await.expect("it stops");
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn it_ends_with_its_session() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let session = stage.client().with("cookie", &browser.cookie_header());
    let mut socket = WebSocket::connect(&session, WEBSOCKET, "/ws", &[]).await.expect("a tunnel");
    let answer = browser.post_form("/_codescan/oauth2/logout", "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(socket.next().await, None);
    stage.codescan.wait_for_websockets(0).await;
}

#[tokio::test]
async fn the_rules_are_those_of_any_handshake() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/public/**\"]");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let refused = async |client, protocol, target, headers: &[(&str, &str)]| {
        WebSocket::connect(client, protocol, target, headers).await.err().expect("no tunnel")
    };
    let nobody = stage.client();
    for (answer, status, code) in [
        (refused(&nobody, WEBSOCKET, "/ws", &[]).await, 401, "login_required"),
        (refused(&nobody, WEBSOCKET, "/public/ws", &[]).await, 401, "login_required"),
        (
            refused(&session, WEBSOCKET, "/ws", &[("origin", "https://evil.example")]).await,
            403,
            "cross_site_request",
        ),
        (refused(&session, "connect-udp", "/ws", &[]).await, 405, "method_not_allowed"),
        (
            refused(&session, WEBSOCKET, "/_codescan/oauth2/userinfo", &[]).await,
            405,
            "method_not_allowed",
        ),
    ] {
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.error_code().as_deref(), Some(code));
    }
    assert_eq!(stage.codescan.requests_to("/ws").len(), 0);
    let own = stage.proxy.public_url().to_owned();
    assert!(WebSocket::connect(&session, WEBSOCKET, "/ws", &[("origin", &own)]).await.is_ok());
    let told = refused(&session, WEBSOCKET, "/ws-refused", &[]).await;
    assert_eq!((told.status, told.text().as_str()), (StatusCode::FORBIDDEN, "No upgrade here.\n"));
}

#[tokio::test]
async fn an_answer_that_is_no_handshake_opens_nothing() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let answering = async {
        let mut page = upstream.call().await;
        page.answer("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    };
    let (session, ()) = tokio::join!(stage.session_of("jcitizen"), answering);
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ] {
        let answering = async { upstream.call().await.answer(answer).await };
        let connecting = WebSocket::connect(&session, WEBSOCKET, "/ws", &[]);
        let (refused, ()) = tokio::join!(connecting, answering);
        let refused = refused.err().expect("no tunnel");
        assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{answer}");
    }
}
