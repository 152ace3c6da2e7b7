//! The public listener: a TCP address or a unix socket, shared by all workers.
//!
//! One listening socket for all: with a socket for each (`SO_REUSEPORT`) the few long-lived
//! connections of an ingress would be placed by hash, and one worker could get most of them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::peer::Peer;
use super::stream::ClientStream;
use crate::config::settings::{ListenAddress, Server};

/// Connections that the kernel holds for us until a worker takes them.
const BACKLOG: i32 = 1024;

/// A bound socket, before a runtime has it.
pub enum Bound {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener),
}

/// A worker's handle of the socket.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds what `server.listen` says.
pub fn bind(server: &Server) -> io::Result<Bound> {
    match &server.listen {
        ListenAddress::Tcp(address) => bind_tcp(*address).map(Bound::Tcp),
        ListenAddress::Unix(path) => bind_unix(path, server.socket_mode).map(Bound::Unix),
    }
}

/// With `SO_REUSEADDR`, so that a restart need not wait for old connections to be forgotten.
pub fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket file that nobody listens on any more is replaced, a live one is not.
fn bind_unix(path: &Path, mode: u32) -> io::Result<StdUnixListener> {
    if is_stale(path) {
        fs::remove_file(path)?;
    }
    let listener = StdUnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && StdUnixStream::connect(path).is_err_and(refused)
}

impl Bound {
    /// Another handle of the same socket, for one more worker.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Where it listens, the port that the system chose included.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |it| it.to_string())
            }
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                format!("unix:{}", path.unwrap_or(Path::new("")).display())
            }
        }
    }

    /// To be called on the worker's runtime.
    pub fn into_listener(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
        })
    }
}

impl Listener {
    /// The next connection. May be dropped without losing one.
    pub async fn accept(&self) -> io::Result<(ClientStream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Refused only on a connection that is gone already.
                let _ = stream.set_nodelay(true);
                Ok((ClientStream::Tcp(stream), Peer::Ip(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((ClientStream::Unix(stream), Peer::Unix))
            }
        }
    }
}
