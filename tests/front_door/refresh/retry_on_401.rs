//! `codescan.retry_on_401`: a `CodeScan` that asks Bitbucket about the token it gets.

use std::time::Duration;

use http::{Method, StatusCode};
use simulator::bitbucket::Call;
use tokio::task::JoinHandle;

use super::{machine, signed_in_for};
use crate::harness::upstream::{Call as Asked, Upstream};
use crate::harness::{Answer, Client, Stage};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

async fn with(setting: &'static str) -> (Stage, Upstream) {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("codescan.retry_on_401", setting);
    })
    .await;
    (stage, upstream)
}

fn asking(session: &Client, method: Method, body: &'static str) -> JoinHandle<Answer> {
    let session = session.clone();
    tokio::spawn(async move { session.send(method, "/api/x", &[], body).await })
}

fn bearer(call: &Asked) -> String {
    let lines = call.head.lines().map(str::to_ascii_lowercase);
    lines.into_iter().find(|line| line.starts_with("authorization: ")).expect("a token")
}

/// A request that is under way while its token is refreshed.
async fn overtaken(
    stage: &Stage,
    upstream: &Upstream,
    method: Method,
    body: &'static str,
) -> (Client, JoinHandle<Answer>, Asked) {
    let browser = signed_in_for(stage, "jcitizen", Duration::from_secs(1)).await;
    let session = machine(stage, &browser);
    let before = stage.bitbucket.count(Call::Refresh);
    let answer = asking(&session, method, body);
    let call = upstream.call().await;
    stage.bitbucket.wait_for(Call::Refresh, before + 1).await;
    // A second request waits for the refresh to be over.
    let other = asking(&session, Method::GET, "");
    upstream.call().await.answer(OK).await;
    assert_eq!(other.await.expect("an answer").status, StatusCode::OK);
    (session, answer, call)
}

#[tokio::test]
async fn a_read_whose_token_was_refreshed_on_its_way_is_sent_once_more_with_the_new_one() {
    let (stage, upstream) = with("true").await;
    for method in [Method::GET, Method::HEAD] {
        let (_, answer, mut call) = overtaken(&stage, &upstream, method, "").await;
        call.answer(UNAUTHORIZED).await;
        let mut again = upstream.call().await;
        assert_ne!(bearer(&again), bearer(&call));
        again.answer(OK).await;
        assert_eq!(answer.await.expect("an answer").status, StatusCode::OK);
    }
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn off_by_default() {
    let (stage, upstream) = with("false").await;
    let (_, answer, mut call) = overtaken(&stage, &upstream, Method::GET, "").await;
    call.answer(UNAUTHORIZED).await;
    assert_eq!(answer.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
    assert!(upstream.is_left_alone().await);
}

#[tokio::test]
async fn what_has_a_body_or_writes_is_never_sent_twice() {
    let (stage, upstream) = with("true").await;
    for (method, body) in [(Method::POST, ""), (Method::DELETE, ""), (Method::GET, "body")] {
        let (_, answer, mut call) = overtaken(&stage, &upstream, method, body).await;
        call.answer(UNAUTHORIZED).await;
        assert_eq!(answer.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
        assert!(upstream.is_left_alone().await);
    }
}

#[tokio::test]
async fn a_401_to_a_young_token_is_an_ordinary_answer() {
    let (stage, upstream) = with("true").await;
    let browser = signed_in_for(&stage, "jcitizen", super::HOUR).await;
    let answer = asking(&machine(&stage, &browser), Method::GET, "");
    upstream.call().await.answer(UNAUTHORIZED).await;
    assert_eq!(answer.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
    assert!(upstream.is_left_alone().await);
    assert_eq!(stage.bitbucket.count(Call::Refresh), 0);
}

#[tokio::test]
async fn a_401_to_the_new_token_too_is_the_last_that_is_taken_for_expiry() {
    let (stage, upstream) = with("true").await;
    let (session, answer, mut call) = overtaken(&stage, &upstream, Method::GET, "").await;
    call.answer(UNAUTHORIZED).await;
    upstream.call().await.answer(UNAUTHORIZED).await;
    assert_eq!(answer.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
    stage.proxy.wait_for_log(&["WARN", "401 to a new token too", "retry_on_401"]).await;
    let answer = asking(&session, Method::GET, "");
    upstream.call().await.answer(UNAUTHORIZED).await;
    assert_eq!(answer.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
    assert!(upstream.is_left_alone().await);
}
