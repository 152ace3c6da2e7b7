//! Bitbucket gives no new tokens: an outage is never a logout.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use simulator::bitbucket::{Call, TokenFault};
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};

use super::{
    machine, person_at_codescan, signed_in_for, until_expired, userinfo, with_an_expired_token,
};
use crate::harness::{Answer, Browser, Stage, kept_file, wait_until};

/// What a person meets whose token has expired meanwhile.
fn assert_waits_for_bitbucket(answer: &Answer, code: &str) {
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.text());
    assert_eq!(answer.error_code().as_deref(), Some(code));
    assert_eq!(answer.set_cookies(), [""; 0], "the cookie is kept");
    assert!(answer.header("location").is_none());
}

async fn until_served(browser: &mut Browser) {
    wait_until("all is well", async || browser.get("/project").await.status == StatusCode::OK)
        .await;
}

#[tokio::test]
async fn whatever_goes_wrong_the_session_stays() {
    let stage = Stage::with(|settings| {
        settings.text("bitbucket.timeout", "1s");
    })
    .await;
    for fault in [
        TokenFault::Html500,
        TokenFault::Html502,
        TokenFault::Html503,
        TokenFault::TooManyRequests(None),
        TokenFault::Html200,
        TokenFault::NotOAuth,
        TokenFault::Endless,
        TokenFault::Redirect("https://elsewhere.example/".to_owned()),
        TokenFault::HangUp,
        TokenFault::Hang,
        TokenFault::Error { status: 400, error: "invalid_scope".to_owned(), description: None },
        TokenFault::Error { status: 500, error: "invalid_grant".to_owned(), description: None },
        TokenFault::Error { status: 429, error: "invalid_grant".to_owned(), description: None },
    ] {
        let mut browser = with_an_expired_token(&stage, "jcitizen").await;
        stage.bitbucket.faults(|it| it.refresh = fault.clone());
        let page = browser.get("/project").await;
        assert_waits_for_bitbucket(&page, "bitbucket_unreachable");
        let pause = page.header("retry-after").and_then(|it| it.parse::<u64>().ok());
        assert!(pause.is_some_and(|it| (1..=10).contains(&it)), "{fault:?}: {pause:?}");
        let json = browser.fetch(Method::GET, "/api/x", "").await;
        assert_waits_for_bitbucket(&json, "bitbucket_unreachable");
        assert_eq!(userinfo(&mut browser).await["expires_in"], 0, "{fault:?}");
        stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
        until_served(&mut browser).await;
    }
    let failed = "token_refreshes_total{result=\"bitbucket_unreachable\"}";
    assert!(stage.metric(failed).await >= 13.0);
}

#[tokio::test]
async fn while_bitbucket_is_down_people_go_on_until_their_tokens_expire_and_are_kept_then() {
    let stage = Stage::set().await;
    let mut lasting = stage.logged_in("asmith").await;
    let mut browser = signed_in_for(&stage, "jcitizen", Duration::from_secs(2)).await;
    stage.bitbucket.stop().await.expect("it stops");
    assert_eq!(browser.get("/project").await.status, StatusCode::OK);
    wait_until("the token expires", async || {
        browser.get("/project").await.status == StatusCode::BAD_GATEWAY
    })
    .await;
    assert_waits_for_bitbucket(&browser.get("/project").await, "bitbucket_unreachable");
    assert_eq!(lasting.get("/project").await.status, StatusCode::OK);
    stage.bitbucket.resume().await.expect("it comes back");
    until_served(&mut browser).await;
    assert_eq!(person_at_codescan(&stage, "/project").as_deref(), Some("jcitizen"));
}

#[tokio::test]
async fn what_is_public_passes_without_the_token_that_cannot_be_had() {
    let stage = Stage::set().await;
    let browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.stop().await.expect("it stops");
    let session = machine(&stage, &browser);
    assert_eq!(session.get("/api/server/version").await.status, StatusCode::OK);
    assert_eq!(stage.received("/api/server/version").header("authorization"), None);
}

#[tokio::test]
async fn only_an_invalid_grant_signs_out() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.kill_tokens_of("jcitizen");
    assert_eq!(browser.fetch(Method::GET, "/api/x", "").await.status, StatusCode::UNAUTHORIZED);
    // Which a browser does by itself after half a minute.
    browser.forget("codescan_signed_in");
    let sent = browser.get("/project").await;
    assert_eq!(sent.status, StatusCode::FOUND);
    assert!(sent.location().starts_with(&stage.bitbucket.url()));
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
    assert_eq!(stage.metric("token_refreshes_total{result=\"invalid_grant\"}").await, 1.0);
    stage.proxy.wait_for_log(&["INFO", "a session ended", "refresh token"]).await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.faults(|it| it.refresh = TokenFault::TooManyRequests(Some(3)));
    let asked = Instant::now();
    let page = browser.get("/project").await;
    let pause = page.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(pause.is_some_and(|it| (3..=5).contains(&it)), "{pause:?}");
    stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    until_served(&mut browser).await;
    assert!(asked.elapsed() > Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(stage.bitbucket.count(Call::Refresh), 2);
}

