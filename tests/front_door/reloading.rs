//! New settings for a running program.

use http::StatusCode;
use simulator::codescan::Tls;
use simulator::{Codescan, CodescanOptions};

use crate::harness::{Stage, pattern, wait_until};

#[tokio::test]
async fn a_hangup_puts_new_settings_in_force_and_sessions_live_on() {
    let mut stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let token = stage.client().with("authorization", "Bearer squ_1");
    assert_eq!(stage.client().get("/open").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(token.get("/api/x").await.status, StatusCode::UNAUTHORIZED);
    stage
        .proxy
        .reload(|settings| {
            settings.set("access.public", "[\"/open\"]");
            settings.text("access.client_tokens", "pass");
            settings.header("X-User", "{user}");
            settings.text("server.max_body_size", "1KiB");
        })
        .await;
    assert_eq!(stage.client().get("/open").await.status, StatusCode::OK);
    assert_eq!(token.get("/api/x").await.status, StatusCode::OK);
    assert_eq!(session.get("/api/mine").await.status, StatusCode::OK);
    let received = stage.received("/api/mine");
    assert_eq!(received.header("x-user"), Some("jcitizen"));
    assert_eq!(received.header("authorization"), None);
    let too_large = session.send(http::Method::POST, "/api/x", &[], pattern(2000)).await;
    assert_eq!(too_large.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_a_word() {
    let mut stage = Stage::set().await;
    stage.proxy.rewrite_settings(|settings| {
        settings.set("access.public", "[\"/open\"]");
    });
    wait_until("the new rule is in force", async || {
        stage.client().get("/open").await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn codescan_can_move() {
    let mut stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let other = Codescan::start(CodescanOptions::default());
    let other = other.await.expect("another upstream starts");
    stage
        .proxy
        .reload(|settings| {
            settings.text("codescan.url", other.url());
        })
        .await;
    assert_eq!(session.get("/api/moved").await.status, StatusCode::OK);
    assert_eq!(other.requests_to("/api/moved").len(), 1);
    assert_eq!(stage.codescan.requests_to("/api/moved").len(), 0);
}

#[tokio::test]
async fn a_wrong_file_is_reported_and_the_old_settings_stay() {
    let mut stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    stage.proxy.rewrite_settings(|settings| {
        settings.set("access.public", "[\"/open\"]");
        settings.text("server.idle_timeout", "soon");
        settings.text("server.lissten", "x");
    });
    stage.proxy.signal("HUP");
    let line = stage.proxy.wait_for_log(&["the old ones stay in force"]).await;
    for part in ["server.idle_timeout", "server.lissten", "2 faults", "ERROR"] {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(stage.client().get("/open").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(session.get("/api/x").await.status, StatusCode::OK);
    let secret = stage.bitbucket.client_secret();
    assert!(!line.contains(secret));
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let stage = Stage::set().await;
    std::fs::remove_file(stage.proxy.settings_file()).expect("it was there");
    stage.proxy.signal("HUP");
    stage.proxy.wait_for_log(&["the old ones stay in force"]).await;
    assert_eq!(stage.client().get("/api/system/status").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_only_a_restart_changes_is_named() {
    let mut stage = Stage::set().await;
    stage
        .proxy
        .reload(|settings| {
            settings.text("server.listen", "127.0.0.1:1").set("server.workers", "7");
            settings.set("access.public", "[\"/open\"]");
        })
        .await;
    for key in ["server.listen", "server.workers"] {
        stage.proxy.wait_for_log(&[key, "restart", "WARN"]).await;
    }
    assert_eq!(stage.client().get("/open").await.status, StatusCode::OK, "the rest is in force");
}

#[tokio::test]
async fn the_log_level_changes_while_it_runs() {
    let mut stage = Stage::with(|settings| {
        settings.text("log.level", "error");
    })
    .await;
    stage.client().get("/first").await;
    stage.proxy.rewrite_settings(|settings| {
        settings.text("log.level", "info");
        settings.set("log.access", "false");
    });
    stage.proxy.signal("HUP");
    stage.proxy.wait_for_log(&["new settings are in force"]).await;
    stage.client().get("/second").await;
    stage
        .proxy
        .reload(|settings| {
            settings.set("log.access", "true");
        })
        .await;
    stage.client().get("/third").await;
    stage.proxy.wait_for_log(&["\"path\":\"/third\""]).await;
    assert!(!stage.proxy.log().contains("/second"));
    assert!(!stage.proxy.log().contains("\"listening\""), "said at the level info");
}

#[tokio::test]
async fn a_changed_secret_file_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "the-wrong-one\n").expect("it is written");
    let stage = Stage::with(|settings| {
        settings.remove("bitbucket.client_secret");
        settings.text("bitbucket.client_secret_file", file.to_str().expect("a path of text"));
    })
    .await;
    let mut browser = stage.browser();
    let callback = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let refused = browser.get(&callback).await;
    assert_eq!(refused.error_code().as_deref(), Some("bitbucket_rejected_client"));
    // With a line's end, as editors and Kubernetes leave it.
    std::fs::write(&file, format!("{}\n", stage.bitbucket.client_secret())).expect("written");
    stage.proxy.wait_for_log(&["new settings are in force"]).await;
    assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_under_way_finish_with_the_settings_they_began_with() {
    let mut stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    wire.send(crate::harness::wire::get("/chunked?n=5&ms=100", &session.lines())).await;
    wire.head().await;
    stage
        .proxy
        .reload(|settings| {
            settings.text("codescan.url", "http://127.0.0.1:1");
        })
        .await;
    wire.until(b"chunk 5\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_changed_authority_is_read_again() {
    let options = CodescanOptions { tls: Tls::Server, ..CodescanOptions::default() };
    let codescan = Codescan::start(options.clone()).await.expect("it starts");
    let other = Codescan::start(options).await.expect("it starts");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, other.ca_pem()).expect("it is written");
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", codescan.url());
        settings.text("codescan.ca_file", file.to_str().expect("a path of text"));
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    assert_eq!(stage.client().get("/bytes/1").await.status, StatusCode::BAD_GATEWAY);
    std::fs::write(&file, codescan.ca_pem()).expect("it is written");
    stage.proxy.wait_for_log(&["new settings are in force"]).await;
    assert_eq!(stage.client().get("/bytes/1").await.status, StatusCode::OK);
}
