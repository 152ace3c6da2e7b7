//! The upstream.

use crate::client::*;
use serde_json::json;
use simulator::codescan::Login;
use simulator::{Codescan, CodescanOptions};
use tokio_tungstenite::tungstenite::Message;

async fn codescan() -> Codescan {
    Codescan::start(CodescanOptions::default()).await.expect("a port")
}

#[tokio::test]
async fn everything_is_recorded_as_it_stood_on_the_wire() {
    let codescan = codescan().await;
    let port = codescan.url().rsplit(':').next().expect("a port").parse::<u16>().expect("a port");
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("a listener");
    let bytes = b"POST /echo//a%2Fb?x=%7e HTTP/1.1\r\nHost: h\r\nPROJECT_KEY: one\r\nx-b: 1\r\n\
        X-B: 2\r\nContent-Length: 3\r\n\r\nabc";
    tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await.expect("a connection");
    let received = codescan.wait_for(|request| request.body.is_some()).await;
    assert_eq!(received.target, "/echo//a%2Fb?x=%7e");
    let names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "PROJECT_KEY", "x-b", "X-B", "Content-Length"]);
    assert_eq!(received.all("x-b").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!((received.body_length, received.text()), (3, Some("abc")));
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(received.body_sha256.as_deref(), Some(abc));
}

