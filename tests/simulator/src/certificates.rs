//! A private certificate authority, made anew for each double that speaks TLS.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::error::Error;
use std::io;
use std::sync::Arc;

/// Signs the double's own certificate and, where clients must show one, theirs.
pub(crate) struct PrivateCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

impl PrivateCa {
    /// A new authority, unknown to everybody.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate, for those who shall trust it.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a client.
    pub(crate) fn client_identity(&self, name: &str) -> io::Result<Identity> {
        self.identity(&[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn identity(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> io::Result<Identity> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// TLS for a server on loopback.
    pub(crate) fn server(&self, clients: Clients, http2: bool) -> io::Result<Arc<ServerConfig>> {
        let names = ["localhost", "127.0.0.1", "::1"];
        let identity = self.identity(&names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let chain = vec![
            CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).map_err(failed)?,
        ];
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(failed)?;
        // Named here, not installed: the process-wide provider is the program's to choose.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match clients {
            Clients::Anyone => builder.with_no_client_auth(),
            Clients::WithCertificate => {
                let roots = Arc::new(self.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(failed)?;
        config.alpn_protocols = alpn(http2);
        Ok(Arc::new(config))
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).map_err(failed)?;
        roots.add(own).map_err(failed)?;
        Ok(roots)
    }
}

/// Who may connect.
#[derive(Clone, Copy)]
pub(crate) enum Clients {
    Anyone,
    WithCertificate,
}

fn alpn(http2: bool) -> Vec<Vec<u8>> {
    let h2 = http2.then(|| b"h2".to_vec());
    h2.into_iter().chain([b"http/1.1".to_vec()]).collect()
}

fn failed(cause: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(cause)
}
