//! Signing out, here and in `CodeScan`.

use cookie::time::Duration;
use http::{Method, StatusCode};
use simulator::bitbucket::{Call, Revoke};

use crate::harness::{Browser, LOGOUT, Stage, USERINFO, wait_until};

const CODESCANS: &str = "/api/authentication/logout";

/// On several connections, so that each worker is met.
async fn is_signed_in(browser: &Browser) -> bool {
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(browser.clone().fetch(Method::GET, USERINFO, "").await.status);
    }
    assert!(answers.iter().all(|status| *status == answers[0]), "workers differ: {answers:?}");
    answers[0] == StatusCode::OK
}

#[tokio::test]
async fn a_get_asks_and_changes_nothing() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let page = browser.get(LOGOUT).await;
    assert_eq!(page.status, StatusCode::OK);
    let form = format!("method=\"post\" action=\"{}{LOGOUT}\"", stage.proxy.public_url());
    assert!(page.text().contains(&form), "{}", page.text());
    assert!(page.text().contains("jcitizen"));
    assert_eq!(page.set_cookies(), [""; 0]);
    assert!(
        page.header("content-security-policy")
            .is_some_and(|it| it.contains("frame-ancestors 'none'"))
    );
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn a_post_ends_the_session_on_every_worker() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let kept = browser.clone();
    assert!(is_signed_in(&kept).await);
    let answer = browser.post_form(LOGOUT, "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.target_of(answer.location()), format!("{LOGOUT}?done"));
    assert_eq!(browser.cookie("codescan_session"), None);
    assert!(!is_signed_in(&kept).await, "a copy of the cookie is worth nothing");
    assert_eq!(stage.codescan.requests_to(LOGOUT).len(), 0);
}

#[tokio::test]
async fn a_logout_is_one_browsers_and_not_the_persons() {
    let stage = Stage::set().await;
    let mut here = stage.logged_in("jcitizen").await;
    let elsewhere = stage.logged_in("jcitizen").await;
    here.post_form(LOGOUT, "").await;
    assert!(is_signed_in(&elsewhere).await);
}

#[tokio::test]
async fn somebody_without_a_session_is_signed_out_too() {
    let stage = Stage::set().await;
    let answer = stage.browser().post_form(LOGOUT, "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let answer = stage.client().send(Method::POST, LOGOUT, &[], "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "an empty POST without Content-Type");
}

#[tokio::test]
async fn another_site_cannot_sign_anybody_out() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let answer = browser.send(Method::POST, LOGOUT, &[foreign], "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{foreign:?}");
        assert_eq!(answer.error_code().as_deref(), Some("cross_site_request"));
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = browser.fetch(method, LOGOUT, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    }
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn nobody_is_logged_straight_back_in() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let answer = browser.post_form(LOGOUT, "").await;
    let remembered = answer.sets("codescan_signed_out").expect("a note");
    assert_eq!(remembered.max_age().map(Duration::whole_seconds), Some(60));
    let page = browser.get("/projects").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("You are signed out"));
    assert!(page.link().ends_with("?rd=/projects"), "{}", page.link());
    browser.go_to_bitbucket("/projects").await;
}

#[tokio::test]
async fn having_seen_the_page_counts() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let answer = browser.post_form(LOGOUT, "").await;
    let page = browser.get(&browser.target_of(answer.location())).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("You are signed out"));
    browser.go_to_bitbucket("/projects").await;
}

#[tokio::test]
async fn nobody_is_told_to_be_signed_out_who_is_not() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let page = browser.get(&format!("{LOGOUT}?done")).await;
    assert!(page.text().contains("You are signed in as"), "{}", page.text());
    assert!(is_signed_in(&browser).await);
}

#[tokio::test]
async fn only_a_page_that_is_seen_counts_as_seen() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.post_form(LOGOUT, "").await;
    browser.fetch(Method::GET, "/api/x", "").await;
    let prefetch = [("sec-purpose", "prefetch")];
    for target in ["/", "/projects"] {
        browser.navigate(Method::GET, target, &prefetch, "").await;
    }
    assert!(browser.get("/").await.text().contains("You are signed out"));
}

