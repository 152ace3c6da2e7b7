//! The one place that makes rustls configurations, and reads the PEM files they are made of.
//!
//! It knows nothing of who connects to whom: files in, a configuration out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

/// Why a configuration could not be made. Each names the file and what to look at in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is damaged PEM: {why}", file.display())]
    DamagedPem { file: PathBuf, why: String },
    #[error("no PEM certificate found in {}", file.display())]
    NoCertificate { file: PathBuf },
    /// `number` counts from 1.
    #[error("certificate {number} in {} cannot be used: {why}", file.display())]
    BadCertificate { file: PathBuf, number: usize, why: rustls::Error },
    #[error("no unencrypted PEM private key found in {}", file.display())]
    NoKey { file: PathBuf },
    #[error("the private key in {} cannot be used: {why}", file.display())]
    BadKey { file: PathBuf, why: rustls::Error },
    #[error("the key in {} does not match the certificate in {}", key.display(), certificate.display())]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
    #[error("no keys for session tickets could be made: {0}")]
    NoTickets(rustls::Error),
}

/// A configuration for connecting out: the system's roots and those in `extra_ca` are trusted,
/// and `identity` (certificate chain file, key file) is shown to a server that asks for one.
/// Sessions are resumed as long as the same configuration is used. Blocks: it reads files; but
/// the system's roots, some hundred of them, only where something is `used` over TLS.
pub fn client_config(
    used: bool,
    extra_ca: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots(used, extra_ca)?);
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    builder
        .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|why| identity_error(why, certificate, key))
}

/// Every root that [`client_config`] would trust, as PEM, for a client that makes its
/// configuration itself and takes our provider from the process; `None` where the system has
/// none and no file adds one. Blocks: it reads files.
pub fn trusted_pem(extra_ca: Option<&Path>) -> Result<Option<Vec<u8>>, TlsError> {
    // Already set is as good: there is no other provider in the program.
    let _ = aws_lc_rs::default_provider().install_default();
    let mut trusted = rustls_native_certs::load_native_certs().certs;
    let mut usable = RootCertStore::empty();
    trusted.retain(|certificate| usable.add(certificate.clone()).is_ok());
    if let Some(file) = extra_ca {
        roots(false, extra_ca)?;
        trusted.extend(certificates(file)?);
    }
    let pem: String = trusted.iter().map(|certificate| to_pem(certificate)).collect();
    Ok((!pem.is_empty()).then(|| pem.into_bytes()))
}

/// RFC 7468 §2.
fn to_pem(certificate: &[u8]) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for start in (0..text.len()).step_by(LINE) {
        pem.push_str(&text[start..text.len().min(start + LINE)]);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What a client that speaks HTTP/2 asks for while it shakes hands (RFC 9113 §3.2).
pub const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// A configuration for those who connect: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
///
/// Sessions are resumed by tickets (RFC 8446 §2.2), whose keys live and rotate with this
/// configuration, so nothing is stored for a client that has left. Blocks: it reads files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|why| identity_error(why, certificate, key))?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::NoTickets)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Passed by hand everywhere, so that no process-wide default is needed or missed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(used: bool, extra_ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = if used { system_roots() } else { RootCertStore::empty() };
    let Some(file) = extra_ca else { return Ok(roots) };
    for (index, certificate) in certificates(file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|why| TlsError::BadCertificate {
            file: file.to_owned(),
            number: index + 1,
            why,
        })?;
    }
    Ok(roots)
}

/// The system's roots; Mozilla's where the system has none at all, as in an image from scratch.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a system root certificate was left out");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!("the system has no root certificates; using the built-in ones");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// All certificates of a PEM file, in its order; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(file)?;
    let found = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| damaged(file, &why))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { file: file.to_owned() });
    }
    Ok(found)
}

/// The first private key of a PEM file: PKCS#8, PKCS#1 or SEC1.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|why| match why {
        pem::Error::NoItemsFound => TlsError::NoKey { file: file.to_owned() },
        why => damaged(file, &why),
    })
}

/// Wiped after use: it may hold a key.
fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(file)
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

