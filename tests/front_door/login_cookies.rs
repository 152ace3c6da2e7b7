//! The cookies of a login: names, attributes, number, end.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use http::{Method, StatusCode};

use crate::harness::{Answer, Browser, Stage};

const WEEK: i64 = 7 * 24 * 3600;

/// Session and login cookie of one login.
async fn login(stage: &Stage) -> (Answer, Answer) {
    let mut browser = stage.browser();
    let sent = browser.get("/").await;
    let back = browser.agree(sent.location(), "jcitizen");
    (sent, browser.get(&back).await)
}

fn only_cookie(answer: &Answer) -> Cookie<'_> {
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    Cookie::parse(cookies[0]).expect("a cookie")
}

fn has_the_attributes(cookie: &Cookie<'_>, secure: bool, max_age: i64) {
    assert_eq!(cookie.http_only(), Some(true), "{cookie}");
    assert_eq!(cookie.same_site(), Some(SameSite::Lax), "{cookie}");
    assert_eq!(cookie.path(), Some("/"), "{cookie}");
    assert_eq!(cookie.secure().unwrap_or(false), secure, "{cookie}");
    assert_eq!(cookie.max_age().map(Duration::whole_seconds), Some(max_age), "{cookie}");
    assert_eq!((cookie.domain(), cookie.expires_datetime()), (None, None), "{cookie}");
}

#[tokio::test]
async fn over_http_they_are_plain() {
    let stage = Stage::set().await;
    let (sent, back) = login(&stage).await;
    let attempt = only_cookie(&sent);
    assert!(attempt.name().starts_with("codescan_login_"), "{attempt}");
    assert!(attempt.value().len() >= 22, "at least 128 bits in base64url");
    has_the_attributes(&attempt, false, 600);
    let session = back.sets("codescan_session").expect("a session cookie");
    assert_eq!(session.value().len(), 43, "256 bits in base64url");
    has_the_attributes(&session, false, WEEK);
}

#[tokio::test]
async fn over_https_they_are_secure_and_bound_to_the_host() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "https://codescan.example.com");
        settings.text("session.max_lifetime", "12h");
    })
    .await;
    let (sent, back) = login(&stage).await;
    let attempt = only_cookie(&sent);
    assert!(attempt.name().starts_with("__Host-codescan_login_"), "{attempt}");
    has_the_attributes(&attempt, true, 600);
    let session = back.sets("__Host-codescan_session").expect("a session cookie");
    has_the_attributes(&session, true, 12 * 3600);
    // Browsers refuse a `__Host-` cookie without `Secure`, and one that removes it too.
    for line in back.set_cookies() {
        assert!(line.contains("; Secure"), "{line}");
    }
}

#[tokio::test]
async fn a_name_of_ones_own_is_the_stem_of_all() {
    let stage = Stage::with(|settings| {
        settings.text("session.cookie_name", "team_a");
    })
    .await;
    let mut browser = stage.browser();
    browser.go_to_bitbucket("/").await;
    assert!(browser.cookie_names().iter().all(|name| name.starts_with("team_a_login_")));
    browser.log_in("jcitizen").await;
    assert!(browser.cookie("team_a").is_some());
    assert!(browser.cookie_names().iter().all(|name| name.starts_with("team_a")));
}

#[tokio::test]
async fn of_more_than_ten_attempts_the_oldest_go() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let first = browser.go_to_bitbucket_and_agree("/first", "jcitizen").await;
    let oldest = browser.cookies_named("codescan_login_")[0].to_owned();
    let mut latest = String::new();
    for _ in 0..14 {
        latest = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
        assert!(browser.cookies_named("codescan_login_").len() <= 10);
    }
    assert_eq!(browser.cookies_named("codescan_login_").len(), 10);
    assert!(browser.cookie(&oldest).is_none());
    assert_eq!(browser.get(&first).await.error_code().as_deref(), Some("login_expired"));
    assert_eq!(browser.get(&latest).await.status, StatusCode::FOUND);
    assert_eq!(browser.cookies_named("codescan_login_"), [""; 0]);
}

#[tokio::test]
async fn strangers_among_them_go_first_and_break_nothing() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    for name in ["x", "0", "zzzzzzzzzzzzzzzzzzzzzz", "a'b", "-", "ÿ"] {
        browser.set_cookie(&format!("codescan_login_{name}"), "1");
    }
    for _ in 0..9 {
        browser.go_to_bitbucket("/").await;
    }
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn codescans_own_login_ends_with_each_login() {
    let stage = Stage::set().await;
    let mut browser = codescan_user(&stage);
    browser.log_in("jcitizen").await;
    assert_eq!((browser.cookie("JWT-SESSION"), browser.cookie("XSRF-TOKEN")), (None, None));
}

#[tokio::test]
async fn codescans_own_login_ends_with_each_logout() {
    let stage = Stage::set().await;
    for address in ["/_codescan/oauth2/logout", "/api/authentication/logout"] {
        let mut browser = codescan_user(&stage);
        browser.log_in("jcitizen").await;
        browser.set_cookie("JWT-SESSION", "somebody");
        browser.fetch(Method::POST, address, "").await;
        assert_eq!((browser.cookie("JWT-SESSION"), browser.cookie("XSRF-TOKEN")), (None, None));
    }
}

#[tokio::test]
async fn below_a_path_prefix_codescans_cookies_are_met_at_both_paths() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "https://example.com/scan");
        settings.set("codescan.session_cookies", "[\"JWT-SESSION\"]");
    })
    .await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/scan/", "jcitizen").await;
    let back = browser.get(&way_back).await;
    let mut removed: Vec<&str> = back.set_cookies();
    removed.retain(|line| line.starts_with("JWT-SESSION="));
    assert_eq!(
        removed,
        ["JWT-SESSION=; Secure; Path=/; Max-Age=0", "JWT-SESSION=; Secure; Path=/scan; Max-Age=0"]
    );
}

fn codescan_user(stage: &Stage) -> Browser {
    let mut browser = stage.browser();
    browser.set_cookie("JWT-SESSION", "somebody");
    browser.set_cookie("XSRF-TOKEN", "else");
    browser
}
