//! Going down, coming back, TLS and socket files.

use crate::client::*;
use simulator::codescan::Tls;
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::Url;

#[tokio::test]
async fn a_stopped_server_refuses_and_comes_back_with_all_it_knew() {
    let bitbucket = bitbucket().await;
    let (access, _) = log_in(&bitbucket).await;
    let port = Url::parse(&bitbucket.url()).expect("a URL").port().expect("a port");
    bitbucket.stop().await.expect("a stop");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    bitbucket.resume().await.expect("the same port");
    assert_eq!(whoami(&bitbucket, &access).await.status, 200);
}

#[tokio::test]
async fn an_open_stream_ends_when_the_server_stops() {
    let codescan = Codescan::start(CodescanOptions::default()).await.expect("a port");
    let url = format!("{}/api/push/sonarlint_events", codescan.url());
    let stream = tokio::spawn(send(request("GET", &url, &[], "")));
    codescan.wait_for_event_streams(1).await;
    codescan.stop().await.expect("a stop");
    assert!(stream.await.expect("no panic").is_err());
    codescan.wait_for_event_streams(0).await;
}

#[tokio::test]
async fn tls_with_a_private_authority() {
    let options = BitbucketOptions { tls: true, ..BitbucketOptions::default() };
    let bitbucket = Bitbucket::start(options).await.expect("a port");
    let status = format!("{}/status", bitbucket.url());
    assert!(status.starts_with("https://localhost:"));
    let config = trusting(bitbucket.ca_pem()).with_no_client_auth();
    assert_eq!(over_tls(config, &status).await.expect("an answer"), 200);
}

#[tokio::test]
async fn mutual_tls_needs_a_certificate() {
    let options = CodescanOptions { tls: Tls::Mutual, ..CodescanOptions::default() };
    let codescan = Codescan::start(options).await.expect("a port");
    let url = format!("{}/api/server/version", codescan.url());
    let without = trusting(codescan.ca_pem()).with_no_client_auth();
    assert!(over_tls(without, &url).await.is_err());
    let identity = codescan.client_identity().expect("an identity");
    let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
    let with = trusting(codescan.ca_pem())
        .with_client_auth_cert(vec![chain.expect("a certificate")], key)
        .expect("a config");
    assert_eq!(over_tls(with, &url).await.expect("an answer"), 200);
}

#[tokio::test]
async fn a_socket_file() {
    let path = std::env::temp_dir().join(format!("simulator-{}.sock", std::process::id()));
    let unix_socket = Some(path.clone());
    let options = CodescanOptions { unix_socket, ..CodescanOptions::default() };
    let codescan = Codescan::start(options).await.expect("a socket");
    assert_eq!(codescan.url(), format!("unix:{}", path.display()));
    let stream = UnixStream::connect(&path).await.expect("a listener");
    let asked = request("GET", "http://localhost/api/server/version", &[], "");
    assert_eq!(exchange(stream, asked).await.expect("an answer").text(), "10.1.0");
    codescan.stop().await.expect("a stop");
    assert!(UnixStream::connect(&path).await.is_err());
}

type WantsClientCertificate = tokio_rustls::rustls::ConfigBuilder<
    ClientConfig,
    tokio_rustls::rustls::client::WantsClientCert,
>;

fn trusting(ca_pem: &str) -> WantsClientCertificate {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM");
    roots.add(ca).expect("a certificate");
    ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
}

async fn over_tls(config: ClientConfig, url: &str) -> Result<u16, Box<dyn std::error::Error>> {
    let parsed = Url::parse(url)?;
    let stream = TcpStream::connect(("127.0.0.1", parsed.port().unwrap_or(443))).await?;
    let name = parsed.host_str().unwrap_or_default().to_owned().try_into()?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(exchange(stream, request("GET", url, &[], "")).await?.status.as_u16())
}
