//! `codescan.http2`: what passes is what would pass over HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use simulator::codescan::Tls;
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::http2::{Http2, body};
use crate::harness::upstream::Upstream;
use crate::harness::websocket::WebSocket;
use crate::harness::wire::{get, head};
use crate::harness::{Client, Settings, Stage, kept_file, patiently, pattern, sha256, wait_until};

const MIB: usize = 1024 * 1024;

/// By prior knowledge, and by ALPN.
const BOTH: [Tls; 2] = [Tls::Off, Tls::Server];

/// Before a `CodeScan` that speaks both protocols, or HTTP/1.1 only; with one worker.
async fn between(tls: Tls, http2: bool, change: impl FnOnce(&mut Settings)) -> Stage {
    let bitbucket = Bitbucket::start(BitbucketOptions::default()).await.expect("it starts");
    let options =
        CodescanOptions { tls, http2, bitbucket: Some(bitbucket.clone()), ..Default::default() };
    let codescan = Codescan::start(options).await.expect("it starts");
    Stage::around(bitbucket, codescan.clone(), |settings| {
        settings.set("codescan.http2", "true");
        settings.set("server.workers", "1");
        if tls != Tls::Off {
            settings.text("codescan.ca_file", &kept_file("ca", codescan.ca_pem()));
        }
        change(settings);
    })
    .await
}

async fn stage(tls: Tls) -> Stage {
    between(tls, true, |_| {}).await
}

/// A person whose browser has cookies of others too.
async fn person(stage: &Stage) -> Client {
    let cookies = stage.logged_in("jcitizen").await.cookie_header();
    stage.client().with("cookie", &format!("theme=dark; {cookies}; b=\"2\""))
}

#[tokio::test]
async fn a_request_reaches_codescan_by_the_rules_of_any_other() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        let fields = "X-Custom: 1\r\nx-custom: 2\r\nConnection: x-hop, keep-alive, te\r\n\
                      X-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\nProxy-Connection: a\r\n\
                      X-Forwarded-Login: admin\r\nAuthorization: Basic x\r\nPROJECT_KEY: k\r\n";
        let mut wire = session.open().await;
        let target = "/api/%2e//x;y?a=%41&b=http://c";
        let answer = wire.get(target, &format!("{}{fields}", session.lines())).await;
        assert_eq!(answer.status, StatusCode::OK);
        let received = stage.received("/api/%2e//x;y");
        assert_eq!((received.version.as_str(), received.target.as_str()), ("HTTP/2.0", target));
        let scheme = if tls == Tls::Off { "http" } else { "https" };
        for (name, value) in [
            (":scheme", Some(scheme)),
            (":authority", Some("codescan.test")),
            ("host", None),
            ("cookie", Some("theme=dark; b=\"2\"")),
            ("te", Some("trailers")),
            ("project_key", Some("k")),
            ("via", Some("1.1 codescan-oauth-proxy")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-login", None),
            ("connection", None),
            ("x-hop", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("content-length", None),
        ] {
            assert_eq!(received.header(name), value, "{name}");
        }
        assert_eq!(received.all("x-custom").collect::<Vec<_>>(), ["1", "2"]);
        let tokens: Vec<_> = received.all("authorization").collect();
        assert!(matches!(&tokens[..], [token] if token.starts_with("Bearer ")));
    }
}

/// Values neither begin nor end with it (RFC 9113 §8.2.1).
#[tokio::test]
async fn cookies_that_were_cut_leave_no_white_space() {
    let stage = stage(Tls::Off).await;
    let ours = stage.logged_in("jcitizen").await.cookie_header();
    let client = stage.client().with("cookie", &format!("theme=dark ; {ours}"));
    assert_eq!(client.get("/api/x").await.status, StatusCode::OK);
    assert_eq!(stage.received("/api/x").header("cookie"), Some("theme=dark"));
}