fn damaged(file: &Path, why: &pem::Error) -> TlsError {
    // Said in our words: the parser's may quote the line it stumbled over, which may be a key.
    let why = match why {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be parsed",
    };
    TlsError::DamagedPem { file: file.to_owned(), why: why.to_owned() }
}

fn identity_error(why: rustls::Error, certificate: &Path, key: &Path) -> TlsError {
    match why {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
        }
        rustls::Error::InvalidCertificate(_) => {
            TlsError::BadCertificate { file: certificate.to_owned(), number: 1, why }
        }
        why => TlsError::BadKey { file: key.to_owned(), why },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for the test")
    }

    fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["proxy.example.com".to_owned()])
            .expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn an_extra_authority_is_added_to_those_of_the_system() {
        let folder = folder();
        let ca = file(&folder, "ca.pem", &pair().0);
        let before = roots(true, None).expect("roots").len();
        assert!(before > 0, "without system roots the built-in ones are used");
        assert_eq!(roots(true, Some(&ca)).expect("roots").len(), before + 1);
        assert_eq!(roots(false, Some(&ca)).expect("roots").len(), 1);
        client_config(true, Some(&ca), None).expect("a configuration");
    }

    #[test]
    fn an_identity_is_a_certificate_and_its_own_key() {
        let folder = folder();
        let (certificate, key) = pair();
        let certificate = file(&folder, "cert.pem", &certificate);
        let own = file(&folder, "own.pem", &key);
        let other = file(&folder, "other.pem", &pair().1);
        client_config(true, None, Some((&certificate, &own))).expect("a configuration");
        let error =
            client_config(true, None, Some((&certificate, &other))).expect_err("not its key");
        assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
    }

    #[test]
    fn a_server_shows_a_certificate_that_it_has_the_key_of() {
        let folder = folder();
        let (certificate, key) = pair();
        let certificate = file(&folder, "cert.pem", &certificate);
        let key = file(&folder, "own.pem", &key);
        let config = server_config(&certificate, &key).expect("a configuration");
        assert!(config.ticketer.enabled());
        let other = file(&folder, "other.pem", &pair().1);
        let error = server_config(&certificate, &other).expect_err("not its key");
        assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
        let error = server_config(&key, &key).expect_err("no certificate");
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    }

    #[test]
    fn trusted_roots_survive_being_written_as_pem() {
        let folder = folder();
        let file = file(&folder, "ca.pem", &pair().0);
        let pem = trusted_pem(Some(&file)).expect("readable").expect("at least ours");
        let written = folder.path().join("written.pem");
        fs::write(&written, pem).expect("written");
        let own = certificates(&file).expect("ours");
        assert_eq!(certificates(&written).expect("PEM").last(), own.last());
        assert!(trusted_pem(Some(&folder.path().join("absent"))).is_err());
    }

    #[test]
    fn a_fault_names_the_file_and_what_is_wrong_with_it() {
        let folder = folder();
        let (certificate, key) = pair();
        let cut = certificate.split_once("-----END").expect("PEM").0;
        let not_base64 = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (name, content, expected) in [
            ("empty.pem", "", "no PEM certificate found in"),
            ("key.pem", key.as_str(), "no PEM certificate found in"),
            ("cut.pem", cut, "has no END line"),
            ("base64.pem", not_base64, "is not base64"),
            ("x509.pem", not_x509, "certificate 1 in"),
        ] {
            let error = client_config(true, Some(&file(&folder, name, content)), None)
                .expect_err(name)
                .to_string();
            assert!(error.contains(expected) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_fault_of_the_key_names_the_key_file() {
        let folder = folder();
        let certificate = file(&folder, "cert.pem", &pair().0);
        let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (content, expected) in [
            ("", "no unencrypted PEM private key"),
            (encrypted, "no unencrypted PEM private key"),
            (not_a_key, "cannot be used"),
        ] {
            let key = file(&folder, "the.key", content);
            let error = client_config(true, None, Some((&certificate, &key)))
                .expect_err(expected)
                .to_string();
            assert!(error.contains(expected) && error.contains("the.key"), "{error}");
        }
        let error = client_config(true, None, Some((&certificate, &folder.path().join("absent"))))
            .expect_err("absent");
        assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
    }
}
