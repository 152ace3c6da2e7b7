//! `CodeScan` is slow, silent, or gone.

use http::{Method, StatusCode};
use simulator::bitbucket::{Call, TokenFault};

use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern, wait_until};

#[tokio::test]
async fn codescan_that_does_not_answer_is_a_504() {
    let stage = Stage::with(|settings| {
        settings.text("codescan.response_timeout", "300ms");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let answer = session.get("/hang").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.error_code().as_deref(), Some("upstream_timeout"));
    stage.codescan.wait_for_open_requests(0).await;
    assert_eq!(session.get("/bytes/3").await.body, pattern(3));
}

#[tokio::test]
async fn the_response_timeout_cuts_neither_a_long_upload_nor_a_stream() {
    let stage = Stage::with(|settings| {
        settings.text("codescan.response_timeout", "1s");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Content-Length: 2\r\n", session.lines());
    let mut upload = session.open().await;
    upload.send(head("POST", "/api/echo", &fields)).await;
    upload.send("a").await;
    let mut stream = session.open().await;
    stream.send(get("/chunked?n=4&ms=500", &session.lines())).await;
    // Two seconds go by: longer than the timeout, for both.
    assert_eq!(stream.answer().await.text(), "chunk 1\nchunk 2\nchunk 3\nchunk 4\n");
    upload.send("b").await;
    assert_eq!(upload.answer().await.json()["body"], "ab");
}

#[tokio::test]
async fn the_response_timeout_runs_from_the_last_byte_of_an_upload() {
    let stage = Stage::with(|settings| {
        settings.text("codescan.response_timeout", "300ms");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    stage.codescan.faults(|faults| faults.hold_bodies = true);
    let answer = session.send(Method::POST, "/api/echo", &[], "hello").await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_timeout"));
}

#[tokio::test]
async fn codescan_that_is_gone_is_a_502_until_it_is_back() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    stage.codescan.stop().await.expect("it stops");
    let page = browser.get("/project").await;
    assert_eq!(page.status, StatusCode::BAD_GATEWAY);
    assert_eq!(page.error_code().as_deref(), Some("upstream_unreachable"));
    assert!(page.header("content-type").is_some_and(|it| it.starts_with("text/html")));
    let json = browser.fetch(Method::POST, "/api/x", "body").await;
    assert_eq!(json.json()["error"], "upstream_unreachable");
    stage.codescan.resume().await.expect("it comes back");
    assert_eq!(browser.get("/project").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_is_told_of_where_codescan_is() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    stage.codescan.stop().await.expect("it stops");
    let port = stage.codescan.url().rsplit(':').next().expect("a port").to_owned();
    for answer in [browser.get("/x").await, browser.fetch(Method::GET, "/x", "").await] {
        assert!(!answer.text().contains(&port), "{}", answer.text());
    }
    let verbose = stage.admin("/readyz?verbose").await;
    assert!(!verbose.text().contains(&port), "{}", verbose.text());
}

#[tokio::test]
async fn a_host_that_takes_no_connection_is_given_up_on_in_time() {
    // A backlog of one that is full: further connections hang.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("an address");
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", &format!("http://{address}"));
        settings.text("codescan.connect_timeout", "300ms");
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let mut crowd = Vec::new();
    wait_until("the backlog is full", async || {
        let connecting = tokio::net::TcpStream::connect(address);
        let taken = tokio::time::timeout(std::time::Duration::from_millis(50), connecting).await;
        let is_full = taken.is_err();
        crowd.push(taken);
        is_full
    })
    .await;
    let answer = stage.client().get("/").await;
    assert_eq!(answer.error_code().as_deref(), Some("upstream_unreachable"));
}

/// Nothing that waits for Bitbucket waits on a worker.
#[tokio::test]
async fn one_worker_serves_everybody_while_bitbucket_hangs() {
    let stage = Stage::with(|settings| {
        settings.set("server.workers", "1");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "asmith").await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::Hang);
    let others = async {
        stage.bitbucket.wait_for(Call::TokenExchange, 2).await;
        for _ in 0..20 {
            assert_eq!(session.get("/bytes/3").await.body, pattern(3));
        }
        stage.bitbucket.faults(|it| it.exchange = TokenFault::None);
    };
    let (answer, ()) = tokio::join!(browser.get(&way_back), others);
    assert_eq!(answer.status, StatusCode::FOUND);
}