#[tokio::test]
async fn a_client_that_bitbucket_rejects_is_the_operators_affair_and_no_logout() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.faults(|it| it.refresh = TokenFault::invalid_client(401));
    assert_waits_for_bitbucket(&browser.get("/project").await, "bitbucket_rejected_client");
    stage.proxy.wait_for_log(&["ERROR", "tokens could not be refreshed", "client_secret"]).await;
    let rejected = "token_refreshes_total{result=\"bitbucket_rejected_client\"}";
    assert_eq!(stage.metric(rejected).await, 1.0);
    let ready = stage.admin("/readyz?verbose").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert!(ready.text().contains("warning: Bitbucket does not accept this client"));
    stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    until_served(&mut browser).await;
    assert!(!stage.admin("/readyz?verbose").await.text().contains("this client"));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_until_bitbucket_says_clearly() {
    let stage = Stage::set().await;
    for fault in [TokenFault::AnswerLost, TokenFault::Truncated] {
        let mut browser = with_an_expired_token(&stage, "jcitizen").await;
        let before = stage.bitbucket.count(Call::Refresh);
        stage.bitbucket.faults(|it| it.refresh = fault.clone());
        assert_waits_for_bitbucket(&browser.get("/project").await, "bitbucket_unreachable");
        stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
        // Both tokens were rotated away, which Bitbucket says when it is asked again.
        wait_until("it is clear", async || {
            browser.fetch(Method::GET, "/api/x", "").await.status == StatusCode::UNAUTHORIZED
        })
        .await;
        assert_eq!(stage.bitbucket.count(Call::Refresh), before + 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refresh_ahead_of_need_that_fails_is_tried_again_and_nobody_notices() {
    let stage = Stage::set().await;
    let mut browser = signed_in_for(&stage, "jcitizen", Duration::from_secs(8)).await;
    stage.bitbucket.faults(|it| {
        it.refresh = TokenFault::Html503;
        it.token_times = Some(1);
    });
    assert_eq!(browser.get("/before").await.status, StatusCode::OK);
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    assert_eq!(browser.get("/meanwhile").await.status, StatusCode::OK);
    stage.bitbucket.wait_for(Call::Refresh, 2).await;
    until_expired().await;
    assert_eq!(browser.get("/after").await.status, StatusCode::OK);
    assert_eq!(stage.bitbucket.count(Call::Refresh), 2);
    stage.proxy.wait_for_log(&["WARN", "tokens could not be refreshed", "503"]).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_any_more_signs_nobody_out() {
    let options = BitbucketOptions { tls: true, ..BitbucketOptions::default() };
    let bitbucket = Bitbucket::start(options).await.expect("starts");
    let codescan = Codescan::start(CodescanOptions::default()).await.expect("starts");
    let ca_file = kept_file("ca.pem", bitbucket.ca_pem());
    let mut stage = Stage::around(bitbucket, codescan, |settings| {
        settings.text("bitbucket.ca_file", &ca_file);
    })
    .await;
    let mut browser = signed_in_for(&stage, "jcitizen", super::SHORT).await;
    stage
        .proxy
        .reload(|settings| {
            settings.remove("bitbucket.ca_file");
        })
        .await;
    until_expired().await;
    assert_waits_for_bitbucket(&browser.get("/project").await, "bitbucket_unreachable");
    stage.proxy.wait_for_log(&["WARN", "tokens could not be refreshed", "bitbucket.ca_file"]).await;
    stage
        .proxy
        .reload(|settings| {
            settings.text("bitbucket.ca_file", &ca_file);
        })
        .await;
    until_served(&mut browser).await;
}

#[tokio::test]
async fn a_secret_that_is_corrected_helps_without_a_restart() {
    let mut stage = Stage::set().await;
    let mut browser = signed_in_for(&stage, "jcitizen", super::SHORT).await;
    let right = stage.bitbucket.client_secret().to_owned();
    stage
        .proxy
        .reload(|settings| {
            settings.text("bitbucket.client_secret", &"0".repeat(64));
        })
        .await;
    until_expired().await;
    assert_waits_for_bitbucket(&browser.get("/project").await, "bitbucket_rejected_client");
    stage
        .proxy
        .reload(|settings| {
            settings.text("bitbucket.client_secret", &right);
        })
        .await;
    until_served(&mut browser).await;
}

#[tokio::test]
async fn a_refresh_token_that_bitbucket_has_answered_is_never_sent_again() {
    let stage = Stage::set().await;
    stage.bitbucket.faults(|it| it.access_token_lifetime = Duration::from_secs(2));
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
    wait_until("it was refreshed four times", async || {
        assert_eq!(browser.get("/project").await.status, StatusCode::OK);
        stage.bitbucket.count(Call::Refresh) >= 4
    })
    .await;
    let requests = stage.bitbucket.requests();
    let texts = requests.iter().filter_map(|request| request.text());
    let sent: Vec<_> = texts
        .filter_map(|text| text.split('&').find(|pair| pair.starts_with("refresh_token=")))
        .collect();
    let different: std::collections::HashSet<_> = sent.iter().collect();
    assert!(sent.len() >= 4, "{}", sent.len());
    assert_eq!(different.len(), sent.len());
}
