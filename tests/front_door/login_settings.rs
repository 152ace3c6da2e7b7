//! Logins across a restart of the proxy: what `session.cookie_secret` is for.

use http::StatusCode;
use simulator::bitbucket::Call;

use crate::harness::{Browser, Stage};

const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

async fn stage_with_secret(secret: &str) -> Stage {
    Stage::with(|settings| {
        settings.text("session.cookie_secret", secret);
    })
    .await
}

/// Somebody who is at Bitbucket just now, and their way back.
async fn under_way(stage: &Stage) -> (Browser, String) {
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/there", "jcitizen").await;
    (browser, way_back)
}

async fn arrives(mut browser: Browser, way_back: &str) {
    let back = browser.get(way_back).await;
    assert_eq!(back.status, StatusCode::FOUND, "{}", back.text());
    assert_eq!(browser.target_of(back.location()), "/there");
    assert_eq!(browser.get("/there").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_login_outlives_a_restart_with_the_same_secret() {
    let mut stage = stage_with_secret(OLD).await;
    let (browser, way_back) = under_way(&stage).await;
    stage.restart_proxy(|_| {}).await;
    arrives(browser, &way_back).await;
}

#[tokio::test]
async fn a_login_outlives_a_change_of_the_secret_that_keeps_the_old_one() {
    let mut stage = stage_with_secret(OLD).await;
    let (before, way_back) = under_way(&stage).await;
    stage
        .restart_proxy(|settings| {
            settings.set("session.cookie_secret", &format!("[\"{NEW}\", \"{OLD}\"]"));
        })
        .await;
    arrives(before, &way_back).await;
    let (after, way_back) = under_way(&stage).await;
    stage
        .restart_proxy(|settings| {
            settings.text("session.cookie_secret", NEW);
        })
        .await;
    // The first seals.
    arrives(after, &way_back).await;
}

#[tokio::test]
async fn with_another_secret_or_none_it_has_expired() {
    for secret in [Some(NEW), None] {
        let mut stage = Stage::with(|settings| {
            settings.text("session.store", "memory").remove("session.cookie_secret");
            if secret.is_some() {
                settings.text("session.cookie_secret", OLD);
            }
        })
        .await;
        let (mut browser, way_back) = under_way(&stage).await;
        stage
            .restart_proxy(|settings| {
                if let Some(secret) = secret {
                    settings.text("session.cookie_secret", secret);
                }
            })
            .await;
        let page = browser.get(&way_back).await;
        assert_eq!(page.error_code().as_deref(), Some("login_expired"));
        assert!(page.text().contains("session.cookie_secret"));
        assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
    }
}

#[tokio::test]
async fn a_state_of_another_installation_is_not_ours_to_finish() {
    for (key, other) in [
        ("server.public_url", "http://localhost:1234"),
        ("bitbucket.client_id", "00000000000000000000000000000000"),
    ] {
        let mut stage = stage_with_secret(OLD).await;
        let (mut browser, way_back) = under_way(&stage).await;
        stage
            .restart_proxy(|settings| {
                settings.text(key, other);
            })
            .await;
        let page = browser.get(&way_back).await;
        assert_eq!(page.error_code().as_deref(), Some("login_expired"), "{key}");
        assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0, "{key}");
    }
}

#[tokio::test]
async fn sessions_in_memory_end_with_the_process_and_a_login_is_all_it_takes() {
    let mut stage = Stage::with(|settings| {
        settings.text("session.store", "memory");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    stage.restart_proxy(|_| {}).await;
    browser.forget("codescan_signed_in");
    assert_eq!(browser.log_in_at("/there", "jcitizen").await.status, StatusCode::OK);
}
