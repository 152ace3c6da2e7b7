//! TLS on the public listener, and its certificate while connections are open.

use http::StatusCode;
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::command::run;
use crate::harness::tls::{Certificate, Tls};
use crate::harness::wire::get;
use crate::harness::{Settings, Stage, patiently, pattern, wait_until};

async fn stage_with(certificate: &Certificate, change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        certificate.in_settings(settings);
        settings.set("access.public", "[\"/**\"]");
        change(settings);
    })
    .await
}

/// Whether a new connection is shown a certificate that this client trusts.
async fn is_trusted(stage: &Stage, tls: &Tls) -> bool {
    stage.client().over_tls(tls).try_get("/bytes/1").await.is_ok()
}

/// How a handshake went, and a request after it: tickets come with the answer.
async fn shake_hands(stage: &Stage, tls: &Tls) -> HandshakeKind {
    let stream = stage.client().dial().await.expect("a connection");
    let mut stream = tls.shake_hands(stream, &[b"http/1.1"]).await.expect("a handshake");
    let request = get("/bytes/1", "Connection: close\r\n");
    stream.write_all(request.as_bytes()).await.expect("it listens");
    let mut answer = Vec::new();
    patiently("an answer", stream.read_to_end(&mut answer)).await.expect("a clean end");
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    stream.get_ref().1.handshake_kind().expect("it is done")
}

#[tokio::test]
async fn a_person_signs_in_over_tls_with_either_http() {
    let certificate = Certificate::new();
    let stage = Stage::with(|settings| certificate.in_settings(settings)).await;
    for (http2, path) in [(false, "/projects"), (true, "/issues")] {
        let mut browser = stage.browser().by(|client| {
            let client = client.over_tls(&certificate.trusted());
            if http2 { client.over_http2() } else { client }
        });
        let page = browser.log_in_at(&format!("{path}?q=1"), "jcitizen").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        assert!(browser.cookie("__Host-codescan_session").is_some());
        let received = stage.received(path);
        assert_eq!(received.query(), Some("q=1"));
        assert!(received.header("authorization").is_some());
        let told = [&format!("\"path\":\"{path}\""), "\"status\":200"];
        let line = stage.proxy.wait_for_log(&told).await;
        assert_eq!(line.contains("HTTP/2"), http2, "{line}");
    }
}

#[tokio::test]
async fn alpn_picks_the_protocol() {
    let certificate = Certificate::new();
    let stage = stage_with(&certificate, |_| {}).await;
    for (asked, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = stage.client().dial().await.expect("a connection");
        let stream = certificate.trusted().shake_hands(stream, asked).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    let stream = stage.client().dial().await.expect("a connection");
    let spoken = certificate.trusted().shake_hands(stream, &[b"spdy/3"]).await;
    assert!(spoken.is_err(), "RFC 7301 §3.2: no protocol in common is an alert");
}

#[tokio::test]
async fn sessions_are_resumed_by_every_worker() {
    let certificate = Certificate::new();
    let stage = stage_with(&certificate, |settings| {
        settings.set("server.workers", "4");
    })
    .await;
    for versions in [[&rustls::version::TLS13], [&rustls::version::TLS12]] {
        let tls = certificate.trusted_by(&versions);
        assert_eq!(shake_hands(&stage, &tls).await, HandshakeKind::Full);
        for _ in 0..8 {
            assert_eq!(shake_hands(&stage, &tls).await, HandshakeKind::Resumed);
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let mut certificate = Certificate::new();
    let stage = stage_with(&certificate, |_| {}).await;
    let old = certificate.trusted();
    let mut open = stage.client().over_tls(&old).open().await;
    assert_eq!(open.get("/bytes/3", "").await.body, pattern(3));
    open.send(get("/slow?ms=3000", "")).await;
    certificate.renew();
    let new = certificate.trusted();
    // Nobody told it: it looks at the files by itself.
    wait_until("the new certificate", async || is_trusted(&stage, &new).await).await;
    assert!(!is_trusted(&stage, &old).await);
    assert_eq!(open.answer().await.text(), "At last.\n");
    assert_eq!(open.get("/bytes/3", "").await.body, pattern(3));
}

#[tokio::test]
async fn a_hangup_reads_it_again_and_a_wrong_one_is_reported() {
    let mut certificate = Certificate::new();
    let mut stage = stage_with(&certificate, |_| {}).await;
    let old = certificate.trusted();
    certificate.spoil("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    stage.proxy.signal("HUP");
    let told = ["server.tls_certificate_file", "tls.crt", "the old ones stay in force"];
    stage.proxy.wait_for_log(&told).await;
    assert!(is_trusted(&stage, &old).await);
    certificate.renew();
    stage.proxy.reload(|_| {}).await;
    assert!(is_trusted(&stage, &certificate.trusted()).await);
}

#[tokio::test]
async fn a_wrong_certificate_is_a_fault_for_serve_and_check() {
    let stage = Stage::set().await;
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    settings.text("server.public_url", "https://codescan.example");
    settings.text("server.listen", "127.0.0.1:0").text("admin.listen", "127.0.0.1:0");
    certificate.in_settings(&mut settings);
    assert_eq!(run(&settings, &["check"]).code, Some(0));
    settings.text("server.tls_key_file", other.key_file().to_str().expect("text"));
    for command in ["check", "serve"] {
        let ended = run(&settings, &[command]);
        assert_eq!(ended.code, Some(78), "{command}: {}", ended.stderr);
        let told = "server.tls_certificate_file or server.tls_key_file: the key in ";
        assert!(ended.stderr.contains(told), "{command}: {}", ended.stderr);
    }
    settings.remove("server.tls_key_file");
    let ended = run(&settings, &["check"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("is of no use without server.tls_key_file"), "{}", ended.stderr);
}

#[tokio::test]
async fn what_is_no_handshake_is_closed_and_others_do_not_notice() {
    let certificate = Certificate::new();
    let stage = stage_with(&certificate, |settings| {
        settings.text("server.header_timeout", "1s");
    })
    .await;
    let plain = stage.client().raw(get("/bytes/1", "").as_bytes()).await;
    assert!(!plain.starts_with(b"HTTP/"), "nothing in plain text");
    let mut silent = stage.client().open().await;
    let mut halting = stage.client().open().await;
    halting.send(b"\x16\x03\x01\x02\x00\x01").await;
    let mut mute = stage.client().over_tls(&certificate.trusted()).open().await;
    for wire in [&mut silent, &mut halting, &mut mute] {
        assert!(wire.is_closed().await);
    }
    assert!(is_trusted(&stage, &certificate.trusted()).await);
}

#[tokio::test]
async fn ten_megabytes_go_through_both_ways() {
    let certificate = Certificate::new();
    let stage = stage_with(&certificate, |_| {}).await;
    let big = pattern(10_000_000);
    for client in [
        stage.client().over_tls(&certificate.trusted()),
        stage.client().over_tls(&certificate.trusted()).over_http2(),
    ] {
        assert_eq!(client.get("/bytes/10000000").await.body, big);
        let answer = client.send(http::Method::POST, "/api/ce/submit", &[], big.clone()).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        let received = stage.received("/api/ce/submit");
        assert_eq!(received.body_sha256.as_deref(), Some(&*crate::harness::sha256(&big)));
    }
}
