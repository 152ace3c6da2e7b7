//! Clients of HTTP/2 that mean harm: their connection ends, and others do not notice.

use std::time::Duration;

use crate::harness::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, frame, get,
};
use crate::harness::{Stage, pattern};

const ENHANCE_YOUR_CALM: u32 = 11;

async fn stage() -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]").set("server.workers", "1");
    })
    .await
}

/// Sends this over and over until the connection ends; fails if it does not. Meanwhile the same
/// worker answers others.
async fn is_ended_by(flood: &[u8]) {
    let stage = stage().await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let many = flood.repeat(50);
    let flooding = async { while frames.try_send(&many).await.is_ok() {} };
    let others = async {
        for _ in 0..5 {
            assert_eq!(stage.client().get("/bytes/3").await.body, pattern(3));
        }
    };
    let flooded = tokio::time::timeout(Duration::from_secs(15), flooding);
    let (flooded, ()) = tokio::join!(flooded, others);
    assert!(flooded.is_ok(), "still open");
}

#[tokio::test]
async fn pings() {
    is_ended_by(&frame(PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn settings() {
    is_ended_by(&frame(SETTINGS, 0, 0, &[])).await;
}

#[tokio::test]
async fn priorities() {
    is_ended_by(&frame(PRIORITY, 0, 5, &[0, 0, 0, 0, 1])).await;
}

#[tokio::test]
async fn frames_that_nobody_knows() {
    is_ended_by(&frame(0x77, 0, 0, b"what?")).await;
}

/// What the proxy says last to a connection on which all of this came at once.
async fn last_word(pieces: impl Iterator<Item = Vec<u8>>) -> (Stage, u32) {
    let stage = stage().await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let all: Vec<u8> = pieces.flatten().collect();
    let _ = frames.try_send(&all).await;
    let goodbye = frames.next_of(&[GOAWAY]).await.expect("a GOAWAY");
    frames.rest().await;
    assert_eq!(stage.client().get("/bytes/3").await.body, pattern(3));
    (stage, goodbye.error())
}

#[tokio::test]
async fn a_head_that_goes_on_and_on() {
    let first = frame(HEADERS, END_STREAM, 1, &get("/api/x", &[]));
    let more = (0..10_000).map(|_| frame(CONTINUATION, 0, 1, &[]));
    let (stage, error) = last_word(std::iter::once(first).chain(more)).await;
    assert_eq!(error, ENHANCE_YOUR_CALM);
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn a_head_that_grows_and_grows() {
    let first = frame(HEADERS, END_STREAM, 1, &get("/api/x", &[]));
    let field = get("/x", &[("x", &"y".repeat(120))]).split_off(60);
    let more = (0..2_000).map(|_| frame(CONTINUATION, 0, 1, &field.repeat(100)));
    let (stage, _) = last_word(std::iter::once(first).chain(more)).await;
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn streams_that_are_reset_at_once() {
    let streams = (0..2_000_u32).map(|number| {
        let stream = number * 2 + 1;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/hang", &[]));
        [head, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    let (stage, error) = last_word(streams).await;
    assert_eq!(error, ENHANCE_YOUR_CALM);
    stage.codescan.wait_for_open_requests(0).await;
}

#[tokio::test]
async fn more_streams_than_there_may_be_are_refused() {
    let stage = stage().await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let streams = (0..140_u32).flat_map(|number| {
        frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &get("/hang", &[]))
    });
    frames.try_send(&streams.collect::<Vec<u8>>()).await.expect("they are sent");
    for _ in 0..12 {
        let refused = frames.next_of(&[RST_STREAM]).await.expect("a refusal");
        assert_eq!(refused.error(), 7, "REFUSED_STREAM: it may be tried again");
        assert!(refused.stream > 256);
    }
}
