//! The public listener: a TCP address or a unix socket, shared by all workers.
//!
//! One listening socket for all: with a socket for each (`SO_REUSEPORT`) the few long-lived
//! connections of an ingress would be placed by hash, and one worker could get most of them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::peer::Peer;
use super::stream::ClientStream;
use crate::config::settings::{ListenAddress, Server};

/// Connections that the kernel holds for us until a worker takes them.
const BACKLOG: i32 = 1024;

/// How long a client may take not one byte of what waits for it. The kernel measures it, and only
/// while something waits: it alone sees a slow line move.
const STUCK_AT_MOST: Duration = Duration::from_mins(1);

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
    inherited_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What each connection has from the listening socket, without a system call of its own.
fn inherited_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(STUCK_AT_MOST))
}

/// A socket file that nobody listens on any more is replaced, a live one is not.
fn bind_unix(path: &Path, mode: u32) -> io::Result<StdUnixListener> {
    if is_stale(path) {
        fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before it listens: until then nobody can connect, whatever the umask lets them.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
                Ok((ClientStream::Tcp(stream), Peer::Ip(address.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((ClientStream::Unix(stream), Peer::Unix))
            }
        }
    }

    /// Whether a client waits in the kernel's queue to be accepted.
    pub fn has_waiting(&self) -> bool {
        let mut waiting = [PollFd::new(self, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[tokio::test]
    async fn connections_inherit_what_the_listener_was_told() {
        let listener = bind_tcp(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Bound::Tcp(listener).into_listener().unwrap();
        assert!(!listener.has_waiting());
        let _client = tokio::net::TcpStream::connect(address).await.unwrap();
        assert!(listener.has_waiting());
        let (ClientStream::Tcp(stream), _) = listener.accept().await.unwrap() else {
            panic!("not TCP")
        };
        assert!(!listener.has_waiting());
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(STUCK_AT_MOST));
    }
}