#[tokio::test]
async fn signing_in_by_the_link_needs_no_second_try() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.post_form(LOGOUT, "").await;
    let page = browser.get("/projects").await;
    let start = browser.target_of(&page.link());
    let arrived = browser.log_in_at(&start, "jcitizen").await;
    assert_eq!(arrived.status, StatusCode::OK);
    assert_eq!(browser.cookie("codescan_signed_out"), None);
}

#[tokio::test]
async fn codescans_own_logout_ends_the_session_too() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let kept = browser.clone();
    let answer = browser.fetch(Method::POST, CODESCANS, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!is_signed_in(&kept).await);
    assert_eq!(browser.cookie("codescan_session"), None);
    assert!(browser.get("/").await.text().contains("You are signed out"));
    assert_eq!(stage.codescan.requests_to(CODESCANS).len(), 1);
}

#[tokio::test]
async fn a_logout_that_codescan_refuses_ends_nothing() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for status in [302, 401, 500] {
        stage.codescan.faults(|it| it.logout_status = status);
        let answer = browser.fetch(Method::POST, CODESCANS, "").await;
        assert_eq!(answer.status, status);
        assert!(is_signed_in(&browser).await, "{status}");
    }
    browser.get(CODESCANS).await;
    assert!(is_signed_in(&browser).await, "a GET is none");
    let foreign = [("sec-fetch-site", "cross-site")];
    browser.send(Method::POST, CODESCANS, &foreign, "").await;
    assert!(is_signed_in(&browser).await, "nor is another site's");
}

#[tokio::test]
async fn logout_routes_of_ones_own_replace_the_default() {
    let stage = Stage::with(|settings| {
        settings.set("session.logout_routes", "[\"POST /bye/*\"]");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.fetch(Method::POST, CODESCANS, "").await;
    assert!(is_signed_in(&browser).await);
    browser.fetch(Method::POST, "/bye/now", "").await;
    assert!(!is_signed_in(&browser).await);
}

#[tokio::test]
async fn tokens_are_revoked_where_bitbucket_can() {
    for address in [LOGOUT, CODESCANS] {
        let stage = stage_that_revokes().await;
        let mut browser = stage.logged_in("jcitizen").await;
        browser.get("/echo").await;
        let received = stage.codescan.wait_for(|request| request.path() == "/echo").await;
        let bearer = received.header("authorization").expect("a token");
        let token = bearer.strip_prefix("Bearer ").expect("a Bearer").to_owned();
        assert!(stage.bitbucket.person_of(&token).is_some());
        browser.fetch(Method::POST, address, "").await;
        stage.bitbucket.wait_for(Call::Revoke, 2).await;
        wait_until("the token is dead", async || stage.bitbucket.person_of(&token).is_none()).await;
        assert_eq!(stage.bitbucket.count(Call::BasicAtToken), 0);
    }
}

async fn stage_that_revokes() -> Stage {
    use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};
    let bitbucket = Bitbucket::start(BitbucketOptions::default()).await.expect("starts");
    bitbucket.faults(|it| it.revoke = Revoke::Works);
    let codescan = Codescan::start(CodescanOptions::default()).await.expect("starts");
    let revoke_url = format!("{}/rest/oauth2/latest/revoke", bitbucket.url());
    Stage::around(bitbucket, codescan, |settings| {
        settings.text("bitbucket.revoke_url", &revoke_url);
    })
    .await
}

#[tokio::test]
async fn a_revocation_that_fails_does_not_stop_a_logout() {
    let stage = stage_that_revokes().await;
    for fault in [Revoke::Absent, Revoke::Fails(500)] {
        stage.bitbucket.faults(|it| it.revoke = fault);
        let mut browser = stage.logged_in("jcitizen").await;
        let kept = browser.clone();
        assert_eq!(browser.post_form(LOGOUT, "").await.status, StatusCode::SEE_OTHER);
        assert!(!is_signed_in(&kept).await);
    }
    stage.bitbucket.stop().await.expect("stops");
}

#[tokio::test]
async fn without_revoke_url_nothing_is_called() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.post_form(LOGOUT, "").await;
    // The next login is a call that would come after it.
    browser.get("/").await;
    browser.log_in("jcitizen").await;
    assert_eq!(stage.bitbucket.count(Call::Revoke), 0);
}
