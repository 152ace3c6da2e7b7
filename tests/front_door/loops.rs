//! Cookies that get lost make no circle, and everything heals by itself.

use cookie::time::Duration;
use http::{Method, StatusCode};

use crate::harness::{AUTHORIZE, LOGOUT, Stage};

#[tokio::test]
async fn a_browser_that_keeps_no_cookies_is_told_so() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/there", "jcitizen").await;
    browser.forget_all();
    let page = browser.get(&way_back).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert_eq!(page.error_code().as_deref(), Some("cookie_lost"));
    for word in ["cookies", "http in place of https", "another host", stage.proxy.public_url()] {
        assert!(page.text().contains(word), "{word}: {}", page.text());
    }
    assert!(page.link().ends_with("?rd=/there"), "{}", page.link());
}

#[tokio::test]
async fn a_session_cookie_that_is_lost_at_once_is_not_another_login() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.forget("codescan_session");
    for _ in 0..2 {
        let page = browser.get("/there?a=b").await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert_eq!(page.error_code().as_deref(), Some("cookie_lost"));
        assert!(page.text().contains("session.store"), "replicas are a cause");
        assert!(page.link().ends_with("?rd=/there%3Fa%3Db"), "{}", page.link());
    }
    let script = browser.fetch(Method::GET, "/there", "").await;
    assert_eq!(script.error_code().as_deref(), Some("login_required"));
}

#[tokio::test]
async fn the_link_on_the_page_starts_again_and_all_is_well() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.forget("codescan_session");
    let page = browser.get("/there").await;
    let again = browser.target_of(&page.link());
    assert_eq!(browser.log_in_at(&again, "jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn it_heals_when_the_marker_is_gone() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let back = browser.get(&way_back).await;
    let marker = back.sets("codescan_signed_in").expect("a marker");
    assert_eq!(marker.max_age().map(Duration::whole_seconds), Some(30));
    browser.forget("codescan_session");
    browser.forget("codescan_signed_in");
    browser.go_to_bitbucket("/").await;
}

#[tokio::test]
async fn markers_of_long_ago_and_nonsense_in_them_count_for_nothing() {
    let stage = Stage::set().await;
    for value in ["", "0", "1", "99999999999", "-1", "1e9", "18446744073709551616", "x", "ÿ"] {
        let mut browser = stage.browser();
        browser.set_cookie("codescan_signed_in", value);
        browser.go_to_bitbucket("/").await;
    }
}

#[tokio::test]
async fn every_kind_of_logout_clears_the_marker() {
    let stage = Stage::set().await;
    for address in [LOGOUT, "/api/authentication/logout"] {
        let mut browser = stage.logged_in("jcitizen").await;
        assert!(browser.cookie("codescan_signed_in").is_some());
        browser.fetch(Method::POST, address, "").await;
        assert_eq!(browser.cookie("codescan_signed_in"), None, "{address}");
        assert_eq!(browser.get("/").await.status, StatusCode::OK, "the signed-out page");
        browser.go_to_bitbucket("/").await;
    }
}

#[tokio::test]
async fn a_login_that_was_asked_for_is_never_taken_for_a_circle() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for _ in 0..3 {
        browser.forget("codescan_session");
        let page = browser.log_in_at(AUTHORIZE, "jcitizen").await;
        assert_eq!(page.status, StatusCode::OK);
    }
}
