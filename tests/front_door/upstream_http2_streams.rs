//! `codescan.http2`, frame by frame: streams that are refused, cut or too many, and connections
//! that end.

use h2::Reason;
use http::StatusCode;

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, OK, RST_STREAM, block,
};
use crate::harness::http2::{Http2, body};
use crate::harness::shared_upstream::SharedUpstream;
use crate::harness::wire::{Wire, get, head};
use crate::harness::{Settings, Stage, patiently, pattern, wait_until};

const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Before an upstream of our own making, open to all, with one worker.
async fn before(upstream: &SharedUpstream, change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("codescan.http2", "true");
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
        change(settings);
    })
    .await
}

async fn start() -> (SharedUpstream, Stage) {
    let upstream = SharedUpstream::start(&[]).await;
    let stage = before(&upstream, |_| {}).await;
    (upstream, stage)
}

/// A request on a wire of its own.
async fn ask(stage: &Stage, request: impl AsRef<[u8]>) -> Wire {
    let mut wire = stage.client().open().await;
    wire.send(request).await;
    wire
}

/// A connection that one request has gone over.
async fn warm(stage: &Stage, upstream: &SharedUpstream) -> Frames {
    let mut wire = ask(stage, get("/first", "")).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    connection.answer(stream, b"").await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
    connection
}

async fn is_answered(mut wire: Wire, text: &str) {
    assert_eq!(wire.answer().await.text(), text);
}

async fn is_unreachable(mut wire: Wire) {
    let answer = wire.answer().await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
}

#[tokio::test]
async fn streams_beyond_the_limit_go_over_another_connection() {
    let upstream = SharedUpstream::start(&[(MAX_CONCURRENT_STREAMS, 2)]).await;
    let stage = before(&upstream, |_| {}).await;
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(ask(&stage, get("/", "")).await);
    }
    let mut connections = [upstream.connection().await, upstream.connection().await];
    for connection in &mut connections {
        assert_eq!((connection.request().await, connection.request().await), (1, 3));
        connection.answer(1, b"ok").await;
        connection.answer(3, b"ok").await;
    }
    for wire in wires {
        is_answered(wire, "ok").await;
    }
    assert!(upstream.is_left_alone().await);
}

