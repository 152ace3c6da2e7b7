//! Reaching `CodeScan`: over TCP, TLS or a unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::settings::CodescanUrl;

/// Where `CodeScan` is. Two requests may share a connection only if they share the target.
pub struct Target {
    way: Way,
    /// `codescan.http2`.
    http2: bool,
    /// Asked for HTTP/2 over TLS, it chose HTTP/1.1.
    chose_http1: AtomicBool,
}

enum Way {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
    Unix(PathBuf),
}

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

impl Target {
    /// `tls` is asked for only where the address is an https one.
    pub fn new(
        url: &CodescanUrl,
        tls: Arc<ClientConfig>,
        http2: bool,
    ) -> Result<Self, ConnectError> {
        let way = match url {
            CodescanUrl::Http { host, port, .. } => Way::Tcp { host: host.clone(), port: *port },
            CodescanUrl::Https { host, port, .. } => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare).map_err(|_| ConnectError::Name)?;
                Way::Tls { host: host.clone(), port: *port, name, config: tls }
            }
            CodescanUrl::Unix(path) => Way::Unix(path.clone()),
        };
        Ok(Self { way, http2, chose_http1: AtomicBool::new(false) })
    }

    /// What a request goes out in. One that asks for another protocol needs HTTP/1.1
    /// (RFC 9113 §8.6).
    pub fn protocol(&self, upgrades: bool) -> Protocol {
        let is_shared = self.http2 && !upgrades && !self.chose_http1.load(Ordering::Relaxed);
        if is_shared { Protocol::Http2 } else { Protocol::Http1 }
    }

    /// `:scheme` (RFC 9113 §8.3.1).
    pub fn scheme(&self) -> Scheme {
        if matches!(self.way, Way::Tls { .. }) { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Which protocols to offer (RFC 7301): none but where HTTP/2 is wanted, as ever.
    fn offers(&self, upgrades: bool) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match (self.http2, upgrades) {
            (false, _) => &[],
            (true, false) => &[H2, HTTP_11],
            (true, true) => &[HTTP_11],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no connection: {0}")]
    Io(#[from] io::Error),
    #[error("no connection within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("the host of codescan.url cannot stand in a certificate")]
    Name,
    #[error("no HTTP connection: {0}")]
    Http(String),
}

/// Connects, name resolution and TLS handshake included. Says which protocol was agreed on.
pub async fn connect(target: &Target, upgrades: bool) -> Result<(Stream, Protocol), ConnectError> {
    let known = target.protocol(upgrades);
    Ok(match &target.way {
        Way::Tcp { host, port } => (Stream::Tcp(tcp(host, *port).await?), known),
        Way::Unix(path) => (Stream::Unix(UnixStream::connect(path).await?), known),
        Way::Tls { host, port, name, config } => {
            let connector = TlsConnector::from(Arc::clone(config));
            let connector = connector.with_alpn(target.offers(upgrades));
            let stream = connector.connect(name.clone(), tcp(host, *port).await?).await?;
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            if !upgrades {
                target.chose_http1.store(!is_h2, Ordering::Relaxed);
            }
            let agreed = if is_h2 { Protocol::Http2 } else { Protocol::Http1 };
            (Stream::Tls(Box::new(stream)), agreed)
        }
    })
}

/// Names are looked up on the runtime's blocking threads, not on the worker's own.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection of one of the three kinds.
pub enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

macro_rules! each_kind {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each_kind!(self, inner => Pin::new(inner).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each_kind!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_kind!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_kind!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each_kind!(self, inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Tls(inner) => inner.is_write_vectored(),
            Self::Unix(inner) => inner.is_write_vectored(),
        }
    }
}
