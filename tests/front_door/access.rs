//! Who is let through without a login, and with a token of their own.

use http::{Method, StatusCode};
use simulator::codescan::Login;

use crate::harness::websocket::WebSocket;
use crate::harness::wire::get;
use crate::harness::{Settings, Stage};

const BEARER: &str = "Bearer squ_0123456789abcdef";
const HEALTH: &str = "/_codescan/actuator/health";

async fn public(rules: &str) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", rules);
    })
    .await
}

fn pass_tokens(settings: &mut Settings) {
    settings.text("access.client_tokens", "pass");
}

#[tokio::test]
async fn by_default_ides_and_probes_need_no_login() {
    let stage = Stage::set().await;
    let health = stage.client().get(HEALTH).await;
    // IDEs compare it with exactly this.
    assert_eq!(health.text(), r#"{"status":"UP"}"#);
    for target in ["/api/system/status", "/api/server/version", "/api/server/version?x=/secret"] {
        assert_eq!(stage.client().get(target).await.status, StatusCode::OK, "{target}");
    }
    let by_head = stage.client().send(Method::HEAD, HEALTH, &[], "").await;
    assert_eq!(by_head.status, StatusCode::OK);
}

#[tokio::test]
async fn everything_else_does() {
    let stage = Stage::set().await;
    let client = stage.client();
    for target in ["/", "/api/x", "/_codescan/", "/_codescan/actuator", "/_codescan/actuator/env"] {
        assert_eq!(client.get(target).await.status, StatusCode::UNAUTHORIZED, "{target}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = client.send(method.clone(), HEALTH, &[], "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn rules_match_methods_segments_and_depths() {
    let stage = public(r#"["/any", "POST /hook", "GET /one/*/end", "GET /deep/**", "/a-b"]"#).await;
    for (method, target, passes) in [
        ("GET", "/any", true),
        ("POST", "/any?q", true),
        ("GET", "/any/", false),
        ("GET", "/ANY", false),
        ("POST", "/hook", true),
        ("GET", "/hook", false),
        ("GET", "/one/x/end", true),
        ("HEAD", "/one/x/end", true),
        ("POST", "/one/x/end", false),
        ("GET", "/one/x/y/end", false),
        ("GET", "/one//end", false),
        ("GET", "/deep/a/b/c", true),
        ("GET", "/deepx", false),
        ("GET", "/a%2Db", true),
        ("GET", "/%61ny", true),
        ("GET", HEALTH, false),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let status = stage.client().send(method.clone(), target, &[], "").await.status;
        assert_eq!(status == StatusCode::OK, passes, "{method} {target}: {status}");
        assert!(passes || status == StatusCode::UNAUTHORIZED, "{method} {target}: {status}");
    }
}

#[tokio::test]
async fn rules_are_below_the_prefix_of_the_public_url() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "http://codescan.example/cs");
        settings.set("access.public", "[\"GET /open\"]");
    })
    .await;
    assert_eq!(stage.client().get("/cs/open").await.status, StatusCode::OK);
    assert_eq!(stage.received("/cs/open").target, "/cs/open", "the prefix is not stripped");
    for target in ["/open", "/csopen", "/cs/cs/open", "/cs//open"] {
        assert_eq!(stage.client().get(target).await.status, StatusCode::UNAUTHORIZED, "{target}");
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_not_public() {
    let stage = public("[\"/open/**\", \"GET /api/system/status\"]").await;
    for target in [
        "/open/../secret",
        "/open/./x",
        "/open/..",
        "/open//x",
        "//open/x",
        "/open/%2e%2e/secret",
        "/open/.%2E/secret",
        "/open/..%2fsecret",
        "/open%2f..%2fsecret",
        "/open/..;/secret",
        "/open/..;x=1/secret",
        "/open;/x",
        "/open/x%3b",
        "/open/..\\secret",
        "/open/x%5csecret",
        "/open/%00",
        "/open/%0a",
        "/open/%7f",
        "/open/%",
        "/open/%zz",
        "/open/%c0%ae%c0%ae/secret",
        "/open/%252e%252e/secret",
        "/open/%25",
        "/open/%ff",
        "/open/%3f",
        "/open/x%23",
        "/api/system/status/",
        "/api/system/status;.js",
        "/api/./system/status",
        "/secret?/api/system/status",
        "/secret?x=/open/x",
        "http://h/open/../secret",
        "http://h/secret?/open/x",
    ] {
        let mut wire = stage.client().open().await;
        let status = wire.get(target, "").await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{target}");
    }
    let came = stage.codescan.requests();
    assert!(came.iter().all(|request| request.path() == "/api/system/status"), "{came:?}");
}

#[tokio::test]
async fn what_is_judged_is_what_is_forwarded() {
    let stage = public("[\"GET /open/**\"]").await;
    for (target, forwarded) in
        [("/open/x%20y?a=../..", "/open/x%20y?a=../.."), ("http://h/open/x", "/open/x")]
    {
        stage.codescan.clear_requests();
        stage.client().open().await.get(target, "").await;
        let path = forwarded.split('?').next().expect("a path");
        assert_eq!(stage.received(path).target, forwarded);
    }
    for target in ["/open/x#/../secret", "/secret#/open/x", "*"] {
        let mut wire = stage.client().open().await;
        assert_eq!(wire.get(target, "").await.status, StatusCode::BAD_REQUEST, "{target}");
    }
}

#[tokio::test]
async fn a_client_cannot_name_the_path_to_judge() {
    let stage = Stage::set().await;
    let mut wire = stage.client().open().await;
    let names = ["X-Forwarded-Uri", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL"];
    let lines: String = names.iter().map(|name| format!("{name}: {HEALTH}\r\n")).collect();
    let lines = format!("{lines}User-Agent: kube-probe/1.30\r\nX-Forwarded-Method: GET\r\n");
    assert_eq!(wire.get("/secret", &lines).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_public_request_has_nothing_of_ours_and_no_token() {
    let stage = public("[\"/open\"]").await;
    let headers = [("authorization", BEARER), ("cookie", "codescan_session=old; a=1")];
    assert_eq!(stage.client().get_with("/open", &headers).await.status, StatusCode::OK);
    let received = stage.received("/open");
    assert_eq!(received.header("authorization"), None);
    assert_eq!(received.header("cookie"), Some("a=1"));
}

#[tokio::test]
async fn with_a_session_a_public_request_is_the_sessions() {
    let stage = public("[\"/open\"]").await;
    stage.session_of("jcitizen").await.get("/open").await;
    let token = stage.received("/open").header("authorization").map(str::to_owned);
    let token = token.as_deref().and_then(|it| it.strip_prefix("Bearer ")).expect("a Bearer");
    assert!(stage.bitbucket.person_of(token).is_some());
}

#[tokio::test]
async fn public_requests_and_sessions_go_on_while_bitbucket_is_down() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    stage.bitbucket.stop().await.expect("it stops");
    assert_eq!(stage.client().get(HEALTH).await.status, StatusCode::OK);
    assert_eq!(session.get("/api/x").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_token_is_refused_and_the_setting_named() {
    let stage = Stage::set().await;
    let page = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    for token in [BEARER, "Basic c3F1XzAxMjM6", "Negotiate x", ""] {
        let headers = [&[("authorization", token)], &page[..]].concat();
        let answer = stage.client().get_with("/api/x", &headers).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(answer.json()["error"], "client_token_refused");
        assert!(
            answer.json()["message"].as_str().is_some_and(|it| it.contains("access.client_tokens"))
        );
        assert!(answer.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer ")));
    }
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn a_client_token_passes_untouched_and_alone() {
    let stage = Stage::with(pass_tokens).await;
    for token in [BEARER, "Basic c3F1XzAxMjM6", "bearer squ_1", "BASIC c3F1XzAxMjM6"] {
        let headers = [("authorization", token), ("cookie", "JWT-SESSION=j; codescan_session=x")];
        let answer = stage.client().get_with("/api/x", &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{token}");
        let received = stage.received("/api/x");
        assert_eq!(received.all("authorization").collect::<Vec<_>>(), [token]);
        assert_eq!(received.header("cookie"), None);
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "not a session's answer");
    }
    let report = stage.client().with("authorization", BEARER);
    let answer = report.send(Method::POST, "/api/ce/submit", &[], "report").await;
    assert_eq!(answer.json()["bytes"], 6);
}

#[tokio::test]
async fn codescans_word_on_a_token_is_the_last() {
    let stage = Stage::with(pass_tokens).await;
    stage.codescan.faults(|faults| faults.login = Login::Required);
    let browser_like = [
        ("authorization", "Bearer unknown"),
        ("accept", "text/html"),
        ("sec-fetch-mode", "navigate"),
    ];
    let answer = stage.client().get_with("/api/x", &browser_like).await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::UNAUTHORIZED, ""));
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn a_malformed_token_does_not_pass() {
    let stage = Stage::with(pass_tokens).await;
    for token in ["Bearer", "Bearer a b", "Basic !", "Digest a=b", "squ_1", "Bearer x, Basic y", ""]
    {
        let answer = stage.client().get_with("/api/x", &[("authorization", token)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token:?}");
        assert_eq!(answer.json()["error"], "client_token_refused", "{token:?}");
    }
    let two = [("authorization", BEARER), ("authorization", BEARER)];
    assert_eq!(stage.client().get_with("/api/x", &two).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn a_client_token_opens_no_tunnel() {
    let stage = Stage::with(pass_tokens).await;
    let refusal = WebSocket::open(&stage.client(), "/ws", &[("authorization", BEARER)]).await;
    assert!(refusal.is_err());
    stage.codescan.wait_for_websockets(0).await;
    assert!(stage.codescan.requests_to("/ws").iter().all(|it| it.header("upgrade").is_none()));
}

#[tokio::test]
async fn a_session_beats_a_token_and_a_public_rule_too() {
    let stage = Stage::with(pass_tokens).await;
    let session = stage.session_of("jcitizen").await;
    session.get_with("/api/x", &[("authorization", BEARER)]).await;
    assert_ne!(stage.received("/api/x").header("authorization"), Some(BEARER));
    stage.client().get_with("/api/system/status?mine", &[("authorization", BEARER)]).await;
    let received = stage.codescan.wait_for(|it| it.query() == Some("mine")).await;
    assert_eq!(received.header("authorization"), Some(BEARER), "where tokens pass, here too");
}

#[tokio::test]
async fn a_token_in_any_spelling_of_the_field_passes_alone() {
    let stage = Stage::set().await;
    let mut wire = stage.client().open().await;
    let answer = wire.get("/api/x", "AUTHORIZATION: Bearer x\r\n").await;
    assert_eq!(answer.error_code().as_deref(), Some("client_token_refused"));
    // Folded lines could hide one (RFC 9112 §5.2).
    let folded = get("/api/x", "X-A: 1\r\n Authorization: Bearer x\r\n");
    let answer = String::from_utf8(stage.client().raw(folded.as_bytes()).await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
