//! How many connections there may be, and what happens when there are as many.

use std::fs;

use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::http2::{Http2, body};
use crate::harness::websocket::WebSocket;
use crate::harness::wire::{Wire, get};
use crate::harness::{Settings, Stage, pattern, wait_until};

async fn with_room_for(connections: u32, change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("server.max_connections", &connections.to_string());
        settings.set("access.public", "[\"/bytes/*\", \"/hang\"]");
        change(settings);
    })
    .await
}

/// A connection with a request that is not answered.
async fn busy(stage: &Stage, number: usize) -> Wire {
    let mut wire = stage.client().open().await;
    wire.send(get("/hang", "")).await;
    wait_until("the request arrives", async || stage.codescan.requests_to("/hang").len() == number)
        .await;
    wire
}

/// A connection with a request that nobody takes yet.
async fn waiting(stage: &Stage) -> Wire {
    let mut wire = stage.client().open().await;
    wire.send(get("/bytes/7", "")).await;
    wire
}

async fn is_let_in(wire: &mut Wire) {
    assert_eq!(wire.answer().await.body, pattern(7));
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let stage = with_room_for(3, |settings| {
        settings.set("server.workers", "1");
    })
    .await;
    let mut first = stage.client().open().await;
    let mut second = stage.client().open().await;
    for wire in [&mut second, &mut first] {
        wire.get("/bytes/1", "").await;
    }
    let mut busy = busy(&stage, 1).await;
    second.get("/bytes/1", "").await;
    let mut new = stage.client().open().await;
    assert_eq!(new.get("/bytes/7", "").await.body, pattern(7));
    assert!(first.is_closed().await);
    let mut newer = stage.client().open().await;
    assert_eq!(newer.get("/bytes/7", "").await.body, pattern(7));
    assert!(second.is_closed().await);
    assert_eq!(new.get("/bytes/7", "").await.body, pattern(7));
    busy.send(get("/bytes/1", "")).await;
    assert!(stage.metric("connections").await <= 3.0);
}

/// It is told before it is closed, so that nothing is lost that is on its way.
#[tokio::test]
async fn an_idle_connection_of_http2_makes_room_too() {
    let stage = with_room_for(1, |_| {}).await;
    let mut idle = Http2::open(&stage.client()).await;
    body(idle.get("/bytes/1").await.into_body()).await.expect("a body");
    let mut new = waiting(&stage).await;
    is_let_in(&mut new).await;
    idle.ended().await.expect("told to go away");
}

/// A connection whose request waits for its answer is not idle.
#[tokio::test]
async fn a_connection_of_http2_with_a_stream_makes_no_room() {
    let stage = with_room_for(2, |_| {}).await;
    let mut streams = Http2::open(&stage.client()).await;
    let (_answer, hanging) = streams.send(streams.request("GET", "/hang"), true).await;
    stage.codescan.wait_for(|it| it.path() == "/hang").await;
    for _ in 0..3 {
        is_let_in(&mut waiting(&stage).await).await;
    }
    assert!(!streams.is_over());
    drop(hanging);
}

#[tokio::test]
async fn an_idle_connection_of_any_worker_makes_room() {
    let stage = with_room_for(4, |settings| {
        settings.set("server.workers", "4");
    })
    .await;
    let mut idle = stage.client().open().await;
    idle.get("/bytes/1", "").await;
    let mut others = Vec::new();
    for number in 1..=3 {
        others.push(busy(&stage, number).await);
    }
    is_let_in(&mut waiting(&stage).await).await;
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn with_none_idle_new_ones_wait_and_do_not_fail() {
    let stage = with_room_for(2, |_| {}).await;
    let first = busy(&stage, 1).await;
    let second = busy(&stage, 2).await;
    let (mut third, mut fourth) = (waiting(&stage).await, waiting(&stage).await);
    for _ in 0..5 {
        assert_eq!(stage.metric("connections").await, 2.0);
    }
    assert_eq!(stage.codescan.requests_to("/bytes/7").len(), 0);
    drop(first);
    tokio::select! {
        () = is_let_in(&mut third) => {}
        () = is_let_in(&mut fourth) => {}
    }
    drop(second);
    // Whoever came first is idle by now, and makes room at the latest.
    wait_until("both are served", async || stage.codescan.requests_to("/bytes/7").len() == 2).await;
}

#[tokio::test]
async fn many_more_than_there_is_room_for_are_all_served() {
    let stage = with_room_for(4, |_| {}).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let client = stage.client();
        clients.spawn(async move {
            let mut wire = client.open().await;
            wire.get("/bytes/7", "").await;
            // Kept open, so that room must be made.
            wire
        });
    }
    assert_eq!(clients.join_all().await.len(), 60);
    assert!(stage.metric("connections").await <= 4.0);
}

#[tokio::test]
async fn the_limit_can_be_changed_while_somebody_waits() {
    let mut stage = with_room_for(1, |_| {}).await;
    let _first = busy(&stage, 1).await;
    let mut second = waiting(&stage).await;
    stage
        .proxy
        .reload(|settings| {
            settings.set("server.max_connections", "2");
        })
        .await;
    is_let_in(&mut second).await;
}

#[tokio::test]
async fn a_tunnel_counts_for_as_long_as_it_lasts() {
    let stage = with_room_for(1, |settings| {
        settings.text("server.idle_timeout", "1s").text("server.header_timeout", "1s");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    assert_eq!(stage.metric("connections").await, 1.0);
    let mut next = waiting(&stage).await;
    // Longer than a connection may idle or read a head.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    socket.send(Message::text("hello")).await;
    assert_eq!(socket.next().await, Some(Message::text("hello")));
    assert_eq!(stage.codescan.requests_to("/bytes/7").len(), 0);
    drop(socket);
    is_let_in(&mut next).await;
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_or_the_want_of_it_is_told() {
    let stage = with_room_for(400, |_| {}).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", stage.proxy.pid())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<&str> =
        line.split_whitespace().filter(|it| it.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers.len(), 2, "{line}");
    assert_eq!(numbers[0], numbers[1], "as far as allowed");
    assert!(!stage.proxy.log().contains("limit of open files"));
}

/// Only somebody without privileges is held to a hard limit.
#[tokio::test]
async fn files_that_have_run_out_are_told_of_once_and_cost_nobody_an_answer() {
    let stage = with_room_for(400, |settings| {
        settings.open_files = Some(60);
        settings.set("server.workers", "1");
    })
    .await;
    if !stage.proxy.log().contains("limit of open files") {
        // This user may raise it.
        return;
    }
    let mut wires = Vec::new();
    for _ in 0..80 {
        wires.push(stage.client().open().await);
    }
    stage.proxy.wait_for_log(&["cannot take a connection"]).await;
    wires.clear();
    assert_eq!(stage.client().get("/bytes/7").await.status, StatusCode::OK);
    assert_eq!(stage.proxy.log().matches("cannot take a connection").count(), 1);
}