#[tokio::test]
async fn it_knows_the_bearers_of_its_bitbucket_and_refuses_as_sonarqube_does() {
    let bitbucket = bitbucket().await;
    let known = Some(bitbucket.clone());
    let options = CodescanOptions { bitbucket: known, ..CodescanOptions::default() };
    let codescan = Codescan::start(options).await.expect("a port");
    codescan.faults(|faults| faults.login = Login::Required);
    let at = |path: &str| format!("{}{path}", codescan.url());

    let api = get(&at("/api/rules/search"), &[]).await;
    assert_eq!((api.status.as_u16(), api.text(), api.header("www-authenticate")), (401, "", None));
    let page = get(&at("/projects"), &[]).await;
    assert_eq!(page.header("location"), Some("/sessions/new?return_to=%2Fprojects"));
    assert_eq!(get(&at("/api/system/status"), &[]).await.json()["status"], "UP");

    let token = format!("Bearer {}", bitbucket.issue_token("jcitizen"));
    let shown = get(&at("/"), &[("authorization", &token)]).await;
    assert!(shown.text().contains("Jane Citizen"));
    assert!(!shown.text().contains(&token));
    codescan.faults(|faults| faults.unauthorized_next = 1);
    assert_eq!(get(&at("/api/x"), &[("authorization", &token)]).await.status, 401);
    assert_eq!(get(&at("/api/x"), &[("authorization", &token)]).await.status, 200);

    // A session of its own wins over the token.
    let own = post(&at("/api/authentication/login"), &[], "login=admin&password=x").await;
    let cookie = own.header("set-cookie").and_then(|line| line.split(';').next());
    let both = [("authorization", token.as_str()), ("cookie", cookie.expect("a cookie"))];
    assert!(get(&at("/"), &both).await.text().contains(r#"<b id="name">admin</b>"#));
    assert_eq!(post(&at("/api/authentication/logout"), &both, "").await.status, 200);
    codescan.faults(|faults| faults.logout_status = 500);
    assert_eq!(post(&at("/api/authentication/logout"), &both, "").await.status, 500);
}

#[tokio::test]
async fn http2_by_prior_knowledge() {
    let options = CodescanOptions { http2: true, ..CodescanOptions::default() };
    let codescan = Codescan::start(options).await.expect("a port");
    let address = codescan.url().trim_start_matches("http://").to_owned();
    let stream = tokio::net::TcpStream::connect(address).await.expect("a listener");
    let (executor, io) =
        (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.expect("a handshake");
    tokio::spawn(connection);
    let asked = request("POST", &format!("{}/echo?a=b", codescan.url()), &[("x-a", "1")], "body");
    assert_eq!(sender.send_request(asked).await.expect("an answer").status(), 200);
    let received = codescan.wait_for(|request| request.text() == Some("body")).await;
    assert_eq!((received.version.as_str(), received.target.as_str()), ("HTTP/2.0", "/echo?a=b"));
    assert_eq!(received.header("x-a"), Some("1"));
}

#[tokio::test]
async fn health_is_exactly_what_ides_compare_it_with() {
    let codescan = codescan().await;
    let url = format!("{}/_codescan/actuator/health", codescan.url());
    assert_eq!(get(&url, &[]).await.text(), r#"{"status":"UP"}"#);
    codescan.faults(|faults| faults.health = "DOWN".into());
    assert_eq!(get(&url, &[]).await.status, 503);
}

#[tokio::test]
async fn events_come_at_once_and_when_pushed() {
    let codescan = codescan().await;
    let url = format!("{}/api/push/sonarlint_events", codescan.url());
    let stream = tokio::spawn(send(request("GET", &url, &[], "")));
    codescan.wait_for_event_streams(1).await;
    assert_eq!(codescan.push_event("{}"), 1);
    stream.abort();
    codescan.wait_for_event_streams(0).await;
}

#[tokio::test]
async fn ill_behaved_paths() {
    let codescan = codescan().await;
    let at = |path: &str| format!("{}{path}", codescan.url());
    for path in ["/die", "/die-at-once"] {
        assert!(send(request("GET", &at(path), &[], "")).await.is_err(), "{path}");
    }
    let hanging = tokio::spawn(send(request("GET", &at("/hang"), &[], "")));
    codescan.wait_for_open_requests(1).await;
    hanging.abort();
    codescan.wait_for_open_requests(0).await;
    assert_eq!(post(&at("/early"), &[], "unread").await.status, 413);
    let bytes = get(&at("/bytes/100000"), &[]).await.body;
    assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
    let cookies = get(&at("/set-cookie?cookie=a%3Db%3B+Path%3D/&cookie=c%3Dd"), &[]).await;
    let lines: Vec<_> = cookies.headers.get_all("set-cookie").iter().collect();
    assert_eq!(lines, ["a=b; Path=/", "c=d"]);
    let status = get(&at("/status/418?header=X-A:%20b&body=tea"), &[]).await;
    assert_eq!((status.status.as_u16(), status.header("x-a")), (418, Some("b")));
}

#[tokio::test]
async fn an_upload_is_measured_while_it_comes() {
    let codescan = codescan().await;
    let url = format!("{}/api/ce/submit", codescan.url());
    codescan.faults(|faults| faults.hold_bodies = true);
    let body = "a".repeat(200_000);
    let upload = tokio::spawn(async move { post(&url, &[], &body).await });
    let first = codescan.wait_for(|request| request.path() == "/api/ce/submit").await;
    assert_eq!(first.body_length, 0);
    codescan.faults(|faults| faults.hold_bodies = false);
    let answer = upload.await.expect("no panic").json();
    let received = codescan.requests().pop().expect("a request");
    assert_eq!(answer["bytes"], json!(200_000));
    assert_eq!(answer["sha256"].as_str(), received.body_sha256.as_deref());
}

#[tokio::test]
async fn a_websocket_says_back_what_it_hears() {
    use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
    let codescan = codescan().await;
    let url = codescan.url().replace("http", "ws");
    let stream = tokio::net::TcpStream::connect(url.trim_start_matches("ws://")).await;
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(
        format!("{url}/ws"),
        stream.expect("a listener"),
        Some(WebSocketConfig::default()),
    )
    .await
    .expect("a handshake");
    for message in [Message::text("héllo"), Message::binary(vec![7; 70_000])] {
        say(&mut socket, message.clone()).await;
        assert_eq!(hear(&mut socket).await, message);
    }
    assert_eq!(codescan.open_websockets(), 1);
    drop(socket);
    codescan.wait_for_websockets(0).await;
    let refused = get(&format!("{}/ws-refused", codescan.url()), &[("upgrade", "websocket")]).await;
    assert_eq!(refused.status, 403);
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn say(socket: &mut Socket, message: Message) {
    use futures_util::SinkExt;
    socket.send(message).await.expect("an open socket");
}

async fn hear(socket: &mut Socket) -> Message {
    use futures_util::StreamExt;
    socket.next().await.expect("a message").expect("a frame")
}
