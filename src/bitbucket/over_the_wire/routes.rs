//! Ways to Bitbucket: TLS with a private authority, outbound proxies.

use http::StatusCode;
use hyper_util::client::proxy::matcher::Matcher;

use super::{TOKENS, cause, exchange, has_field, target};
use crate::bitbucket::testing::{Authority, Proxy, Server, client, json, settings};
use crate::bitbucket::{Cause, Client, ProxyFault};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

/// Settings for a Bitbucket whose certificate this authority signed, and the file that holds it.
fn trusting(authority: &Authority, base: &str) -> (Bitbucket, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority.pem()).expect("written");
    let ca_file = Some(file.path().to_owned());
    (Bitbucket { ca_file, ..settings(base) }, file)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.acceptor("localhost"), [json(200, "", TOKENS)]).await;
    let (settings, _file) = trusting(&authority, &server.https_base());
    exchange(&client(&settings)).await.expect("tokens");
}

#[tokio::test]
async fn an_unknown_authority_is_told_from_a_wrong_name() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.acceptor("localhost"), []).await;
    let unknown = cause(exchange(&client(&settings(&server.https_base()))).await.expect_err("no"));
    assert!(matches!(unknown, Cause::Untrusted { .. }), "{unknown}");
    assert!(unknown.to_string().contains("bitbucket.ca_file"), "{unknown}");

    let server = Server::start_tls(authority.acceptor("example.com"), []).await;
    let (settings, _file) = trusting(&authority, &server.https_base());
    let wrong_name = cause(exchange(&client(&settings)).await.expect_err("another name"));
    assert!(matches!(wrong_name, Cause::Tls { .. }), "{wrong_name}");
    assert!(wrong_name.nothing_was_sent() && unknown.nothing_was_sent());
}

#[tokio::test]
async fn https_goes_through_a_tunnel_of_the_proxy() {
    let (authority, proxy) = (Authority::new(), Proxy::start(200).await);
    let server = Server::start_tls(authority.acceptor("localhost"), [json(200, "", TOKENS)]).await;
    let (mut settings, _file) = trusting(&authority, &server.https_base());
    settings.proxy_url = Some(Secret::new(format!("http://me:p%40ss@{}", proxy.address)));
    exchange(&Client::new(&settings).expect("usable")).await.expect("tokens");

    let connect = &proxy.requests()[0];
    let authority = format!("localhost:{}", server.address.port());
    assert_eq!(target(connect), format!("CONNECT {authority}"));
    assert!(has_field(connect, &format!("host: {authority}")), "{connect}");
    assert!(has_field(connect, "proxy-authorization: Basic bWU6cEBzcw=="), "{connect}");
    let request = &server.requests()[0];
    assert_eq!(target(request), "POST /rest/oauth2/latest/token");
    assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_from_bitbucket() {
    for (status, expected) in
        [(407, ProxyFault::Credentials), (502, ProxyFault::Refused(StatusCode::BAD_GATEWAY))]
    {
        let proxy = Proxy::start(status).await;
        let mut settings = settings("https://bitbucket.example.com");
        settings.proxy_url = Some(Secret::new(format!("http://me:s3cr3t@{}", proxy.address)));
        let client = Client::new(&settings).expect("usable");
        let cause = cause(exchange(&client).await.expect_err("refused"));
        assert_eq!(cause, Cause::Proxy(expected));
        assert!(cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn plain_http_is_handed_to_the_proxy_whole() {
    let proxy = Server::start([json(200, "", TOKENS)]).await;
    let mut settings = settings("http://bitbucket.example.com:7990");
    settings.proxy_url = Some(Secret::new(format!("http://me:pw@{}", proxy.address)));
    exchange(&Client::new(&settings).expect("usable")).await.expect("tokens");
    let request = &proxy.requests()[0];
    let expected = "POST http://bitbucket.example.com:7990/rest/oauth2/latest/token";
    assert_eq!(target(request), expected);
    assert!(has_field(request, "host: bitbucket.example.com:7990"), "{request}");
    assert!(has_field(request, "proxy-authorization: Basic bWU6cHc="), "{request}");
}

#[tokio::test]
async fn what_no_proxy_names_is_asked_straight() {
    let server = Server::start([json(200, "", TOKENS)]).await;
    let proxies = Matcher::builder().all("http://127.0.0.1:1").no("127.0.0.1").build();
    let client = Client::behind(proxies, &settings(&server.base())).expect("usable");
    exchange(&client).await.expect("tokens");
}
