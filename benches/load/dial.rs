//! Connections, plain or TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::Result;
use crate::plan::Plan;

/// Any stream of bytes.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub type Stream = Box<dyn Io>;

/// Opens connections to one address.
#[derive(Clone)]
pub struct Dialer {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Dialer {
    pub fn new(plan: &Plan) -> Result<Self> {
        let address = plan.authority().parse()?;
        let tls = plan.is_secure().then(|| connector(plan)).transpose()?;
        Ok(Self { address, tls })
    }

    pub async fn dial(&self) -> Result<Stream> {
        let tcp = self.connect().await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::IpAddress(IpAddr::from(self.address.ip()));
        Ok(Box::new(tls.connect(name, tcp).await?))
    }

    /// From ever another loopback address: with a connection for each request the ports of one
    /// would all be waiting (`TIME_WAIT`) after some seconds.
    async fn connect(&self) -> Result<TcpStream> {
        static LAST: AtomicU8 = AtomicU8::new(0);
        let from = Ipv4Addr::new(127, 0, 1, LAST.fetch_add(1, Ordering::Relaxed).max(1));
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Every handshake is a full one.
fn connector(plan: &Plan) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let file = plan.ca.as_ref().ok_or("https without ca=")?;
    roots.add(CertificateDer::from_pem_file(file)?)?;
    let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let protocol: &[u8] = if plan.streams > 0 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
