//! Every error of the proxy's own, once as a page and once as JSON.

use http::{Method, StatusCode};

use crate::harness::{AUTHORIZE, Answer, Browser, LOGOUT, Stage};

const FRAME: (&str, &str) = ("sec-fetch-dest", "iframe");
const FOREIGN: (&str, &str) = ("sec-fetch-site", "cross-site");
const HUGE: (&str, &str) = ("x-huge", HUGE_VALUE);
const HUGE_VALUE: &str = match std::str::from_utf8(&[b'x'; 33_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// What is sent, and which status and code come back.
struct Row<'a>(Method, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn errors_without_a_session() {
    let stage = Stage::with(|settings| {
        settings.text("server.max_body_size", "1KiB");
    })
    .await;
    let lost = stage.browser().go_to_bitbucket_and_agree("/", "jcitizen").await;
    let ours = |query| format!("{AUTHORIZE}?state=cop1.A{query}");
    for row in [
        Row(Method::GET, "/", &[FRAME], 401, "login_required"),
        Row(Method::POST, "/form", &[], 401, "login_required"),
        Row(Method::GET, "/_codescan/oauth2/auth", &[], 404, "not_found"),
        Row(Method::DELETE, LOGOUT, &[], 405, "method_not_allowed"),
        Row(Method::TRACE, "/", &[], 405, "method_not_allowed"),
        Row(Method::POST, LOGOUT, &[FOREIGN], 403, "cross_site_request"),
        Row(Method::GET, &ours(""), &[], 400, "invalid_request"),
        Row(Method::GET, &ours("&code=a"), &[], 400, "login_expired"),
        Row(Method::GET, &ours("&error=access_denied"), &[], 403, "access_denied"),
        Row(Method::GET, &lost, &[], 400, "cookie_lost"),
        Row(Method::GET, "/", &[HUGE], 431, "header_too_large"),
        Row(Method::POST, "/", &[("x", "")], 413, "body_too_large"),
    ] {
        let body = if row.3 == 413 { HUGE_VALUE } else { "" };
        provoke(&mut stage.browser(), &row, body).await;
    }
}

#[tokio::test]
async fn errors_with_a_session() {
    let stage = Stage::with(|settings| {
        settings.text("codescan.response_timeout", "200ms");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    for row in [
        Row(Method::POST, "/form", &[FOREIGN], 403, "cross_site_request"),
        Row(Method::GET, "/hang", &[], 504, "upstream_timeout"),
        Row(Method::GET, "/die-at-once", &[], 502, "upstream_unreachable"),
    ] {
        provoke(&mut browser, &row, "").await;
    }
    stage.codescan.stop().await.expect("stops");
    provoke(&mut browser, &Row(Method::GET, "/", &[], 502, "upstream_unreachable"), "").await;
}

async fn provoke(browser: &mut Browser, row: &Row<'_>, body: &str) {
    let Row(method, target, fields, status, code) = row;
    let page = browser.navigate(method.clone(), target, fields, body).await;
    assert!(page.text().starts_with("<!DOCTYPE html>"), "{code}: {}", page.text());
    assert!(page.header("content-security-policy").is_some(), "{code}");
    assert!(page.text().contains(page.header("x-request-id").expect("an id")), "{code}");
    let mut fields = fields.to_vec();
    fields.retain(|field| *field != FRAME);
    fields.push(("accept", "application/json"));
    let json = browser.send(method.clone(), target, &fields, body).await;
    let wanted = if *code == "login_required" { "login_url" } else { "message" };
    assert!(json.json()[wanted].is_string(), "{code}: {}", json.text());
    for answer in [page, json] {
        is_an_error(&answer, *status, code);
    }
}

fn is_an_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, StatusCode::from_u16(status).expect("a status"), "{code}");
    assert_eq!(answer.error_code().as_deref(), Some(code));
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{code}");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{code}");
    assert_eq!(answer.headers.contains_key("allow"), status == 405, "{code}");
    assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{code}");
}
