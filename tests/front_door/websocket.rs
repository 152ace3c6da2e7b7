//! What a WebSocket may carry, by a public client library: all of it arrives as it was sent.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::harness::upstream::{Call, Upstream};
use crate::harness::websocket::WebSocket;
use crate::harness::{Client, Stage, patiently, pattern};

const MIB: usize = 1024 * 1024;

async fn open() -> (Stage, WebSocket) {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    (stage, socket)
}

/// The lengths are those at which the length's own form changes (RFC 6455 §5.2), and the largest
/// that the library sends in one frame.
#[tokio::test]
async fn messages_of_every_length() {
    let (_stage, mut socket) = open().await;
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, MIB, 16 * MIB] {
        let message = Message::binary(pattern(length));
        socket.send(message.clone()).await;
        assert!(socket.next().await == Some(message), "{length} bytes");
    }
    let text = "ä€😀\u{0}".repeat(50_000);
    socket.send(Message::text(&text)).await;
    assert!(socket.next().await == Some(Message::text(&text)));
}

#[tokio::test]
async fn fragments_with_a_ping_between_them() {
    let (_stage, mut socket) = open().await;
    let fragment = |data: &'static str, kind, is_last| {
        Message::Frame(Frame::message(data, OpCode::Data(kind), is_last))
    };
    for _ in 0..3 {
        socket.send(fragment("one, ", Data::Text, false)).await;
        socket.send(fragment("", Data::Continue, false)).await;
        socket.send(Message::Ping(Bytes::from_static(b"between"))).await;
        socket.send(fragment("two, ", Data::Continue, false)).await;
        socket.send(fragment("three", Data::Continue, true)).await;
        assert_eq!(socket.next().await, Some(Message::Pong(Bytes::from_static(b"between"))));
        assert_eq!(socket.next().await, Some(Message::text("one, two, three")));
    }
}

#[tokio::test]
async fn pings_of_every_length_are_answered() {
    let (_stage, mut socket) = open().await;
    for length in [0, 1, 125] {
        let payload = Bytes::from(pattern(length));
        // Nobody asked for this one, and nobody answers it.
        socket.send(Message::Pong(payload.clone())).await;
        socket.send(Message::Ping(payload.clone())).await;
        assert_eq!(socket.next().await, Some(Message::Pong(payload)));
    }
}

#[tokio::test]
async fn every_code_and_reason_of_a_close() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let reason = "r".repeat(123);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999] {
        for reason in ["", &reason] {
            let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            socket.send(Message::Close(Some(frame.clone()))).await;
            assert_eq!(socket.next().await, Some(Message::Close(Some(frame))), "{code}");
            assert_eq!(socket.next().await, None, "{code}");
        }
    }
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    socket.send(Message::Close(None)).await;
    assert_eq!(socket.next().await, Some(Message::Close(None)));
    stage.codescan.wait_for_websockets(0).await;
}

/// Nobody waits: each side writes while the other does, more than any buffer on the way holds.
#[tokio::test]
async fn both_directions_at_once() {
    const MESSAGES: usize = 256;
    let (_stage, socket) = open().await;
    let (mut sink, mut stream) = socket.into_stream().split();
    let message = |number: usize| {
        let mut bytes = pattern(128 * 1024 + number);
        bytes.rotate_left(number);
        Message::binary(bytes)
    };
    let sending = async {
        for number in 0..MESSAGES {
            sink.send(message(number)).await.expect("the other side listens");
        }
    };
    let reading = async {
        for number in 0..MESSAGES {
            let came = stream.next().await.expect("a message").expect("a good one");
            assert!(came == message(number), "message {number}");
        }
    };
    patiently("all messages", async { tokio::join!(sending, reading) }).await;
}

#[tokio::test]
async fn bytes_that_come_right_with_the_101_are_the_first_message() {
    let (upstream, stage, session) = before_upstream().await;
    // An unmasked text frame "hi", then a close with code 1001.
    let frames = [&[0x81, 2, b'h', b'i'][..], &[0x88, 2, 0x03, 0xe9]].concat();
    for cut in 0..=frames.len() {
        let (socket, call) = tokio::join!(WebSocket::open(&session, "/ws", &[]), async {
            let mut call = upstream.call().await;
            call.answer([switched(&call).as_bytes(), &frames[..cut]].concat()).await;
            tokio::task::yield_now().await;
            call.answer(&frames[cut..]).await;
            call
        });
        let mut socket = socket.expect("a tunnel");
        assert_eq!(socket.next().await, Some(Message::text("hi")), "cut at {cut}");
        let Some(Message::Close(Some(frame))) = socket.next().await else {
            panic!("no close, cut at {cut}");
        };
        assert_eq!(frame.code, CloseCode::Away);
        drop(call);
    }
    drop(stage);
}

#[tokio::test]
async fn a_refusal_reaches_the_client_as_it_is() {
    let (upstream, stage, session) = before_upstream().await;
    let (refusal, ()) = tokio::join!(WebSocket::open(&session, "/ws", &[]), async {
        let mut call = upstream.call().await;
        let answer = "HTTP/1.1 403 Forbidden\r\nx-why: because\r\ncontent-length: 2\r\n\r\nno";
        call.answer(answer).await;
    });
    let refusal = refusal.err().expect("no tunnel");
    assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    assert_eq!((refusal.header("x-why"), refusal.text().as_str()), (Some("because"), "no"));
    drop(stage);
}

/// Before an upstream of our own making, with a session.
async fn before_upstream() -> (Upstream, Stage, Client) {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let session = {
        let answering = async {
            let page = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            upstream.call().await.answer(page).await;
        };
        tokio::join!(stage.session_of("jcitizen"), answering).0
    };
    (upstream, stage, session)
}

/// The head that accepts this handshake.
fn switched(call: &Call) -> String {
    let key = call.head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let accept = derive_accept_key(key.expect("a key").as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
}
