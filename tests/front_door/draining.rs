//! The way down: unready first, then no new connections, then the end.

use http::StatusCode;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::websocket::WebSocket;
use crate::harness::wire::get;
use crate::harness::{Settings, Stage, pattern, wait_until};

async fn open_to_all(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

async fn is_unready(stage: &Stage) {
    wait_until("/readyz is 503", async || {
        stage.admin("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
}

async fn nobody_listens(stage: &Stage) {
    wait_until("nobody listens any more", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", stage.proxy.port())).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn told_to_stop_it_is_unready_at_once_and_still_serves() {
    let mut stage = open_to_all(|settings| {
        settings.text("server.drain_delay", "20s").text("server.drain_timeout", "24s");
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut wire = stage.client().open().await;
        assert_eq!(wire.get("/bytes/1", "").await.header("connection"), None);
        kept.push(wire);
    }
    stage.proxy.signal("TERM");
    is_unready(&stage).await;
    assert!(stage.admin("/readyz").await.text().contains("draining"));
    assert_eq!(stage.admin("/livez").await.status, StatusCode::OK);
    for mut old in kept {
        assert_eq!(stage.client().get("/bytes/3").await.body, pattern(3), "a new connection");
        let answer = old.get("/bytes/3", "").await;
        assert_eq!(answer.body, pattern(3), "an old one");
        assert_eq!(answer.header("connection"), Some("close"), "it is to be used no more");
        assert!(old.is_closed().await);
    }
    // Whoever asks twice does not want to wait.
    stage.proxy.signal("TERM");
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_under_way_is_finished() {
    for signal in ["TERM", "INT"] {
        let mut stage = open_to_all(|_| {}).await;
        let mut slow = stage.client().open().await;
        slow.send(get("/chunked?n=3&ms=200", "")).await;
        slow.head().await;
        let mut early = stage.client().open().await;
        early.send(get("/slow?ms=500", "")).await;
        stage.codescan.wait_for(|request| request.path() == "/slow").await;
        stage.proxy.signal(signal);
        stage.proxy.wait_for_log(&["draining"]).await;
        let answer = early.answer().await;
        assert_eq!(answer.text(), "At last.\n");
        assert_eq!(answer.header("connection"), Some("close"));
        slow.until(b"chunk 3\n\r\n0\r\n\r\n").await;
        assert_eq!(stage.proxy.ended().await.code(), Some(0), "{signal}");
        stage.proxy.wait_for_log(&["drained"]).await;
    }
}

#[tokio::test]
async fn idle_connections_do_not_keep_it() {
    let mut stage = open_to_all(|_| {}).await;
    let mut idle = stage.client().open().await;
    idle.get("/bytes/1", "").await;
    let silent = stage.client().open().await;
    stage.proxy.signal("TERM");
    assert!(idle.is_closed().await);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    drop(silent);
}

#[tokio::test]
async fn new_connections_are_refused_once_it_drains() {
    let mut stage = open_to_all(|_| {}).await;
    let mut slow = stage.client().open().await;
    slow.send(get("/hang", "")).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    stage.proxy.signal("TERM");
    nobody_listens(&stage).await;
    drop(slow);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_does_not_end_is_cut_in_time() {
    let mut stage = open_to_all(|settings| {
        settings.text("server.drain_timeout", "500ms");
    })
    .await;
    let mut endless = stage.client().open().await;
    endless.send(get("/api/push/sonarlint_events", "")).await;
    endless.head().await;
    stage.proxy.signal("TERM");
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    stage.proxy.wait_for_log(&["server.drain_timeout"]).await;
    stage.codescan.wait_for_event_streams(0).await;
    let rest = endless.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it must not seem whole");
    let line = stage.proxy.wait_for_log(&["\"target\":\"access\"", "sonarlint_events"]).await;
    assert!(line.contains("\"status\":200"), "{line}");
}

#[tokio::test]
async fn a_tunnel_goes_on_until_it_is_cut_in_time() {
    let mut stage = Stage::with(|settings| {
        settings.text("server.drain_timeout", "2s");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.proxy.signal("TERM");
    nobody_listens(&stage).await;
    socket.send(Message::text("still here")).await;
    assert_eq!(socket.next().await, Some(Message::text("still here")));
    assert_eq!(socket.next().await, None);
    stage.codescan.wait_for_websockets(0).await;
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    stage.proxy.wait_for_log(&["server.drain_timeout"]).await;
}

#[tokio::test]
async fn a_tunnel_that_ends_lets_it_go() {
    let mut stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.proxy.signal("TERM");
    nobody_listens(&stage).await;
    socket.send(Message::Close(None)).await;
    assert!(matches!(socket.next().await, Some(Message::Close(_))));
    drop(socket);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    stage.proxy.wait_for_log(&["drained"]).await;
}

/// It was let in, so it may ask; and so may one that has been told nothing yet.
#[tokio::test]
async fn a_head_on_its_way_is_still_served() {
    let mut stage = open_to_all(|_| {}).await;
    let (start, end) = ("GET /bytes/5 HTTP/1.1\r\nHost: h\r\n", "\r\n");
    let mut used = stage.client().open().await;
    used.get("/bytes/1", "").await;
    let mut fresh = stage.client().open().await;
    for wire in [&mut used, &mut fresh] {
        wire.send(start).await;
    }
    // Answered after what was sent before has been read.
    for _ in 0..10 {
        stage.client().get("/bytes/1").await;
    }
    stage.proxy.signal("TERM");
    nobody_listens(&stage).await;
    for wire in [&mut used, &mut fresh] {
        wire.send(end).await;
        let answer = wire.answer().await;
        assert_eq!(answer.body, pattern(5));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_dawdles_gets_the_whole_answer_even_then() {
    let mut stage = open_to_all(|_| {}).await;
    let mut wire = stage.client().open().await;
    wire.send(get("/bytes/8000000", "")).await;
    wire.head().await;
    stage.proxy.signal("TERM");
    stage.proxy.wait_for_log(&["draining"]).await;
    assert_eq!(wire.rest().await, pattern(8_000_000));
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}
