//! Refreshed before the token expires: for sessions in use, when nobody waits for an answer.

use std::time::{Duration, Instant};

use http::StatusCode;
use simulator::bitbucket::{Call, TokenFault};

use super::{machine, person_at_codescan, signed_in_for, until_expired};
use crate::harness::upstream::Upstream;
use crate::harness::{Stage, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_session_in_use_is_refreshed_and_one_that_is_not_is_left_alone() {
    let stage = Stage::set().await;
    let unused = signed_in_for(&stage, "asmith", Duration::from_secs(1)).await;
    let mut used = signed_in_for(&stage, "jcitizen", Duration::from_secs(2)).await;
    assert_eq!(used.get("/before").await.status, StatusCode::OK);
    let before = stage.received("/before").header("authorization").map(str::to_owned);
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    wait_until("it is done", async || {
        stage.metric("token_refreshes_total{result=\"success\"}").await == 1.0
    })
    .await;
    until_expired().await;
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1, "nobody used the other");
    used.get("/after").await;
    assert_eq!(person_at_codescan(&stage, "/after").as_deref(), Some("jcitizen"));
    assert_ne!(stage.received("/after").header("authorization").map(str::to_owned), before);
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
    assert_eq!(machine(&stage, &unused).get("/x").await.status, StatusCode::OK);
    assert_eq!(stage.bitbucket.count(Call::Refresh), 2);
}

async fn signed_in_for_a_life_of(
    life: Duration,
) -> (Stage, Upstream, Instant, crate::harness::Client) {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
    })
    .await;
    let browser = signed_in_for(&stage, "jcitizen", life).await;
    let session = machine(&stage, &browser);
    (stage, upstream, Instant::now(), session)
}

#[tokio::test]
async fn a_refresh_waits_for_answers_under_way_but_not_too_long() {
    // The last second is the time to refresh, the last 400 ms whatever is under way.
    let life = Duration::from_secs(4);
    let (stage, upstream, signed_in, session) = signed_in_for_a_life_of(life).await;
    let asking = tokio::spawn(async move { session.get("/slow").await });
    let mut call = upstream.call().await;
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    let waited = signed_in.elapsed();
    assert!(waited > Duration::from_millis(3400), "{waited:?}");
    call.answer(OK).await;
    assert_eq!(asking.await.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn while_the_old_token_lives_requests_wait_two_seconds_at_most() {
    let stage = Stage::set().await;
    let browser = signed_in_for(&stage, "jcitizen", Duration::from_secs(16)).await;
    let session = machine(&stage, &browser);
    assert_eq!(session.get("/before").await.status, StatusCode::OK);
    stage.bitbucket.faults(|it| it.refresh = TokenFault::Hang);
    let is_asked = async || stage.bitbucket.count(Call::Refresh) == 1;
    wait_until("a quarter of its life is left", is_asked).await;
    let began = Instant::now();
    assert_eq!(session.get("/meanwhile").await.status, StatusCode::OK);
    let waited = began.elapsed();
    assert!(waited > Duration::from_millis(1900), "{waited:?}");
    let token = |path: &str| stage.received(path).header("authorization").map(str::to_owned);
    assert_eq!(token("/before"), token("/meanwhile"));
    stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    assert_eq!(session.get("/after").await.status, StatusCode::OK);
    assert_ne!(token("/before"), token("/after"));
    wait_until("it is over", async || {
        stage.metric("token_refreshes_total{result=\"success\"}").await == 1.0
    })
    .await;
    // What had begun while it was under way must not make the next ones begin another.
    for _ in 0..3 {
        assert_eq!(session.get("/later").await.status, StatusCode::OK);
    }
    assert_eq!(token("/later"), token("/after"));
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
}

#[tokio::test]
async fn a_refresh_that_waits_comes_as_soon_as_the_answer_has_begun() {
    // Due within 15.8 seconds, and at 18 whatever is under way.
    let life = Duration::from_secs(20);
    let (stage, upstream, signed_in, session) = signed_in_for_a_life_of(life).await;
    let asking = tokio::spawn(async move { session.get("/slow").await });
    let mut call = upstream.call().await;
    wait_until("it is due", async || signed_in.elapsed() > Duration::from_secs(16)).await;
    assert_eq!(stage.bitbucket.count(Call::Refresh), 0);
    // The head alone: the rest of an answer may take as long as it likes.
    call.answer("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").await;
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    let waited = signed_in.elapsed();
    assert!(waited < Duration::from_secs(18), "{waited:?}");
    call.answer("x").await;
    assert_eq!(asking.await.expect("an answer").text(), "x");
}
