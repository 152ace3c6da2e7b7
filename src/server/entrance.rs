//! What happens to a connection before its first request: the PROXY protocol, TLS, and the
//! question which HTTP it speaks.
//!
//! All of it counts within `server.header_timeout`, which the worker's tick keeps.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::peer::Peer;
use super::proxy_protocol::{self, HeaderError};
use super::stream::{ClientStream, Rewound};
use super::worker::{Application, Registered};
use super::{http1, http2};
use crate::tls::ALPN_HTTP2;

/// How a connection has to begin.
pub struct Entrance {
    pub header: Header,
    /// TLS, if connections come in over it.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Whether a PROXY protocol header comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    None,
    Expected,
    /// It would have to, and this peer may not send one.
    Refused,
}

/// A connection that can be served.
struct Entered {
    stream: Rewound,
    peer: Peer,
    protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Why a connection is closed before its first request. Nobody is told but the log.
#[derive(Debug, thiserror::Error)]
enum EntranceError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("only server.trusted_proxies may connect while server.proxy_protocol is on")]
    Untrusted,
    #[error("no TLS came about: {0}")]
    Tls(io::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Serves a connection to its end.
pub(super) async fn serve<A: Application>(place: Registered<A>, stream: ClientStream, peer: Peer) {
    let worker = &place.worker;
    let _open = worker.metrics.hold(|worker| &worker.connections);
    let entrance = worker.application.entrance(peer);
    let entered = tokio::select! {
        entered = enter(entrance, stream, peer) => entered,
        // It has asked for nothing yet.
        _ = place.activity.wished() => return,
    };
    match entered {
        Ok(Entered { stream, peer, protocol: Protocol::Http1 }) => {
            http1::serve(&place, stream, peer).await;
            // A tunnel goes on without it.
            place.activity.gone().await;
        }
        Ok(Entered { stream, peer, protocol: Protocol::Http2 }) => {
            Box::pin(http2::serve(&place, stream, peer)).await;
        }
        Err(error) => tracing::debug!(peer = ?peer.address(), "a connection was closed: {error}"),
    }
}

async fn enter(
    entrance: Entrance,
    stream: ClientStream,
    peer: Peer,
) -> Result<Entered, EntranceError> {
    let mut stream = Rewound::new(stream);
    // Before TLS: whoever is in front speaks of the connection, not in it.
    let peer = match entrance.header {
        Header::None => peer,
        // Boxed, as is all that not every connection needs: its task stays as large.
        Header::Expected => Box::pin(proxy_protocol::read(&mut stream, peer)).await?,
        Header::Refused => return Err(EntranceError::Untrusted),
    };
    if let Some(config) = entrance.tls {
        let (stream, protocol) = Box::pin(shake_hands(config, stream)).await?;
        return Ok(Entered { stream, peer, protocol });
    }
    let protocol = first_spoken(&mut stream).await?;
    Ok(Entered { stream, peer, protocol })
}

/// TLS, and the protocol that was agreed on with it (RFC 7301).
async fn shake_hands(
    config: Arc<ServerConfig>,
    stream: Rewound,
) -> Result<(Rewound, Protocol), EntranceError> {
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => {
            let agreed = stream.get_ref().1.alpn_protocol();
            let protocol =
                if agreed == Some(ALPN_HTTP2) { Protocol::Http2 } else { Protocol::Http1 };
            Ok((Rewound::new(ClientStream::Tls(Box::new(stream))), protocol))
        }
        Err((error, mut stream)) => {
            // So that the alert which says why arrives.
            let _ = stream.shutdown().await;
            Err(EntranceError::Tls(error))
        }
    }
}

/// What a client with prior knowledge of HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes taken in at a time: as many as hyper would, so that an ordinary head costs no second
/// read.
const FIRST_READ: usize = 8 * 1024;

/// Tells from the first bytes, which are then the next to be read.
async fn first_spoken(stream: &mut Rewound) -> io::Result<Protocol> {
    // Who says nothing yet costs no memory.
    stream.readable().await?;
    let mut first = BytesMut::with_capacity(FIRST_READ);
    loop {
        let has_ended = stream.read_buf(&mut first).await? == 0;
        let known = first.len().min(PREFACE.len());
        if has_ended || known == PREFACE.len() || first[..known] != PREFACE[..known] {
            let is_http2 = first.starts_with(PREFACE);
            stream.put_back(first.freeze());
            return Ok(if is_http2 { Protocol::Http2 } else { Protocol::Http1 });
        }
    }
}