#[tokio::test]
async fn an_answer_reaches_the_client_as_it_was() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        let target = "/set-cookie?cookie=a%3D1%3B+Path%3D/&cookie=b%3D2";
        let answer = session.get(target).await;
        assert_eq!(answer.set_cookies(), ["a=1; Path=/", "b=2"]);
        assert_eq!(answer.header("cache-control"), Some("private"));
        assert!(answer.headers.contains_key("x-request-id"));
        let answer = session.get("/status/418?header=X-Odd:%20a%20b&body=tea").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (418, "tea"));
        assert_eq!(answer.header("x-odd"), Some("a b"));
    }
}

#[tokio::test]
async fn bodies_pass_byte_for_byte() {
    let wanted = pattern(10 * MIB);
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        for client in [session.clone(), session.over_http2()] {
            for target in ["/bytes/10485760", "/bytes/10485760?chunked"] {
                assert!(client.get(target).await.body == wanted, "{target}");
            }
            let body = Bytes::from(wanted.clone());
            let answer = client.send(Method::POST, "/api/ce/submit", &[], body).await;
            assert_eq!(answer.json()["sha256"], sha256(&wanted));
            let length = wanted.len().to_string();
            let received = stage.received("/api/ce/submit");
            assert_eq!(received.header("content-length"), Some(length.as_str()));
        }
    }
}

#[tokio::test]
async fn an_upload_of_unknown_length_passes_and_none_is_said_to_be_none() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    let mut wire = session.open().await;
    let fields = format!("{}Transfer-Encoding: chunked\r\n", session.lines());
    wire.send(head("POST", "/api/ce/submit", &fields)).await;
    for _ in 0..3 {
        wire.send("5\r\nhello\r\n").await;
    }
    stage.codescan.wait_for(|it| it.path() == "/api/ce/submit" && it.body_length == 15).await;
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.answer().await.json()["sha256"], sha256(b"hellohellohello"));
    assert_eq!(stage.received("/api/ce/submit").header("content-length"), None);
    wire.send(head("POST", "/api/x", &session.lines())).await;
    assert_eq!(wire.answer().await.status, StatusCode::OK);
    assert_eq!(stage.received("/api/x").header("content-length"), Some("0"));
}

/// Nothing waits for the 100 of an upstream, and no upstream is asked for one.
#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    let mut wire = session.open().await;
    let fields = format!("{}Expect: 100-continue\r\nContent-Length: 2\r\n", session.lines());
    wire.send(head("POST", "/api/ce/submit", &fields)).await;
    assert_eq!(wire.head().await.status, StatusCode::CONTINUE);
    wire.send("hi").await;
    assert_eq!(wire.answer().await.json()["bytes"], 2);
    assert_eq!(stage.received("/api/ce/submit").header("expect"), None);
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        let mut wire = session.open().await;
        wire.send(head("HEAD", "/bytes/1000", &session.lines())).await;
        let answer = wire.head().await;
        assert_eq!(answer.header("content-length"), Some("1000"));
        for status in ["204", "304"] {
            wire.send(get(&format!("/status/{status}"), &session.lines())).await;
            assert_eq!(wire.head().await.status.as_str(), status);
        }
        assert_eq!(wire.get("/bytes/3", &session.lines()).await.body, pattern(3), "in step");
    }
}

#[tokio::test]
async fn trailers_of_an_answer_pass() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    let fields = format!("{}TE: trailers\r\nConnection: close, TE\r\n", session.lines());
    let answer = session.raw(get("/trailers", &fields).as_bytes()).await;
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.ends_with("0\r\nx-checksum: 12345\r\n\r\n"), "{answer}");
    let mut client = Http2::open(&session).await;
    let mut answer = client.get("/trailers").await.into_body();
    while let Some(data) = patiently("a body", answer.data()).await {
        data.expect("a piece");
    }
    let trailers = patiently("trailers", answer.trailers()).await.expect("whole");
    assert_eq!(trailers.expect("some")["x-checksum"], "12345");
}

#[tokio::test]
async fn events_arrive_one_by_one_as_they_are_sent() {
    let stage = stage(Tls::Server).await;
    let session = person(&stage).await;
    let mut wire = session.open().await;
    wire.send(get("/api/push/sonarlint_events", &session.lines())).await;
    assert_eq!(wire.head().await.header("content-type"), Some("text/event-stream"));
    stage.codescan.wait_for_event_streams(1).await;
    for number in 0..5 {
        stage.codescan.push_event(&format!("event-{number}"));
        wire.until(format!("event-{number}\n\n").as_bytes()).await;
    }
    drop(wire);
    stage.codescan.wait_for_event_streams(0).await;
}