/// `codescan.max_connections` counts connections; who finds no room waits for a stream.
#[tokio::test]
async fn streams_beyond_all_limits_wait_for_one_that_ends() {
    let upstream = SharedUpstream::start(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
    let stage = before(&upstream, |settings| {
        settings.set("codescan.max_connections", "1");
        settings.text("codescan.connect_timeout", "2s");
    })
    .await;
    let first = ask(&stage, get("/1", "")).await;
    let mut connection = upstream.connection().await;
    assert_eq!(connection.request().await, 1);
    let mut refused = ask(&stage, get("/2", "")).await;
    assert_eq!(refused.answer().await.error_code().as_deref(), Some("overloaded"));
    let second = ask(&stage, get("/3", "")).await;
    connection.answer(1, b"one").await;
    is_answered(first, "one").await;
    assert_eq!(connection.request().await, 3);
    connection.answer(3, b"three").await;
    is_answered(second, "three").await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn what_a_goodbye_leaves_out_goes_over_another_connection() {
    let (upstream, stage) = start().await;
    let first = ask(&stage, get("/1", "")).await;
    let mut old = upstream.connection().await;
    assert_eq!(old.request().await, 1);
    let second = ask(&stage, head("POST", "/2", "Content-Length: 0\r\n")).await;
    assert_eq!(old.request().await, 3);
    old.go_away(1, Reason::NO_ERROR).await;
    let mut new = upstream.connection().await;
    assert_eq!(new.request().await, 1);
    new.answer(1, b"new").await;
    is_answered(second, "new").await;
    let third = ask(&stage, get("/3", "")).await;
    assert_eq!(new.request().await, 3);
    new.answer(3, b"new").await;
    is_answered(third, "new").await;
    old.answer(1, b"old").await;
    is_answered(first, "old").await;
    while old.next().await.is_some() {}
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_refused_request_goes_out_again_if_all_of_it_is_there() {
    let (upstream, stage) = start().await;
    let wire = ask(&stage, head("POST", "/", "Content-Length: 0\r\n")).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    connection.reset(stream, Reason::REFUSED_STREAM).await;
    let stream = connection.request().await;
    connection.answer(stream, b"ok").await;
    is_answered(wire, "ok").await;

    let wire = ask(&stage, head("POST", "/", "Content-Length: 2\r\n") + "hi").await;
    let stream = connection.request().await;
    connection.reset(stream, Reason::REFUSED_STREAM).await;
    is_unreachable(wire).await;
}

#[tokio::test]
async fn who_refuses_always_is_not_asked_for_ever() {
    let (upstream, stage) = start().await;
    let wire = ask(&stage, get("/", "")).await;
    let mut connection = upstream.connection().await;
    for _ in 0..3 {
        let stream = connection.request().await;
        connection.reset(stream, Reason::REFUSED_STREAM).await;
    }
    is_unreachable(wire).await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn only_what_does_no_harm_survives_a_connection_that_went_stale() {
    let (upstream, stage) = start().await;
    for (request, survives) in [
        (get("/again", ""), true),
        (head("DELETE", "/again", ""), true),
        (head("POST", "/once", ""), false),
        (head("PUT", "/once", "Content-Length: 2\r\n") + "hi", false),
    ] {
        let mut kept = warm(&stage, &upstream).await;
        let wire = ask(&stage, &request).await;
        kept.request().await;
        drop(kept);
        if survives {
            let mut connection = upstream.connection().await;
            let stream = connection.request().await;
            connection.answer(stream, b"ok").await;
            is_answered(wire, "ok").await;
        } else {
            is_unreachable(wire).await;
            assert!(upstream.is_left_alone().await);
        }
        no_connection_is_left(&stage).await;
    }
}

#[tokio::test]
async fn a_first_request_that_is_lost_is_not_sent_twice() {
    let (upstream, stage) = start().await;
    let wire = ask(&stage, get("/", "")).await;
    let mut connection = upstream.connection().await;
    connection.request().await;
    drop(connection);
    is_unreachable(wire).await;
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_ended_between_two_requests_costs_none() {
    let (upstream, stage) = start().await;
    for says_goodbye in [true, false] {
        let mut connection = warm(&stage, &upstream).await;
        if says_goodbye {
            connection.go_away(1, Reason::NO_ERROR).await;
        } else {
            drop(connection);
        }
        no_connection_is_left(&stage).await;
        // Of a method that would not be repeated.
        let wire = ask(&stage, head("POST", "/", "")).await;
        let mut connection = upstream.connection().await;
        let stream = connection.request().await;
        connection.answer(stream, b"ok").await;
        is_answered(wire, "ok").await;
        drop(connection);
        no_connection_is_left(&stage).await;
    }
}

async fn no_connection_is_left(stage: &Stage) {
    wait_until("the connection is gone", async || {
        let open =
            async |state| stage.metric(&format!("upstream_connections{{state=\"{state}\"}}")).await;
        open("idle").await + open("active").await == 0.0
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_cut_never_looks_whole() {
    let (upstream, stage) = start().await;
    let mut connection = warm(&stage, &upstream).await;
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::REFUSED_STREAM]
    {
        let mut wire = ask(&stage, get("/", "")).await;
        let stream = connection.request().await;
        connection.send(HEADERS, END_HEADERS, stream, &[OK]).await;
        connection.send(DATA, 0, stream, b"hello").await;
        connection.reset(stream, reason).await;
        let answer = String::from_utf8(wire.rest().await).expect("text");
        assert!(answer.contains("hello"), "what came is passed on: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "no clean end: {answer}");
    }
    let mut client = Http2::open(&stage.client()).await;
    let request = client.request("GET", "/");
    let (answer, _) = client.send(request, true).await;
    let stream = connection.request().await;
    connection.send(HEADERS, END_HEADERS, stream, &[OK]).await;
    connection.send(DATA, 0, stream, b"hello").await;
    let answer = answer.await.expect("a head");
    drop(connection);
    assert!(body(answer.into_body()).await.is_err());
}

/// As RFC 9113 §8.1 lets a server do that has heard enough.
#[tokio::test]
async fn a_whole_answer_stays_whole_when_the_rest_of_the_upload_is_refused() {
    let (upstream, stage) = start().await;
    let mut wire = ask(&stage, head("POST", "/", "Content-Length: 1000000\r\n")).await;
    wire.send(pattern(1000)).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    connection.send(HEADERS, END_HEADERS, stream, &block(&[(":status", "413")])).await;
    connection.send(DATA, END_STREAM, stream, b"enough").await;
    connection.reset(stream, Reason::NO_ERROR).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (413, "enough"));
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let (upstream, stage) = start().await;
    let mut connection = warm(&stage, &upstream).await;
    let stays = ask(&stage, get("/stays", "")).await;
    let other = connection.request().await;
    for (request, has_head) in [
        (get("/", ""), false),
        (get("/", ""), true),
        (head("POST", "/", "Content-Length: 1000000\r\n"), false),
        (head("POST", "/", "Content-Length: 1000000\r\n"), true),
    ] {
        let mut wire = ask(&stage, &request).await;
        let stream = connection.request().await;
        if has_head {
            connection.send(HEADERS, END_HEADERS, stream, &[OK]).await;
            wire.head().await;
        }
        drop(wire);
        let reset = connection.next_of(&[RST_STREAM]).await.expect("a reset");
        assert_eq!((reset.stream, reset.error()), (stream, Reason::CANCEL.into()));
    }
    connection.answer(other, b"ok").await;
    is_answered(stays, "ok").await;
}

/// The windows are full, so nothing that is sent can tell that nobody waits for the answer.
#[tokio::test]
async fn a_client_that_leaves_in_a_stalled_upload_resets_its_stream() {
    let (upstream, stage) = start().await;
    let mut client = Http2::open(&stage.client()).await;
    let request = client.request("POST", "/");
    let (answer, mut upload) = client.send(request, false).await;
    upload.send_data(pattern(200_000).into(), false).expect("it is sent");
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    let mut came = 0;
    while came < 65_535 {
        came += connection.next_of(&[DATA]).await.expect("a piece").payload.len();
    }
    connection.send(HEADERS, END_HEADERS, stream, &[OK]).await;
    let answer = patiently("a head", answer).await.expect("a head");
    drop((answer, upload));
    let reset = connection.next_of(&[RST_STREAM]).await.expect("a reset");
    assert_eq!((reset.stream, reset.error()), (stream, Reason::CANCEL.into()));
}

#[tokio::test]
async fn no_head_in_time_is_504_and_the_stream_is_reset() {
    let upstream = SharedUpstream::start(&[]).await;
    let stage = before(&upstream, |settings| {
        settings.text("codescan.response_timeout", "1s");
    })
    .await;
    let mut wire = ask(&stage, get("/", "")).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    let answer = wire.answer().await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_timeout"));
    let reset = connection.next_of(&[RST_STREAM]).await.expect("a reset");
    assert_eq!(reset.stream, stream);
    let wire = ask(&stage, get("/", "")).await;
    let stream = connection.request().await;
    connection.answer(stream, b"ok").await;
    is_answered(wire, "ok").await;
}

#[tokio::test]
async fn what_codescan_says_beforehand_is_not_its_answer_and_has_an_end() {
    let (upstream, stage) = start().await;
    let hints = block(&[(":status", "103"), ("link", "a")]);
    let mut wire = ask(&stage, get("/", "")).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    for _ in 0..3 {
        connection.send(HEADERS, END_HEADERS, stream, &hints).await;
    }
    connection.answer(stream, b"ok").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("link")), (StatusCode::OK, None));

    let wire = ask(&stage, get("/", "")).await;
    let stream = connection.request().await;
    for _ in 0..17 {
        connection.send(HEADERS, END_HEADERS, stream, &hints).await;
    }
    is_unreachable(wire).await;
    assert_eq!(connection.next_of(&[RST_STREAM]).await.expect("a reset").stream, stream);
}

#[tokio::test]
async fn an_answer_that_is_malformed_is_none() {
    let (upstream, stage) = start().await;
    let mut connection = warm(&stage, &upstream).await;
    for fields in [
        &[("content-length", "2")][..],
        &[(":status", "200"), ("connection", "close")],
        &[(":status", "200"), ("transfer-encoding", "chunked")],
        &[(":status", "200"), ("content-length", "2"), ("content-length", "3")],
        &[(":status", "200"), ("content-length", "+2")],
        &[(":status", "200"), ("Upper-Case", "a")],
        &[(":status", "099")],
    ] {
        let wire = ask(&stage, get("/", "")).await;
        let stream = connection.request().await;
        connection.send(HEADERS, END_HEADERS, stream, &block(fields)).await;
        is_unreachable(wire).await;
        // The stream is reset, or all of the connection is ended.
        connection = warm_again(&stage, &upstream, connection).await;
    }
}

/// The connection, if it still serves, else another.
async fn warm_again(stage: &Stage, upstream: &SharedUpstream, mut old: Frames) -> Frames {
    let mut wire = ask(stage, get("/again", "")).await;
    let (mut connection, stream) = if let Some(asked) = old.next_of(&[HEADERS]).await {
        (old, asked.stream)
    } else {
        let mut new = upstream.connection().await;
        let stream = new.request().await;
        (new, stream)
    };
    connection.answer(stream, b"").await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
    connection
}

#[tokio::test]
async fn a_body_of_another_length_than_said_is_broken() {
    let (upstream, stage) = start().await;
    let mut connection = warm(&stage, &upstream).await;
    for data in [&b"four"[..], b"sixsix"] {
        let mut wire = ask(&stage, get("/", "")).await;
        let stream = connection.request().await;
        let fields = block(&[(":status", "200"), ("content-length", "5")]);
        connection.send(HEADERS, END_HEADERS, stream, &fields).await;
        wire.head().await;
        connection.send(DATA, END_STREAM, stream, data).await;
        assert!(wire.rest().await.len() < 5, "not as many as were said");
    }
}

#[tokio::test]
async fn a_head_without_end_is_not_read_for_ever() {
    let (upstream, stage) = start().await;
    let wire = ask(&stage, get("/", "")).await;
    let mut connection = upstream.connection().await;
    let stream = connection.request().await;
    let value = "x".repeat(120);
    let fields = vec![("x", value.as_str()); 1000];
    let whole = block(&[&[(":status", "200")], &fields[..]].concat());
    let mut pieces = whole.chunks(16_000).peekable();
    let first = pieces.next().expect("a first one");
    connection.send(HEADERS, 0, stream, first).await;
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        connection.send(CONTINUATION, flags, stream, piece).await;
    }
    is_unreachable(wire).await;
}
