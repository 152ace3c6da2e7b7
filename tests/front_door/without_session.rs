//! What a request without a session is told: a redirect, a page, or JSON.

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::browser::ACCEPT_PAGE;
use crate::harness::{AUTHORIZE, Answer, Stage};

const FRAME: (&str, &str) = ("sec-fetch-dest", "iframe");
const PREFETCH: (&str, &str) = ("sec-purpose", "prefetch;prerender");

/// 401 as scripts rely on it: these two members and the challenge, and no login begun.
fn is_told_in_json(answer: &Answer, login_url: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"codescan\""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({"error": "login_required", "login_url": login_url}));
    assert_eq!(answer.set_cookies(), [""; 0]);
    is_never_stored(answer);
}

fn is_never_stored(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "a UUID");
}

#[tokio::test]
async fn scripts_and_machines_get_json_with_the_login_address() {
    let stage = Stage::set().await;
    let start = format!("{}{AUTHORIZE}", stage.proxy.public_url());
    let wanted = format!("{start}?rd=/api/x%3Fa%3Db%26c%3Dd");
    let mut browser = stage.browser();
    is_told_in_json(&browser.fetch(Method::GET, "/api/x?a=b&c=d", "").await, &wanted);
    is_told_in_json(&stage.client().get("/api/x?a=b&c=d").await, &wanted);
    is_told_in_json(&stage.client().get("/").await, &start);
    for accept in ["*/*", "application/json, text/html", "text/event-stream", "text/html;q=0"] {
        let answer = stage.client().get_with("/api/x?a=b&c=d", &[("accept", accept)]).await;
        is_told_in_json(&answer, &wanted);
    }
    let posted = browser.fetch(Method::POST, "/api/x?a=b&c=d", "{}").await;
    is_told_in_json(&posted, &wanted);
}

#[tokio::test]
async fn a_prefetch_an_upgrade_and_a_token_start_no_login() {
    let stage = Stage::set().await;
    let start = format!("{}{AUTHORIZE}", stage.proxy.public_url());
    let mut browser = stage.browser();
    for target in ["/", AUTHORIZE] {
        let answer = browser.navigate(Method::GET, target, &[PREFETCH], "").await;
        is_told_in_json(&answer, &start);
    }
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("accept", ACCEPT_PAGE)];
    is_told_in_json(&stage.client().get_with("/", &upgrade).await, &start);
    let token = [("authorization", "Bearer squ_0123"), ("accept", ACCEPT_PAGE)];
    let answer = stage.client().get_with("/", &token).await;
    assert_eq!(answer.error_code().as_deref(), Some("client_token_refused"));
}

#[tokio::test]
async fn browsers_without_fetch_metadata_are_known_by_what_they_accept() {
    let stage = Stage::set().await;
    let sent = stage.client().get_with("/", &[("accept", ACCEPT_PAGE)]).await;
    assert_eq!(sent.status, StatusCode::FOUND);
    assert!(sent.location().starts_with(&stage.bitbucket.url()));
    is_never_stored(&sent);
}

#[tokio::test]
async fn inside_a_frame_a_page_offers_a_link_that_opens_at_the_top() {
    let stage = Stage::set().await;
    for target in ["/part?a=b", &format!("{AUTHORIZE}?rd=/part%3Fa%3Db")] {
        let page = stage.browser().navigate(Method::GET, target, &[FRAME], "").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
        assert_eq!(page.error_code().as_deref(), Some("login_required"));
        assert!(page.text().contains("target=\"_top\""));
        let start = format!("{}{AUTHORIZE}?rd=/part%3Fa%3Db", stage.proxy.public_url());
        assert_eq!(page.link(), start);
        assert_eq!(page.set_cookies(), [""; 0]);
    }
}

#[tokio::test]
async fn a_form_keeps_its_tab_and_is_neither_sent_on_nor_turned_into_a_get() {
    let stage = Stage::set().await;
    let page = stage.browser().post_form("/form", "text=precious").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_eq!(page.error_code().as_deref(), Some("login_required"));
    assert!(page.text().contains("target=\"_blank\""));
    assert_eq!(page.link(), format!("{}{AUTHORIZE}", stage.proxy.public_url()));
    assert!(!page.text().contains("precious"));
    assert_eq!(page.set_cookies(), [""; 0]);
    assert_eq!(stage.codescan.requests_to("/form").len(), 0);
}

#[tokio::test]
async fn the_form_goes_through_once_another_tab_has_signed_in() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let page = browser.post_form("/form", "text=precious").await;
    browser.log_in_at(&browser.target_of(&page.link()), "jcitizen").await;
    assert_eq!(browser.post_form("/form", "text=precious").await.status, StatusCode::OK);
    let received = stage.codescan.wait_for(|request| request.path() == "/form").await;
    assert_eq!(received.text(), Some("text=precious"));
}

#[tokio::test]
async fn pages_need_nothing_from_elsewhere_and_name_code_and_request() {
    let stage = Stage::set().await;
    let page = stage.browser().navigate(Method::GET, "/", &[FRAME], "").await;
    is_never_stored(&page);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert!(page.text().contains(page.header("x-request-id").expect("an id")));
    assert!(!page.text().contains("<script") && !page.text().contains("src="));
}
