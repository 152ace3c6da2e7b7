//! `codescan.max_connections`: for the whole program, whoever of its workers needs them.

use http::StatusCode;
use tokio::task::JoinSet;

use crate::harness::upstream::{Call, Upstream};
use crate::harness::websocket::WebSocket;
use crate::harness::wire::{Wire, get};
use crate::harness::{Settings, Stage, wait_until};

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream;charset=utf-8\r\n\
                      transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";

const WORKERS: [usize; 2] = [1, 2];

/// Open to all, with at most so many connections.
fn bounded(settings: &mut Settings, workers: usize, most: usize) {
    settings.set("access.public", "[\"/**\"]");
    settings.set("server.workers", &workers.to_string());
    settings.set("codescan.max_connections", &most.to_string());
}

async fn before(upstream: &Upstream, workers: usize, wait: &str) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        bounded(settings, workers, 1);
        settings.text("codescan.connect_timeout", wait);
    })
    .await
}

async fn asks(stage: &Stage, path: &str) -> Wire {
    let mut wire = stage.client().open().await;
    wire.send(get(path, "")).await;
    wire
}

async fn connections(stage: &Stage, kind: &str) -> f64 {
    stage.metric(&format!("upstream_connections{{state=\"{kind}\"}}")).await
}

async fn wait_for_requests(stage: &Stage, requests: f64) {
    wait_until("so many requests are under way", async || {
        stage.metric("active_requests").await == requests
    })
    .await;
}

/// The next request, on this connection or on another after its end.
async fn next(upstream: &Upstream, mut call: Call) -> Call {
    if call.next_head().await.is_some() { call } else { upstream.call().await }
}

#[tokio::test]
async fn who_finds_all_busy_waits_and_is_served_when_one_ends() {
    for workers in WORKERS {
        let upstream = Upstream::start().await;
        let stage = before(&upstream, workers, "60s").await;
        let mut first = asks(&stage, "/first").await;
        let mut call = upstream.call().await;
        let mut second = asks(&stage, "/second").await;
        wait_for_requests(&stage, 2.0).await;
        assert!(upstream.is_left_alone().await, "no second connection");
        call.answer(EMPTY).await;
        assert_eq!(first.answer().await.status, StatusCode::OK);
        let mut call = next(&upstream, call).await;
        assert!(call.head.starts_with("GET /second "), "{}", call.head);
        call.answer(EMPTY).await;
        assert_eq!(second.answer().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn within_a_worker_the_connection_itself_is_handed_on() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream, 1, "60s").await;
    let _first = asks(&stage, "/first").await;
    let mut call = upstream.call().await;
    let _second = asks(&stage, "/second").await;
    wait_for_requests(&stage, 2.0).await;
    call.answer(EMPTY).await;
    assert!(call.next_head().await.expect("the same").starts_with("GET /second "));
}

#[tokio::test]
async fn who_waits_in_vain_is_told_to_come_back() {
    for workers in WORKERS {
        let upstream = Upstream::start().await;
        let stage = before(&upstream, workers, "300ms").await;
        let mut first = asks(&stage, "/first").await;
        let mut call = upstream.call().await;
        let answer = asks(&stage, "/second").await.answer().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error_code().as_deref(), Some("overloaded"));
        assert!(answer.header("retry-after").is_some());
        call.answer(EMPTY).await;
        assert_eq!(first.answer().await.status, StatusCode::OK);
        assert_eq!(stage.metric("upstream_connect_errors_total").await, 0.0);
    }
}

#[tokio::test]
async fn what_idles_in_one_worker_is_lent_to_the_other() {
    let stage = Stage::with(|settings| {
        bounded(settings, 2, 1);
        settings.text("codescan.connect_timeout", "60s");
    })
    .await;
    for _ in 0..24 {
        let mut wire = asks(&stage, "/bytes/10").await;
        assert_eq!(wire.answer().await.status, StatusCode::OK);
        let open = connections(&stage, "idle").await + connections(&stage, "active").await;
        assert!(open <= 1.0, "{open}");
    }
}

#[tokio::test]
async fn an_event_stream_holds_its_connection_to_the_end() {
    let upstream = Upstream::start().await;
    let stage = before(&upstream, 2, "300ms").await;
    let mut stream = asks(&stage, "/stream").await;
    let mut call = upstream.call().await;
    call.answer(EVENTS).await;
    stream.until(b"hello").await;
    assert_eq!(connections(&stage, "streaming").await, 1.0);
    assert_eq!(connections(&stage, "active").await, 0.0);
    is_overloaded(&stage).await;
    drop(stream);
    call.closed().await;
    let mut next = asks(&stage, "/next").await;
    upstream.call().await.answer(EMPTY).await;
    assert_eq!(next.answer().await.status, StatusCode::OK);
    assert_eq!(connections(&stage, "streaming").await, 0.0);
}

#[tokio::test]
async fn a_tunnel_holds_its_connection_to_the_end() {
    let stage = Stage::with(|settings| {
        bounded(settings, 2, 1);
        settings.set("access.public", "[\"/refused\", \"/bytes/10\"]");
        settings.text("codescan.connect_timeout", "300ms");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    assert_eq!(connections(&stage, "tunnel").await, 1.0);
    assert_eq!(connections(&stage, "active").await, 0.0);
    is_overloaded(&stage).await;
    drop(socket);
    wait_until("the tunnel is gone", async || connections(&stage, "tunnel").await == 0.0).await;
    assert_eq!(stage.client().get("/bytes/10").await.status, StatusCode::OK);
}

async fn is_overloaded(stage: &Stage) {
    let refused = asks(stage, "/refused").await.answer().await;
    assert_eq!(refused.error_code().as_deref(), Some("overloaded"));
}

#[tokio::test]
async fn nobody_starves() {
    for workers in WORKERS {
        let stage = Stage::with(|settings| bounded(settings, workers, 2)).await;
        let mut clients = JoinSet::new();
        for _ in 0..12 {
            let mut wire = stage.client().open().await;
            clients.spawn(async move {
                for _ in 0..40 {
                    assert_eq!(wire.get("/bytes/100", "").await.status, StatusCode::OK);
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("all were served");
        }
    }
}

#[tokio::test]
async fn who_leaves_the_queue_leaves_no_hole() {
    for workers in WORKERS {
        let upstream = Upstream::start().await;
        let stage = before(&upstream, workers, "60s").await;
        let mut first = asks(&stage, "/first").await;
        let mut call = upstream.call().await;
        let leaves = asks(&stage, "/leaves").await;
        wait_for_requests(&stage, 2.0).await;
        let mut stays = asks(&stage, "/stays").await;
        wait_for_requests(&stage, 3.0).await;
        drop(leaves);
        wait_for_requests(&stage, 2.0).await;
        call.answer(EMPTY).await;
        assert_eq!(first.answer().await.status, StatusCode::OK);
        let mut call = next(&upstream, call).await;
        assert!(call.head.starts_with("GET /stays "), "{}", call.head);
        call.answer(EMPTY).await;
        assert_eq!(stays.answer().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_reload_raises_it_for_those_who_wait() {
    let upstream = Upstream::start().await;
    let mut stage = before(&upstream, 2, "60s").await;
    let _first = asks(&stage, "/first").await;
    let _call = upstream.call().await;
    let mut second = asks(&stage, "/second").await;
    wait_for_requests(&stage, 2.0).await;
    stage
        .proxy
        .reload(|settings| {
            settings.set("codescan.max_connections", "2");
        })
        .await;
    upstream.call().await.answer(EMPTY).await;
    assert_eq!(second.answer().await.status, StatusCode::OK);
}
