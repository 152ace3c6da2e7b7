//! Where the proxy listens: TCP and unix sockets.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use http::Method;
use simulator::{BitbucketOptions, CodescanOptions};
use tempfile::TempDir;

use crate::harness::command::run;
use crate::harness::{Client, Settings, Stage, pattern, sha256};

struct Place {
    socket: PathBuf,
    _folder: TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place { socket: folder.path().join("proxy.sock"), _folder: folder }
}

fn listen_on(settings: &mut Settings, socket: &Path) {
    settings.text("server.listen", &format!("unix:{}", socket.display()));
    settings.set("access.public", "[\"/**\"]");
}

fn client(stage: &Stage, socket: &Path) -> Client {
    stage.client().over(socket)
}

#[tokio::test]
async fn a_unix_socket_serves_like_any_other() {
    let place = place();
    let stage = Stage::with(|settings| listen_on(settings, &place.socket)).await;
    let client = client(&stage, &place.socket);
    assert_eq!(client.get("/bytes/100000").await.body.len(), 100_000);
    client.get_with("/api/x", &[("x-forwarded-for", "6.6.6.6")]).await;
    let received = stage.received("/api/x");
    assert_eq!(received.header("x-forwarded-for"), None, "nobody's address is known");
    assert!(received.header("forwarded").is_some_and(|it| it.starts_with("for=unknown;")));
}

#[tokio::test]
async fn unix_sockets_on_both_sides_carry_either_http() {
    let (place, behind) = (place(), place());
    let codescan =
        CodescanOptions { unix_socket: Some(behind.socket.clone()), ..Default::default() };
    let stage = Stage::between(BitbucketOptions::default(), codescan, |settings| {
        listen_on(settings, &place.socket);
    })
    .await;
    let client = client(&stage, &place.socket);
    let body = pattern(1_000_000);
    for client in [client.clone(), client.over_http2()] {
        assert!(client.get("/bytes/1000000").await.body == body);
        let answer = client.send(Method::POST, "/api/ce/submit", &[], body.clone()).await;
        assert_eq!(answer.json()["sha256"], sha256(&body));
    }
}

#[tokio::test]
async fn a_peer_on_a_unix_socket_can_be_trusted() {
    let place = place();
    let stage = Stage::with(|settings| {
        listen_on(settings, &place.socket);
        settings.set("server.trusted_proxies", "[\"unix\"]");
    })
    .await;
    let headers = [("x-forwarded-for", "6.6.6.6"), ("x-request-id", "mine")];
    let answer = client(&stage, &place.socket).get_with("/api/x", &headers).await;
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    assert_eq!(stage.received("/api/x").header("x-forwarded-for"), Some("6.6.6.6"));
}

#[tokio::test]
async fn the_socket_has_the_mode_that_is_set() {
    for (mode, wanted) in [(None, 0o660), (Some("\"0600\""), 0o600), (Some("\"0666\""), 0o666)] {
        let place = place();
        let _stage = Stage::with(|settings| {
            listen_on(settings, &place.socket);
            mode.map(|mode| settings.set("server.socket_mode", mode).has("server.socket_mode"));
        })
        .await;
        let permissions = std::fs::metadata(&place.socket).expect("a socket").permissions();
        assert_eq!(permissions.mode() & 0o777, wanted);
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let place = place();
    drop(UnixListener::bind(&place.socket).expect("a socket that nobody listens on any more"));
    let stage = Stage::with(|settings| listen_on(settings, &place.socket)).await;
    assert_eq!(client(&stage, &place.socket).get("/bytes/1").await.status, 200);
}

#[tokio::test]
async fn a_live_socket_is_not() {
    let place = place();
    let stage = Stage::with(|settings| listen_on(settings, &place.socket)).await;
    let mut second = Settings::between(&stage.bitbucket, &stage.codescan);
    second.text("server.public_url", "http://codescan.example");
    second.text("admin.listen", "127.0.0.1:0");
    listen_on(&mut second, &place.socket);
    let ended = run(&second, &["serve"]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains("server.listen"), "{}", ended.stderr);
    assert_eq!(client(&stage, &place.socket).get("/bytes/1").await.status, 200, "still there");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let place = place();
    std::fs::write(&place.socket, "precious").expect("a file");
    let stage = Stage::set().await;
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    settings.text("server.public_url", "http://codescan.example");
    settings.text("admin.listen", "127.0.0.1:0");
    listen_on(&mut settings, &place.socket);
    assert_eq!(run(&settings, &["serve"]).code, Some(69));
    assert_eq!(std::fs::read_to_string(&place.socket).expect("the file"), "precious");
    let kind = std::fs::metadata(&place.socket).expect("the file").file_type();
    assert!(!kind.is_socket());
}

#[tokio::test]
async fn an_address_in_use_ends_it_with_69_and_the_settings_name() {
    let stage = Stage::set().await;
    let taken = |key: &str, origin: String| {
        let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
        settings.text("server.public_url", "http://codescan.example");
        settings.text("server.listen", "127.0.0.1:0").text("admin.listen", "127.0.0.1:0");
        let address = origin.trim_start_matches("http://");
        settings.text(key, address);
        let ended = run(&settings, &["serve"]);
        assert_eq!(ended.code, Some(69), "{}", ended.stderr);
        let begins = format!("{key}: cannot listen on {address}: ");
        assert!(ended.stderr.contains(&begins), "{}", ended.stderr);
    };
    taken("server.listen", stage.proxy.origin());
    taken("admin.listen", stage.proxy.admin_origin());
}
