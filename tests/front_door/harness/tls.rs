//! The proxy's certificate, and clients that trust it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::proxy::Settings;
use super::wire::Duplex;

/// A certificate and its key, in two files that a test may change.
pub struct Certificate {
    folder: TempDir,
    pub pem: String,
}

impl Certificate {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        let mut certificate = Self { folder, pem: String::new() };
        certificate.renew();
        certificate
    }

    /// Another certificate with another key in the same files.
    pub fn renew(&mut self) {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        self.pem = made.cert.pem();
        self.put(&self.file(), &self.pem);
        self.put(&self.key_file(), &made.signing_key.serialize_pem());
    }

    /// Something else in the certificate's file.
    pub fn spoil(&self, content: &str) {
        self.put(&self.file(), content);
    }

    fn put(&self, file: &PathBuf, content: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, content).expect("written");
        fs::rename(new, file).expect("put in place");
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// To be shown by the proxy.
    pub fn in_settings(&self, settings: &mut Settings) {
        settings.text("server.tls_certificate_file", self.file().to_str().expect("text"));
        settings.text("server.tls_key_file", self.key_file().to_str().expect("text"));
    }

    /// One who trusts it as it is now, and nothing else.
    pub fn trusted(&self) -> Tls {
        self.trusted_by(rustls::DEFAULT_VERSIONS)
    }

    /// The same with these versions only.
    pub fn trusted_by(&self, versions: &[&'static SupportedProtocolVersion]) -> Tls {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(own).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Tls(config)
    }
}

/// A client's TLS. Clones remember sessions together.
#[derive(Clone)]
pub struct Tls(ClientConfig);

impl Tls {
    /// Shakes hands, and asks for one of these protocols.
    pub async fn shake_hands(
        &self,
        stream: Box<dyn Duplex>,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<Box<dyn Duplex>>> {
        let mut config = self.0.clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}
