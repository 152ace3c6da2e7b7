//! Sessions end: by time, by number, with their token.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use crate::harness::{Browser, Stage, USERINFO, wait_until};

async fn userinfo(browser: &mut Browser) -> StatusCode {
    browser.fetch(Method::GET, USERINFO, "").await.status
}

/// Uses the session again and again until it is over; how long that took.
async fn life_in_use(browser: &mut Browser) -> Duration {
    let began = Instant::now();
    wait_until("the session is over", async || userinfo(browser).await != StatusCode::OK).await;
    began.elapsed()
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let stage = Stage::with(|settings| {
        settings.text("session.idle_timeout", "1s");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    let unused = Instant::now();
    // To look at the session would be to use it, so the clock is looked at.
    wait_until("it is over", async || unused.elapsed() > Duration::from_secs(1)).await;
    assert_eq!(userinfo(&mut browser).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn use_keeps_a_session_alive_up_to_its_longest_life() {
    let stage = Stage::with(|settings| {
        settings.text("session.idle_timeout", "3s");
        settings.text("session.max_lifetime", "5s");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    let life = life_in_use(&mut browser).await;
    assert!(life > Duration::from_millis(4500), "{life:?}");
    assert!(life < Duration::from_secs(8), "{life:?}");
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_token_and_a_navigation_logs_in_again() {
    let stage = Stage::set().await;
    stage.bitbucket.faults(|it| {
        it.access_token_lifetime = Duration::from_secs(1);
        it.token_answer.refresh_token = false;
    });
    let mut browser = stage.logged_in("jcitizen").await;
    life_in_use(&mut browser).await;
    // Which a browser does by itself after half a minute.
    browser.forget("codescan_signed_in");
    stage.bitbucket.faults(|it| it.access_token_lifetime = Duration::from_hours(1));
    assert_eq!(browser.log_in_at("/there", "jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn beyond_capacity_the_longest_unused_goes_and_a_fresh_login_never() {
    let stage = Stage::with(|settings| {
        settings.text("session.store", "memory");
        settings.set("session.capacity", "3");
    })
    .await;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        let mut browser = stage.logged_in("jcitizen").await;
        assert_eq!(userinfo(&mut browser).await, StatusCode::OK, "fresh");
        browsers.push(browser);
    }
    wait_until("two have gone", async || {
        // A cookie that nobody knows makes the store look after itself.
        let mut stranger = stage.browser();
        stranger.set_cookie("codescan_session", &"A".repeat(43));
        userinfo(&mut stranger).await;
        stage.metric("sessions_evicted_total{reason=\"capacity\"}").await > 1.5
    })
    .await;
    let mut statuses = Vec::new();
    for browser in &mut browsers {
        statuses.push(userinfo(browser).await.as_u16());
    }
    assert_eq!(statuses, [401, 401, 200, 200, 200]);
    stage.proxy.wait_for_log(&["WARN", "because of a limit", "capacity"]).await;
}

#[tokio::test]
async fn one_person_holds_so_many_sessions_and_the_longest_unused_ends() {
    let stage = Stage::with(|settings| {
        settings.set("session.per_person", "2");
    })
    .await;
    let mut other = stage.logged_in("asmith").await;
    let (mut first, mut second) =
        (stage.logged_in("jcitizen").await, stage.logged_in("jcitizen").await);
    let since = Instant::now();
    // The use is noted in whole seconds.
    wait_until("a second is over", async || since.elapsed() > Duration::from_secs(1)).await;
    assert_eq!(userinfo(&mut first).await, StatusCode::OK);
    let mut third = stage.logged_in("jcitizen").await;
    assert_eq!(userinfo(&mut second).await, StatusCode::UNAUTHORIZED);
    for browser in [&mut first, &mut third, &mut other] {
        assert_eq!(userinfo(browser).await, StatusCode::OK);
    }
    let evicted = stage.metric("sessions_evicted_total{reason=\"per_person\"}").await;
    assert_eq!(evicted.to_string(), "1");
}
