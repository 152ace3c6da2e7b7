//! The PROXY protocol: who is believed, and who is then the client.

use crate::harness::tls::Certificate;
use crate::harness::wire::get;
use crate::harness::{Client, Settings, Stage, pattern};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const BY_PROXY: &[u8] = b"PROXY TCP4 9.8.7.6 10.0.0.1 4711 443\r\n";

async fn stage_with(change: impl FnOnce(&mut Settings)) -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.proxy_protocol", "true");
        settings.set("server.trusted_proxies", "[\"127.0.0.0/8\"]");
        change(settings);
    })
    .await
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [V2, &[command, family], &length, rest].concat()
}

/// Two addresses, and fields that nobody here knows.
fn v2_over_ipv6() -> Vec<u8> {
    let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    v2(0x21, 0x21, &[&source[..], &[0; 16], &[1, 2, 0, 80], &[4, 0, 3, 1, 2, 3]].concat())
}

/// What `CodeScan` is told of the client's address.
async fn told(stage: &Stage, client: &Client) -> String {
    let answer = client.get_with("/api/x", &[("x-forwarded-for", "6.6.6.6")]).await;
    assert_eq!(answer.status, 200);
    stage.received("/api/x").header("x-forwarded-for").expect("an address").to_owned()
}

#[tokio::test]
async fn the_announced_address_is_the_client() {
    let stage = stage_with(|_| {}).await;
    for (header, address) in [(BY_PROXY.to_vec(), "9.8.7.6"), (v2_over_ipv6(), "2001:db8::9")] {
        let client = stage.client().behind(&header);
        // Nobody trusts 9.8.7.6: what it says of others is not passed on.
        assert_eq!(told(&stage, &client).await, address);
        assert_eq!(told(&stage, &client.over_http2()).await, address);
        stage.proxy.wait_for_log(&["\"path\":\"/api/x\"", &format!("\"{address}\"")]).await;
    }
}

#[tokio::test]
async fn an_announced_proxy_is_trusted_if_its_address_is() {
    let stage = stage_with(|_| {}).await;
    let client = stage.client().behind("PROXY TCP4 127.0.0.9 10.0.0.1 4711 443\r\n");
    assert_eq!(told(&stage, &client).await, "6.6.6.6, 127.0.0.9");
}

#[tokio::test]
async fn a_proxy_that_speaks_for_itself_is_the_peer() {
    let stage = stage_with(|_| {}).await;
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, &[]), v2(0x21, 0, &[])] {
        assert_eq!(told(&stage, &stage.client().behind(header)).await, "6.6.6.6, 127.0.0.1");
    }
}

#[tokio::test]
async fn it_comes_before_tls() {
    let certificate = Certificate::new();
    let stage = stage_with(|settings| certificate.in_settings(settings)).await;
    let client = stage.client().behind(BY_PROXY).over_tls(&certificate.trusted());
    assert_eq!(told(&stage, &client).await, "9.8.7.6");
    assert_eq!(told(&stage, &client.over_http2()).await, "9.8.7.6");
    assert!(stage.client().over_tls(&certificate.trusted()).try_get("/api/x").await.is_err());
}

#[tokio::test]
async fn it_comes_by_a_unix_socket_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("proxy.sock");
    let stage = stage_with(|settings| {
        settings.text("server.listen", &format!("unix:{}", socket.display()));
        settings.set("server.trusted_proxies", "[\"unix\"]");
    })
    .await;
    assert_eq!(told(&stage, &stage.client().over(&socket).behind(BY_PROXY)).await, "9.8.7.6");
    assert!(stage.client().over(&socket).raw(get("/", "").as_bytes()).await.is_empty());
}

#[tokio::test]
async fn no_byte_after_it_is_lost_however_it_is_cut() {
    let stage = stage_with(|_| {}).await;
    let whole = [&v2_over_ipv6()[..], get("/bytes/3", "").as_bytes()].concat();
    for piece in [1, 13, 16, 58, 59, whole.len()] {
        let mut wire = stage.client().open().await;
        for piece in whole.chunks(piece) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(wire.answer().await.body, pattern(3), "in pieces of {piece}");
    }
}

#[tokio::test]
async fn without_one_or_with_a_broken_one_the_connection_is_closed() {
    let stage = stage_with(|settings| {
        settings.text("server.header_timeout", "1s");
    })
    .await;
    let request = get("/api/broken", "");
    for header in [
        b"".to_vec(),
        b"PROXY TCP4 9.8.7.6 10.0.0.1 4711\r\n".to_vec(),
        b"PROXY TCP4 9.8.7.6.5 10.0.0.1 4711 443\r\n".to_vec(),
        b"PROXY ".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 100][..], b"\r\n"].concat(),
        v2(0x21, 0x11, &[1; 5]),
        v2(0x31, 0x11, &[1; 12]),
        v2(0x21, 0x11, &[1; 5_000]),
        // Not all of it, and nothing more.
        v2(0x21, 0x11, &[1; 4_000])[..3_000].to_vec(),
        b"PROXY TCP4 9.8".to_vec(),
    ] {
        let mut wire = stage.client().open().await;
        let is_cut = header.len() == 3_000 || header.ends_with(b"9.8");
        let after = if is_cut { &b""[..] } else { request.as_bytes() };
        let _ = wire.try_send([&header[..], after].concat()).await;
        assert!(wire.rest().await.is_empty(), "{header:?}");
    }
    let silent = stage.client().open().await.rest().await;
    assert!(silent.is_empty());
    assert_eq!(stage.codescan.requests_to("/api/broken").len(), 0);
    assert_eq!(stage.client().behind(BY_PROXY).get("/bytes/3").await.body, pattern(3));
}

#[tokio::test]
async fn nobody_else_may_announce_anything() {
    let stage = stage_with(|settings| {
        settings.set("server.trusted_proxies", "[\"10.0.0.0/8\"]");
    })
    .await;
    for bytes in [[BY_PROXY, get("/api/x", "").as_bytes()].concat(), get("/api/x", "").into()] {
        let mut wire = stage.client().open().await;
        let _ = wire.try_send(bytes).await;
        assert!(wire.rest().await.is_empty());
    }
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}

#[tokio::test]
async fn while_it_is_off_a_header_is_no_request() {
    let stage = stage_with(|settings| {
        settings.set("server.proxy_protocol", "false");
    })
    .await;
    let said = stage.client().raw(&[BY_PROXY, get("/api/x", "").as_bytes()].concat()).await;
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
    assert_eq!(stage.codescan.requests_to("/api/x").len(), 0);
}
