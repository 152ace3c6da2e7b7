//! A redirect, a page, or JSON: what the sender can make use of.

use http::{Method, StatusCode};

use crate::harness::browser::ACCEPT_PAGE;
use crate::harness::{Answer, Stage};

type Fields = [(&'static str, &'static str)];

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Redirect,
    Page,
    Json,
}

fn seen(answer: &Answer) -> Seen {
    let content_type = answer.header("content-type").unwrap_or_default();
    match answer.status {
        StatusCode::FOUND => Seen::Redirect,
        _ if content_type.starts_with("text/html") => Seen::Page,
        _ => {
            assert_eq!(content_type, "application/json");
            Seen::Json
        }
    }
}

#[tokio::test]
async fn the_table_of_those_who_need_a_login() {
    let stage = Stage::set().await;
    let page = ("accept", ACCEPT_PAGE);
    let navigate = ("sec-fetch-mode", "navigate");
    let document = ("sec-fetch-dest", "document");
    let form = ("content-type", "application/x-www-form-urlencoded");
    #[rustfmt::skip]
    let table: [(&str, &Fields, Seen); 21] = [
        ("GET",  &[page, navigate, document], Seen::Redirect),
        ("GET",  &[navigate], Seen::Redirect),
        ("HEAD", &[page], Seen::Redirect),
        ("GET",  &[page], Seen::Redirect),
        ("GET",  &[("accept", "text/html")], Seen::Redirect),
        ("GET",  &[], Seen::Json),
        ("GET",  &[("accept", "*/*")], Seen::Json),
        ("GET",  &[("accept", "application/json")], Seen::Json),
        ("GET",  &[("accept", "application/json, text/html;q=0.9")], Seen::Json),
        ("GET",  &[page, ("sec-fetch-mode", "cors")], Seen::Json),
        ("GET",  &[page, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], Seen::Json),
        ("GET",  &[page, navigate, ("sec-purpose", "prefetch")], Seen::Json),
        ("GET",  &[page, navigate, ("sec-purpose", "prefetch;prerender")], Seen::Json),
        ("GET",  &[page, navigate, ("authorization", "Bearer x")], Seen::Json),
        ("GET",  &[page, navigate, ("sec-fetch-dest", "iframe")], Seen::Page),
        ("GET",  &[page, navigate, ("sec-fetch-dest", "embed")], Seen::Page),
        ("POST", &[page, navigate, document, form], Seen::Page),
        ("POST", &[page, form], Seen::Page),
        ("POST", &[("accept", "application/json"), form], Seen::Json),
        ("PUT",  &[page], Seen::Json),
        ("DELETE", &[], Seen::Json),
    ];
    for (method, fields, wanted) in table {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = stage.client().send(method.clone(), "/project?id=1", fields, "").await;
        let status = if wanted == Seen::Redirect { 302 } else { 401 };
        assert_eq!(answer.status.as_u16(), status, "{method} {fields:?}");
        assert_eq!(seen(&answer), wanted, "{method} {fields:?}");
    }
    assert_eq!(stage.codescan.requests_to("/project").len(), 0);
}

#[tokio::test]
async fn a_script_learns_where_to_log_in() {
    let stage = Stage::set().await;
    let answer = stage.client().get("/api/x?a=b").await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"codescan\""));
    let json = answer.json();
    assert_eq!(json["error"], "login_required");
    let login = json["login_url"].as_str().expect("an address");
    let wanted = format!("{}/_codescan/oauth2/authorize", stage.proxy.public_url());
    assert!(login.starts_with(&wanted), "{login}");
    let target = login.strip_prefix(stage.proxy.public_url()).expect("ours");
    let mut browser = stage.browser();
    assert_eq!(browser.log_in_at(target, "jcitizen").await.status, StatusCode::OK);
    assert_eq!(stage.received("/api/x").target, "/api/x?a=b");
}

#[tokio::test]
async fn a_frame_gets_a_link_that_opens_at_the_top() {
    let stage = Stage::set().await;
    let frame = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let page = stage.client().get_with("/widget", &frame).await;
    assert!(page.text().contains("target=\"_top\""), "{}", page.text());
    assert!(page.text().contains("/_codescan/oauth2/authorize"), "{}", page.text());
    assert_eq!(page.set_cookies().len(), 0, "no login has begun");
}

#[tokio::test]
async fn a_form_keeps_its_tab() {
    let stage = Stage::set().await;
    let page = stage.browser().post_form("/form", "text=zebra").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.text().contains("target=\"_blank\""), "{}", page.text());
    assert!(!page.text().contains("zebra"), "the form is not kept");
}

#[tokio::test]
async fn every_answer_of_ours_is_uncached_named_and_safe() {
    let stage = Stage::with(|settings| {
        settings.text("server.max_body_size", "10B");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let foreign = [("sec-fetch-site", "cross-site")];
    let page = [("accept", ACCEPT_PAGE), ("sec-fetch-mode", "navigate")];
    let frame = [page[0], page[1], ("sec-fetch-dest", "iframe")];
    let answers = [
        stage.client().get("/x").await,
        stage.client().get_with("/x", &page).await,
        stage.client().get_with("/x", &frame).await,
        stage.client().get_with("/x", &[("authorization", "Bearer x")]).await,
        stage.client().send(Method::TRACE, "/x", &[], "").await,
        stage.client().send(Method::POST, "/x", &page, "12345678901").await,
        stage.client().get("/_codescan/oauth2/userinfo").await,
        stage.client().get("/_codescan/oauth2/auth").await,
        stage.client().get_with("/_codescan/oauth2/logout", &page).await,
        stage.client().get_with("/_codescan/oauth2/authorize?state=cop1.x", &page).await,
        session.send(Method::POST, "/x", &foreign, "").await,
        session.get("/_codescan/oauth2/userinfo").await,
        session.get("/die-at-once").await,
    ];
    for answer in answers {
        let what = format!("{} {}", answer.status, answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        let id = answer.header("x-request-id").expect("an id");
        if seen(&answer) != Seen::Redirect {
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        }
        if answer.error_code().is_some_and(|code| code != "login_required") {
            assert!(answer.text().contains(id), "{what}");
        }
        if seen(&answer) == Seen::Page {
            let policy = answer.header("content-security-policy").expect("a policy");
            assert!(policy.contains("default-src 'none'"), "{policy}");
            assert!(policy.contains("frame-ancestors"), "{policy}");
            assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{what}");
            assert!(!answer.text().contains("<script"), "{what}");
        }
    }
}

#[tokio::test]
async fn a_page_shows_what_was_asked_for_as_text_only() {
    let stage = Stage::set().await;
    let mut wire = stage.client().open().await;
    let target = "/x?a=%22%3E%3Cscript%3Ealert(1)%3C/script%3E'{}";
    let lines = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nX-Request-Id: <b>\r\n";
    let page = wire.get(target, lines).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(!page.text().contains("<script"), "{}", page.text());
    assert!(!page.text().contains("alert(1)</script>"), "{}", page.text());
}
