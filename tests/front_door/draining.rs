//! The way down: unready first, then no new connections, then the end.

use http::StatusCode;

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

#[tokio::test]
async fn told_to_stop_it_is_unready_at_once_and_still_serves() {
    let mut stage = open_to_all(|settings| {
        settings.text("server.drain_delay", "20s").text("server.drain_timeout", "24s");
    })
    .await;
    let mut kept = stage.client().open().await;
    kept.get("/bytes/1", "").await;
    stage.proxy.signal("TERM");
    is_unready(&stage).await;
    assert!(stage.admin("/readyz").await.text().contains("draining"));
    assert_eq!(stage.admin("/livez").await.status, StatusCode::OK);
    for _ in 0..3 {
        assert_eq!(stage.client().get("/bytes/3").await.body, pattern(3), "a new connection");
        assert_eq!(kept.get("/bytes/3", "").await.body, pattern(3), "an old one");
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
    wait_until("nobody listens any more", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", stage.proxy.port())).await.is_err()
    })
    .await;
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
    stage.proxy.ended().await;
    stage.proxy.wait_for_log(&["server.drain_timeout"]).await;
    stage.codescan.wait_for_event_streams(0).await;
    endless.rest().await;
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