#[tokio::test]
async fn the_answer_begins_while_the_upload_goes_on() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    let mut wire = session.open().await;
    let fields = format!("{}Content-Length: 1000000\r\n", session.lines());
    wire.send(head("POST", "/early?status=413", &fields)).await;
    wire.send(pattern(1000)).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.text(), "I have heard enough.\n");
}

#[tokio::test]
async fn a_hundred_requests_share_a_connection() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        let mut wires = Vec::new();
        for _ in 0..100 {
            let mut wire = session.open().await;
            wire.send(get("/hang", &session.lines())).await;
            wires.push(wire);
        }
        stage.codescan.wait_for_open_requests(100).await;
        assert_eq!(stage.metric("upstream_connections{state=\"active\"}").await, 1.0);
        drop(wires);
        stage.codescan.wait_for_open_requests(0).await;
        wait_until("a connection at rest", async || {
            stage.metric("upstream_connections{state=\"idle\"}").await == 1.0
        })
        .await;
        assert_eq!(stage.metric("upstream_connections{state=\"active\"}").await, 0.0);
    }
}

#[tokio::test]
async fn readers_that_wait_do_not_stop_the_others() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    let mut waiting = Http2::open(&session).await;
    let mut answers = Vec::new();
    for _ in 0..90 {
        answers.push(waiting.get("/bytes/5000000").await);
    }
    for _ in 0..3 {
        assert!(session.get("/bytes/1000000").await.body == pattern(1_000_000));
    }
    assert_eq!(stage.metric("upstream_connections{state=\"active\"}").await, 1.0);
    let first = answers.swap_remove(0);
    drop(answers);
    assert!(body(first.into_body()).await.expect("whole") == pattern(5_000_000));
}

/// What the kernel holds aside, a reader that waits costs no more than a few hundred KiB.
#[tokio::test]
async fn a_reader_that_waits_costs_no_memory_and_loses_nothing() {
    const READERS: usize = 4;
    const LENGTH: usize = 50 * MIB;
    let stage = between(Tls::Off, true, |settings| {
        settings.text("log.level", "warn");
    })
    .await;
    let session = person(&stage).await;
    session.get("/bytes/1000000").await;
    let before = stage.proxy.resident();
    let mut wires = Vec::new();
    for _ in 0..READERS {
        let mut wire = session.open().await;
        wire.send(get(&format!("/bytes/{LENGTH}"), &session.lines())).await;
        wire.head().await;
        wires.push(wire);
    }
    let (wanted, mut most) = (pattern(LENGTH), 0);
    for piece in wanted.chunks(LENGTH / 50) {
        for wire in &mut wires {
            assert!(wire.take(piece.len()).await == piece);
        }
        most = most.max(stage.proxy.resident());
    }
    let each = most.saturating_sub(before) / READERS;
    assert!(each < MIB, "{each} bytes for each of {READERS} readers, beside {before}");
}

#[tokio::test]
async fn a_codescan_that_knows_only_http1_gets_that() {
    let stage = between(Tls::Server, false, |_| {}).await;
    let session = person(&stage).await;
    let gets: Vec<_> = (0..20)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.get("/bytes/1000").await.body })
        })
        .collect();
    for body in gets {
        assert_eq!(body.await.expect("no panic"), pattern(1000));
    }
    assert_eq!(stage.received("/bytes/1000").version, "HTTP/1.1");
    let answer = session.send(Method::POST, "/api/ce/submit", &[], pattern(1000)).await;
    assert_eq!(answer.json()["sha256"], sha256(&pattern(1000)));
}

#[tokio::test]
async fn websockets_stay_with_http1() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        assert_eq!(session.get("/bytes/3").await.body, pattern(3));
        let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
        socket.send(Message::text("hello")).await;
        assert_eq!(socket.next().await, Some(Message::text("hello")));
        assert_eq!(stage.received("/ws").version, "HTTP/1.1");
        let mut other = WebSocket::connect(&session, "websocket", "/ws", &[]).await.expect("one");
        other.send(Message::binary(pattern(MIB))).await;
        assert_eq!(other.next().await, Some(Message::binary(pattern(MIB))));
        assert_eq!(session.get("/bytes/4").await.body, pattern(4));
        assert_eq!(stage.received("/bytes/4").version, "HTTP/2.0");
    }
}

