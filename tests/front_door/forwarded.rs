//! What `CodeScan` is told of the client's way: addresses, scheme, host, request id, trace.

use crate::harness::wire::get;
use crate::harness::{Settings, Stage};
use simulator::Received;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn open_to_all(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

async fn trusting_loopback() -> Stage {
    open_to_all(|settings| {
        settings.set("server.trusted_proxies", "[\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    })
    .await
}

/// What arrives of a request with these lines.
async fn arrives(stage: &Stage, lines: &str) -> Received {
    stage.client().open().await.get("/api/x", lines).await;
    stage.received("/api/x")
}

fn one<'a>(received: &'a Received, name: &str) -> &'a str {
    let values: Vec<&str> = received.all(name).collect();
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0]
}

#[tokio::test]
async fn scheme_host_and_port_are_those_of_the_public_url() {
    for (public_url, proto, host, port) in [
        ("https://codescan.example.com", "https", "codescan.example.com", "443"),
        ("https://codescan.example.com:8443/cs", "https", "codescan.example.com:8443", "8443"),
        ("http://codescan.example.com", "http", "codescan.example.com", "80"),
    ] {
        let stage = open_to_all(|settings| {
            settings.text("server.public_url", public_url);
            settings.set("server.trusted_proxies", "[\"127.0.0.0/8\"]");
            settings.set("access.public", "[\"/**\"]");
        })
        .await;
        let lines = "X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
                     Forwarded: for=1.2.3.4;host=evil;proto=ftp\r\n";
        let prefix = if public_url.ends_with("/cs") { "/cs" } else { "" };
        stage.client().open().await.get(&format!("{prefix}/api/x"), lines).await;
        let received = stage.received(&format!("{prefix}/api/x"));
        assert_eq!(one(&received, "x-forwarded-proto"), proto);
        assert_eq!(one(&received, "x-forwarded-host"), host);
        assert_eq!(one(&received, "x-forwarded-port"), port);
        let forwarded = format!("for=1.2.3.4, for=127.0.0.1;host=\"{host}\";proto={proto}");
        assert_eq!(one(&received, "forwarded"), forwarded);
    }
}

#[tokio::test]
async fn strangers_begin_a_new_chain() {
    let stage = open_to_all(|_| {}).await;
    let received = arrives(&stage, "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n").await;
    assert_eq!(one(&received, "x-forwarded-for"), "127.0.0.1");
    assert!(one(&received, "forwarded").starts_with("for=127.0.0.1;"));
}

#[tokio::test]
async fn a_trusted_proxys_chain_is_extended() {
    let stage = trusting_loopback().await;
    let lines = "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-For: 10.1.1.1\r\n";
    let received = arrives(&stage, lines).await;
    assert_eq!(one(&received, "x-forwarded-for"), "6.6.6.6, 9.9.9.9, 10.1.1.1, 127.0.0.1");
    let id = one(&received, "x-request-id");
    let line = stage.proxy.wait_for_log(&[id, "\"target\":\"access\""]).await;
    assert!(line.contains("\"client\":\"9.9.9.9\""), "the rightmost nobody trusted added: {line}");
}

#[tokio::test]
async fn a_request_id_is_kept_from_a_trusted_proxy_only() {
    let stage = trusting_loopback().await;
    let mut wire = stage.client().open().await;
    let answer = wire.get("/api/x", "X-Request-Id: from-the-ingress\r\n").await;
    assert_eq!(answer.header("x-request-id"), Some("from-the-ingress"));
    assert_eq!(one(&stage.received("/api/x"), "x-request-id"), "from-the-ingress");

    let stage = open_to_all(|_| {}).await;
    let answer =
        stage.client().open().await.get("/api/x", "X-Request-Id: from-a-stranger\r\n").await;
    let id = answer.header("x-request-id").expect("an id").to_owned();
    assert_eq!(uuid::Uuid::parse_str(&id).expect("a UUID").get_version_num(), 7);
    assert_eq!(one(&stage.received("/api/x"), "x-request-id"), id);
}

#[tokio::test]
async fn codescans_own_request_id_gives_way_to_ours() {
    let stage = open_to_all(|_| {}).await;
    let answer = stage.client().get("/status/200?header=X-Request-Id:theirs").await;
    let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
    assert_eq!(ids.len(), 1);
    assert_ne!(ids[0], "theirs");
}

#[tokio::test]
async fn a_trace_is_passed_on_or_made() {
    let stage = trusting_loopback().await;
    let lines = format!("traceparent: {TRACE}\r\ntracestate: a=b\r\n");
    let received = arrives(&stage, &lines).await;
    assert_eq!(one(&received, "traceparent"), TRACE);
    assert_eq!(one(&received, "tracestate"), "a=b");

    let stage = open_to_all(|_| {}).await;
    let received = arrives(&stage, &lines).await;
    assert_ne!(one(&received, "traceparent"), TRACE);
    assert_eq!(one(&received, "traceparent").len(), TRACE.len());
    assert_eq!(received.header("tracestate"), None, "it belongs to the other trace");
}

#[tokio::test]
async fn two_requests_have_two_ids() {
    let stage = open_to_all(|_| {}).await;
    let mut wire = stage.client().open().await;
    wire.send(format!("{0}{0}", get("/api/x", ""))).await;
    let first = wire.answer().await.header("x-request-id").map(str::to_owned);
    assert_ne!(wire.answer().await.header("x-request-id").map(str::to_owned), first);
}
