//! Bitbucket misbehaves, is not there, or cannot be set up.

use std::io;
use std::time::Duration;

use http::StatusCode;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::TcpListener;

use super::{TOKENS, cause, exchange, target};
use crate::bitbucket::testing::{Reply, Server, client, json, settings};
use crate::bitbucket::{Cause, Client, SetupError, TokenError, Unreachable};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

/// The cause of an exchange that failed against this reply, sent exactly once.
async fn cause_of(reply: Reply) -> Cause {
    let server = Server::start([reply]).await;
    let error = exchange(&client(&settings(&server.base()))).await.expect_err("no tokens");
    assert_eq!(server.requests().len(), 1, "sent once: {error}");
    cause(error)
}

fn impatient(base: &str) -> Bitbucket {
    Bitbucket { timeout: Duration::from_secs(1), ..settings(base) }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let location = "Location: /rest/oauth2/latest/token?code=1\r\n";
    let cause = cause_of(json(302, location, "")).await;
    assert_eq!(cause, Cause::Redirect { status: StatusCode::FOUND, host: None });
}

#[tokio::test]
async fn a_connection_closed_too_early_sends_nothing_again() {
    for answer in
        ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        let cause = cause_of(Reply::Bytes(answer.into())).await;
        assert_eq!(cause, Cause::Broken, "{answer}");
        assert!(!cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let endless =
        |head: &str, chunk: &str| Reply::Endless { head: head.into(), chunk: chunk.into() };
    for reply in [
        json(200, "", &" ".repeat(64 * 1024 + 1)),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\n    \r\n"),
        endless("HTTP/1.1 200 OK\r\n\r\n", "    "),
        endless("HTTP/1.1 200 OK\r\nX-Long: ", "xxxx"),
    ] {
        assert_eq!(cause_of(reply).await, Cause::TooLarge);
    }
    let whole = format!("{TOKENS}{}", " ".repeat(64 * 1024 - TOKENS.len()));
    let server = Server::start([json(200, "", &whole)]).await;
    exchange(&client(&settings(&server.base()))).await.expect("64 KiB are not too many");
}

#[tokio::test]
async fn what_is_not_http_is_told() {
    assert_eq!(cause_of(Reply::Bytes("SSH-2.0-OpenSSH_9.6\r\n".into())).await, Cause::NotHttp);
}

#[tokio::test]
async fn trouble_is_told_with_its_wait() {
    let reply = "HTTP/1.1 503 Down\r\nContent-Type: text/html\r\nRetry-After: 7\r\n\r\n<p>no</p>";
    let server = Server::start([Reply::Bytes(reply.into())]).await;
    let error = exchange(&client(&settings(&server.base()))).await.expect_err("no tokens");
    let expected = TokenError::Unreachable {
        cause: Cause::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            content_type: Some("text/html".into()),
        },
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_call_ends_in_time_and_tells_whether_it_was_sent() {
    let after = Duration::from_secs(1);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
    for sent in ["", half] {
        let reply = Reply::Stall(sent.into());
        let server = Server::start([reply]).await;
        let error = exchange(&client(&impatient(&server.base()))).await.expect_err("no answer");
        assert_eq!(cause(error), Cause::TimedOut { after, sent: true });
        assert_eq!(server.requests().len(), 1);
    }
    // A server that never shakes hands.
    let server = Server::start([Reply::Stall(String::new())]).await;
    let error = exchange(&client(&impatient(&server.https_base()))).await.expect_err("no answer");
    assert_eq!(cause(error), Cause::TimedOut { after, sent: false });
}

#[tokio::test]
async fn a_place_that_cannot_be_reached_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    // No name server is asked: no label is that long.
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    for (base, expected) in [
        (format!("http://{address}"), Cause::NoConnection(io::ErrorKind::ConnectionRefused)),
        (nowhere, Cause::Unresolved),
    ] {
        let cause = cause(exchange(&client(&settings(&base))).await.expect_err("nobody there"));
        assert_eq!(cause, expected);
        assert!(cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn bitbucket_is_well_only_when_it_says_so() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>up</p>";
    for (reply, expected) in [
        (json(200, "", r#"{"state":"RUNNING"}"#), Ok(())),
        (json(200, "", r#"{"state":"STARTING"}"#), Err("not_running")),
        (json(503, "", r#"{"state":"MAINTENANCE"}"#), Err("not_running")),
        (json(503, "", ""), Err("status")),
        (json(302, "Location: /setup\r\n", ""), Err("redirect")),
        (Reply::Bytes(html.into()), Err("not_json")),
    ] {
        let server = Server::start([reply]).await;
        let found = client(&settings(&format!("{}/bitbucket", server.base()))).status().await;
        assert_eq!(found.map_err(|Unreachable { cause, .. }| cause.kind()), expected);
        assert_eq!(target(&server.requests()[0]), "GET /bitbucket/status");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named() {
    let good = settings("https://bitbucket.example.com");
    for proxy in ["socks5://proxy:1080", "https://proxy:8443", "http://", "pr oxy", ""] {
        let settings = Bitbucket { proxy_url: Some(Secret::new(proxy)), ..good.clone() };
        let error = Client::new(&settings).expect_err(proxy);
        assert!(error.to_string().starts_with("bitbucket.proxy_url"), "{error}");
    }
    let settings = Bitbucket { ca_file: Some("/nowhere/ca.pem".into()), ..good.clone() };
    let error = Client::new(&settings).expect_err("no such file").to_string();
    assert!(error.starts_with("bitbucket.ca_file: /nowhere/ca.pem"), "{error}");

    let socks = Matcher::builder().all("socks5://proxy:1080").build();
    let error = Client::behind(socks, &good).expect_err("not http");
    assert!(matches!(error, SetupError::ProxyInEnvironment), "{error}");
}

/// Calls run as tasks of a runtime with several threads.
#[test]
fn calls_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let client = client(&settings("https://bitbucket.example.com"));
    let secret = Secret::new("x");
    is_send(&client.exchange(secret.clone(), secret.clone()));
    is_send(&client.refresh(&secret));
    is_send(&client.revoke(&secret, None));
    is_send(&client.whoami(&secret));
    is_send(&client.status());
}