/// The one connection that there may be is at rest, so it makes room for another kind.
#[tokio::test]
async fn a_websocket_gets_the_place_of_a_connection_at_rest() {
    let stage = between(Tls::Off, true, |settings| {
        settings.set("codescan.max_connections", "1");
    })
    .await;
    let session = person(&stage).await;
    assert_eq!(session.get("/bytes/3").await.body, pattern(3));
    let socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.codescan.wait_for_websockets(1).await;
    drop(socket);
    stage.codescan.wait_for_websockets(0).await;
    assert_eq!(session.get("/bytes/4").await.body, pattern(4));
}

#[tokio::test]
async fn readiness_is_asked_for_in_the_same_way() {
    for tls in BOTH {
        let stage = stage(tls).await;
        wait_until("readiness", async || stage.admin("/readyz").await.status == StatusCode::OK)
            .await;
        let asked = stage.received("/api/system/status");
        assert_eq!(asked.version, "HTTP/2.0");
        let authority = stage.proxy.public_url().trim_start_matches("http://");
        assert_eq!(asked.header(":authority"), Some(authority));
    }
}

#[tokio::test]
async fn a_codescan_that_went_away_is_found_again() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        assert_eq!(session.get("/bytes/3").await.body, pattern(3));
        stage.codescan.stop().await.expect("it stops");
        let lost = session.get("/bytes/3").await;
        assert_eq!(lost.status, StatusCode::BAD_GATEWAY);
        assert_eq!(lost.error_code().as_deref(), Some("upstream_unreachable"));
        stage.codescan.resume().await.expect("it comes back");
        assert_eq!(session.get("/bytes/3").await.body, pattern(3));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_for_the_client() {
    for tls in BOTH {
        let stage = stage(tls).await;
        let session = person(&stage).await;
        for client in [session.clone(), session.over_http2()] {
            assert!(client.try_get("/die").await.is_err());
            let lost = client.get("/die-at-once").await;
            assert_eq!(lost.error_code().as_deref(), Some("upstream_unreachable"));
            assert_eq!(client.get("/bytes/3").await.body, pattern(3));
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_whole() {
    let stage = stage(Tls::Off).await;
    let session = person(&stage).await;
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        stage.codescan.clear_requests();
        let mut wire = session.open().await;
        let fields = format!("{}{framing}\r\n", session.lines());
        wire.send(head("POST", "/api/ce/submit", &fields)).await;
        wire.send("5\r\nhello\r\n").await;
        stage.codescan.wait_for(|it| it.path() == "/api/ce/submit" && it.body_length > 0).await;
        drop(wire);
        stage.codescan.wait_for_open_requests(0).await;
        assert_eq!(stage.received("/api/ce/submit").body_sha256, None, "{framing}");
    }
}

/// Before an upstream that is not what the settings say.
async fn before(upstream: &str) -> Stage {
    Stage::with(|settings| {
        settings.text("codescan.url", upstream);
        settings.set("codescan.http2", "true");
        settings.text("codescan.connect_timeout", "1s");
        settings.set("access.public", "[\"/**\"]");
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_it_is_unreachable() {
    let upstream = Upstream::start().await;
    let stage = before(upstream.url()).await;
    let answering = async {
        loop {
            let mut call = upstream.call().await;
            let _ = call.try_answer("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    };
    let answer = tokio::select! {
        answer = async { stage.client().get("/x").await } => answer,
        () = answering => unreachable!("it goes on"),
    };
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
    stage.proxy.wait_for_log(&["not forwarded", "no HTTP connection"]).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_greet_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("an address");
    let stage = before(&format!("http://{address}")).await;
    let began = std::time::Instant::now();
    let answer = stage.client().get("/x").await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
    assert!(began.elapsed() >= Duration::from_secs(1));
}
