//! Reaching `CodeScan`: over TCP, TLS or a unix socket.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::settings::CodescanUrl;

/// Where `CodeScan` is. Two requests may share a connection only if they share the target.
pub enum Target {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
    Unix(PathBuf),
}

impl Target {
    /// `tls` is asked for only where the address is an https one.
    pub fn new(url: &CodescanUrl, tls: Arc<ClientConfig>) -> Result<Self, ConnectError> {
        Ok(match url {
            CodescanUrl::Http { host, port, .. } => Self::Tcp { host: host.clone(), port: *port },
            CodescanUrl::Https { host, port, .. } => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare).map_err(|_| ConnectError::Name)?;
                Self::Tls { host: host.clone(), port: *port, name, config: tls }
            }
            CodescanUrl::Unix(path) => Self::Unix(path.clone()),
        })
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

/// Connects, name resolution and TLS handshake included, within `limit`.
pub async fn connect(target: &Target, limit: Duration) -> Result<Stream, ConnectError> {
    timeout(limit, open(target)).await.map_err(|_| ConnectError::Timeout(limit))?
}

async fn open(target: &Target) -> Result<Stream, ConnectError> {
    Ok(match target {
        Target::Tcp { host, port } => Stream::Tcp(tcp(host, *port).await?),
        Target::Tls { host, port, name, config } => {
            let connector = TlsConnector::from(Arc::clone(config));
            let stream = connector.connect(name.clone(), tcp(host, *port).await?).await?;
            Stream::Tls(Box::new(stream))
        }
        Target::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
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
