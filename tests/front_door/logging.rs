//! What is logged, what is not, and that nobody can write lines of their own into it.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::harness::Stage;
use crate::harness::wire::get;

/// The access line of the request with this path.
async fn line_of(stage: &Stage, path: &str) -> Value {
    let path = format!("\"path\":\"{path}\"");
    let line = stage.proxy.wait_for_log(&["\"target\":\"access\"", &path]).await;
    serde_json::from_str(&line).expect("a line of JSON")
}

#[tokio::test]
async fn one_line_a_request_with_all_there_is_to_know() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let answer = session.send(Method::PUT, "/api/x?secret=query", &[], "body").await;
    let line = line_of(&stage, "/api/x").await;
    assert_eq!(line["method"], "PUT");
    assert_eq!(line["status"], 200);
    assert_eq!(line["user"], "jcitizen");
    assert_eq!(line["route"], "app");
    assert_eq!(line["protocol"], "HTTP/1.1");
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["request_id"], answer.header("x-request-id").expect("an id"));
    assert_eq!(line["response_bytes"], answer.body.len());
    let (total, upstream) = (line["duration_ms"].as_f64(), line["upstream_ms"].as_f64());
    assert!(total.expect("a time") >= upstream.expect("a time"), "{line}");
    assert_eq!(stage.proxy.log().matches("\"path\":\"/api/x\"").count(), 1);
}

#[tokio::test]
async fn refusals_and_failures_have_their_code() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    stage.client().get("/refused").await;
    let refused = line_of(&stage, "/refused").await;
    assert_eq!((&refused["error"], &refused["status"]), (&"login_required".into(), &401.into()));
    assert_eq!(refused.get("user"), None);
    session.get("/die-at-once").await;
    assert_eq!(line_of(&stage, "/die-at-once").await["error"], "upstream_unreachable");
    let mut wire = session.open().await;
    wire.send(get("/hang", &session.lines())).await;
    stage.codescan.wait_for(|request| request.path() == "/hang").await;
    drop(wire);
    assert_eq!(line_of(&stage, "/hang").await["status"], 499, "the client left");
}

#[tokio::test]
async fn every_line_is_an_object_whatever_is_asked_for() {
    let stage = Stage::set().await;
    for target in [
        "/a\"},{\"level\":\"ERROR\"",
        "/%0a{\"level\":\"ERROR\"}",
        "/%1b[31mred",
        "/\u{1b}[31mred",
        "/\u{202e}gnp",
        "/\u{9b}31m",
        "/\\u0041\\",
        "/{}%s%n{user}",
    ] {
        let mut wire = stage.client().open().await;
        wire.send(get(target, "Sec-Fetch-Mode: cors\r\nX-Request-Id: \"x\r\nUser-Agent: {}\r\n"))
            .await;
        wire.answer().await;
    }
    stage.client().get("/the-last").await;
    line_of(&stage, "/the-last").await;
    let log = stage.proxy.log();
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert_ne!(value["level"], "ERROR", "{line}");
    }
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!log.contains(steers), "{log:?}");
}

#[tokio::test]
async fn text_lines_are_lines_too() {
    let stage = Stage::with(|settings| {
        settings.text("log.format", "text");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(get("/\u{1b}[31mred\u{202e}%0aERROR", "")).await;
    wire.answer().await;
    stage.client().get("/the-last").await;
    let line = stage.proxy.wait_for_log(&["access:", "/the-last"]).await;
    assert!(line.contains("401") && line.contains("login_required"), "{line}");
    let log = stage.proxy.log();
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!log.contains(steers), "{log:?}");
    assert!(log.lines().all(|line| line.starts_with("20")), "each begins with its time: {log}");
}

#[tokio::test]
async fn a_path_of_any_length_is_cut() {
    let stage = Stage::set().await;
    stage.client().get(&format!("/{}", "x".repeat(20_000))).await;
    let line = stage.proxy.wait_for_log(&["\"path\":\"/xxx", "path_bytes"]).await;
    assert!(line.len() < 2_000, "{}", line.len());
}

#[tokio::test]
async fn access_lines_can_be_left_out() {
    let mut stage = Stage::with(|settings| {
        settings.set("log.access", "false");
    })
    .await;
    stage.client().get("/unseen").await;
    stage.proxy.signal("TERM");
    stage.proxy.ended().await;
    assert!(!stage.proxy.log().contains("/unseen"));
    assert!(stage.proxy.log().contains("drained"));
}

#[tokio::test]
async fn nothing_secret_is_in_any_line() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let callback = browser.go_to_bitbucket_and_agree("/p?q=query-secret", "jcitizen").await;
    browser.get(&callback).await;
    let session = stage.client().with("cookie", &browser.cookie_header());
    session.get_with("/api/a?x=query-secret", &[("x-own", "field-secret")]).await;
    session.send(Method::POST, "/api/b", &[], "body-secret").await;
    let basic = [("authorization", "Basic dG9rZW4tc2VjcmV0Og=="), ("referer", "/?query-secret")];
    stage.client().get_with("/api/c?y=query-secret", &basic).await;
    assert!(session.try_get("/die?query-secret").await.is_err());
    stage.codescan.stop().await.expect("it stops");
    session.get("/down?query-secret").await;
    assert_eq!(
        browser.post_form("/_codescan/oauth2/logout", "").await.status,
        StatusCode::SEE_OTHER
    );
    stage.client().get("/the-last").await;
    line_of(&stage, "/the-last").await;
    let mut secrets = stage.bitbucket.issued_secrets();
    secrets.extend(
        ["query-secret", "field-secret", "body-secret", "dG9rZW4", "cop1."].map(str::to_owned),
    );
    secrets.extend(browser.cookie("codescan_session").map(str::to_owned));
    secrets.extend(session.fields().map(|(_, value)| value.to_owned()));
    let log = stage.proxy.log();
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} in\n{log}");
    }
}
