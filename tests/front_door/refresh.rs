//! An access token expires, and the session goes on.

mod ahead;
mod crowds;
mod faults;
mod hour;
mod people;
mod retry_on_401;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::Value;
use simulator::bitbucket::{Call, ExpiresIn, Revoke, TokenFault};
use simulator::codescan::Login;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::websocket::WebSocket;
use crate::harness::wire::get;
use crate::harness::{Browser, Client, LOGOUT, Stage, USERINFO, wait_until};

/// The life of a token that is to expire in a test.
const SHORT: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_hours(1);

/// Signs in with a token of a short life; all others live an hour. The session has not been used.
async fn signed_in_for(stage: &Stage, slug: &str, life: Duration) -> Browser {
    stage.bitbucket.faults(|it| it.access_token_lifetime = life);
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", slug).await;
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
    stage.bitbucket.faults(|it| it.access_token_lifetime = HOUR);
    browser
}

/// Waits until tokens of a short life have expired. To look at a session would be to have it
/// refreshed, so the clock is looked at.
async fn until_expired() {
    let since = Instant::now();
    wait_until("the token has expired", async || since.elapsed() > SHORT).await;
}

/// A browser whose access token has expired.
async fn with_an_expired_token(stage: &Stage, slug: &str) -> Browser {
    let browser = signed_in_for(stage, slug, SHORT).await;
    until_expired().await;
    browser
}

/// A machine with the browser's cookies.
fn machine(stage: &Stage, browser: &Browser) -> Client {
    stage.client().with("cookie", &browser.cookie_header())
}

async fn userinfo(browser: &mut Browser) -> Value {
    let answer = browser.fetch(Method::GET, USERINFO, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

/// The name of the person whose live token the last request to `path` carried.
fn person_at_codescan(stage: &Stage, path: &str) -> Option<String> {
    let received = stage.received(path);
    let token = received.header("authorization")?.strip_prefix("Bearer ")?.to_owned();
    stage.bitbucket.person_of(&token).map(|person| person.name)
}

#[tokio::test]
async fn nobody_notices_that_a_token_has_expired() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    assert_eq!(browser.get("/project").await.status, StatusCode::OK);
    assert_eq!(person_at_codescan(&stage, "/project").as_deref(), Some("jcitizen"));
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
    let info = userinfo(&mut browser).await;
    assert!(info["expires_in"].as_u64().is_some_and(|it| (3590..=3600).contains(&it)), "{info}");
    let session = info["session_expires_in"].as_u64().expect("seconds");
    assert!((86_390..=86_400).contains(&session), "the idle time-out, not the token: {info}");
    assert_eq!(info["scopes"], serde_json::json!(["REPO_ADMIN"]));
    assert_eq!(stage.metric("token_refreshes_total{result=\"success\"}").await, 1.0);
    assert_eq!(stage.metric("refresh_waiters").await, 0.0);
    let calls = "bitbucket_request_duration_seconds_count{call=\"refresh\"}";
    assert_eq!(stage.metric(calls).await, 1.0);
}

#[tokio::test]
async fn a_form_is_not_lost_with_the_token() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    let answer = browser.post_form("/api/echo", "a=1").await;
    assert_eq!(answer.json()["body"], "a=1");
}

#[tokio::test]
async fn userinfo_is_refreshed_for_too() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    let info = userinfo(&mut browser).await;
    assert!(info["expires_in"].as_u64().is_some_and(|it| it > 3590), "{info}");
}

#[tokio::test]
async fn the_life_of_a_token_is_read_in_every_form() {
    let stage = Stage::set().await;
    for (form, life) in [(ExpiresIn::Text, 7200), (ExpiresIn::Missing, 3600)] {
        let mut browser = with_an_expired_token(&stage, "jcitizen").await;
        stage.bitbucket.faults(|it| {
            it.access_token_lifetime = 2 * HOUR;
            it.token_answer.expires_in = form.clone();
        });
        browser.get("/project").await;
        stage.bitbucket.faults(|it| it.token_answer.expires_in = ExpiresIn::Number);
        let left = userinfo(&mut browser).await["expires_in"].as_u64().expect("seconds");
        assert!((life - 10..=life).contains(&left), "{form:?}: {left}");
    }
}

#[tokio::test]
async fn streams_go_on_over_a_refresh_and_end_with_the_session() {
    let stage = Stage::set().await;
    let mut browser = signed_in_for(&stage, "jcitizen", SHORT).await;
    let session = machine(&stage, &browser);
    let mut events = session.open().await;
    events.send(get("/api/push/sonarlint_events?projectKeys=a", &session.lines())).await;
    assert_eq!(events.head().await.status, StatusCode::OK);
    let mut socket = WebSocket::open(&session, "/ws", &[]).await.expect("a tunnel");
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    until_expired().await;
    // Longer than it takes until a stream looks after its session.
    let since = Instant::now();
    wait_until("it has looked", async || since.elapsed() > Duration::from_secs(6)).await;
    socket.send(Message::text("after")).await;
    assert_eq!(socket.next().await, Some(Message::text("after")));
    assert_eq!(stage.codescan.push_event("after"), 1);
    events.until(b"after\n\n").await;
    browser.post_form(LOGOUT, "").await;
    stage.codescan.wait_for_event_streams(0).await;
    stage.codescan.wait_for_websockets(0).await;
}

#[tokio::test]
async fn a_logout_during_a_refresh_revokes_the_newest_tokens() {
    let mut stage = Stage::set().await;
    let revoke_url = format!("{}/rest/oauth2/latest/revoke", stage.bitbucket.url());
    stage
        .proxy
        .reload(|settings| {
            settings.text("bitbucket.revoke_url", &revoke_url);
        })
        .await;
    stage.bitbucket.faults(|it| it.revoke = Revoke::Works);
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.faults(|it| it.refresh = TokenFault::HangAnswer);
    let session = machine(&stage, &browser);
    let waiting = tokio::spawn(async move { session.get("/project").await });
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    assert_eq!(browser.post_form(LOGOUT, "").await.status, StatusCode::SEE_OTHER);
    stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    stage.bitbucket.wait_for(Call::Revoke, 2).await;
    assert_eq!(waiting.await.expect("an answer").status, StatusCode::UNAUTHORIZED);
    wait_until("no token is alive", async || {
        let secrets = stage.bitbucket.issued_secrets();
        secrets.iter().all(|secret| stage.bitbucket.person_of(secret).is_none())
    })
    .await;
    assert!(stage.codescan.requests_to("/project").is_empty());
}

#[tokio::test]
async fn a_token_that_codescan_checks_is_a_live_one() {
    let stage = Stage::set().await;
    stage.codescan.faults(|it| it.login = Login::Required);
    let browser = with_an_expired_token(&stage, "jcitizen").await;
    let session = machine(&stage, &browser);
    for _ in 0..20 {
        assert_eq!(session.get("/api/projects").await.status, StatusCode::OK);
    }
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
}
