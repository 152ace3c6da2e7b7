//! How far a request has come, and how far it may go: `Via` and `Max-Forwards`.

use http::StatusCode;

use crate::harness::http2::Http2;
use crate::harness::wire::head;
use crate::harness::{Settings, Stage};

fn open_to_all(settings: &mut Settings) {
    settings.set("access.public", "[\"/**\"]");
}

#[tokio::test]
async fn codescan_sees_by_whom_and_how_a_request_came() {
    let stage = Stage::with(open_to_all).await;
    for (version, said, wanted) in [
        ("1.1", "", &["1.1 codescan-oauth-proxy"][..]),
        ("1.0", "", &["1.0 codescan-oauth-proxy"]),
        ("1.1", "Via: 1.0 a, 1.1 b\r\n", &["1.0 a, 1.1 b", "1.1 codescan-oauth-proxy"]),
    ] {
        let mut wire = stage.client().open().await;
        let path = format!("/api/{}", wanted.len());
        wire.send(format!("GET {path} HTTP/{version}\r\nHost: h\r\n{said}\r\n")).await;
        assert_eq!(wire.head().await.status, StatusCode::OK);
        let requests = stage.codescan.requests();
        let received = requests.iter().rev().find(|it| it.path() == path).expect("it came");
        assert_eq!(received.all("via").collect::<Vec<_>>(), wanted);
    }
}

#[tokio::test]
async fn http2_is_named_as_that() {
    let stage = Stage::with(open_to_all).await;
    let mut client = Http2::open(&stage.client()).await;
    client.get("/api/x").await;
    let via = stage.received("/api/x").all("via").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(via, ["2.0 codescan-oauth-proxy"]);
}

#[tokio::test]
async fn an_options_that_may_go_no_further_is_answered_here() {
    let stage = Stage::with(open_to_all).await;
    for target in ["/", "/api/nearest"] {
        let mut wire = stage.client().open().await;
        wire.send(head("OPTIONS", target, "Max-Forwards: 0\r\n")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(answer.header("allow").is_some_and(|it| it.contains("OPTIONS")));
    }
    let seen = stage.codescan.requests();
    assert!(!seen.iter().any(|it| it.method == "OPTIONS"), "it went on");
}

#[tokio::test]
async fn each_who_passes_an_options_on_counts() {
    let stage = Stage::with(open_to_all).await;
    for (method, said, wanted) in [
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "10", "9"),
        ("OPTIONS", "-1", "-1"),
        ("OPTIONS", "many", "many"),
        ("GET", "0", "0"),
    ] {
        let mut wire = stage.client().open().await;
        let path = format!("/api/{method}/{said}");
        wire.send(head(method, &path, &format!("Max-Forwards: {said}\r\n"))).await;
        assert_eq!(wire.answer().await.status, StatusCode::OK);
        assert_eq!(stage.received(&path).all("max-forwards").collect::<Vec<_>>(), [wanted]);
    }
}
