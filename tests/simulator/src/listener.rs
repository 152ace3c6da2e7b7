//! Sockets: listening, TLS, going down and coming back on the same port.

use crate::answer::Answer;
use crate::wire::{Seen, Tap};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What answers a request.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// How connections are to be served.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) handler: Handler,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) http2: bool,
}

/// Where to listen.
pub(crate) enum Place {
    /// On loopback; port 0 takes a free one.
    Tcp(u16),
    /// On a socket file.
    Unix(PathBuf),
}

/// A server that can be stopped and resumed.
pub(crate) struct Listener {
    place: Place,
    service: Service,
    acceptors: Mutex<JoinSet<()>>,
    connections: Connections,
    /// While stopped: bound but not listening, so that the port refuses and nobody else takes it.
    reserved: Mutex<Vec<TcpSocket>>,
}

/// The tasks of open connections. Every request carries it in its extensions, so that what
/// outlives the HTTP exchange (an upgraded connection) is closed with the rest.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<JoinSet<()>>>);

impl Listener {
    /// Starts to listen.
    pub(crate) fn start(place: Place, service: Service) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let place = match place {
            Place::Tcp(port) => {
                sockets = bind(port)?;
                let bound = sockets.first().map_or(Ok(port), |one| Ok(one.local_addr()?.port()));
                Place::Tcp(bound.map_err(|error: io::Error| error)?)
            }
            unix @ Place::Unix(_) => unix,
        };
        let listener = Self {
            place,
            service,
            acceptors: Mutex::default(),
            connections: Connections::default(),
            reserved: Mutex::new(sockets),
        };
        listener.resume()?;
        Ok(listener)
    }

    /// The TCP port; 0 on a socket file.
    pub(crate) fn port(&self) -> u16 {
        match self.place {
            Place::Tcp(port) => port,
            Place::Unix(_) => 0,
        }
    }

    /// Refuses new connections and closes those that are open.
    pub(crate) async fn stop(&self) -> io::Result<()> {
        // Acceptors first: one that still ran could open a connection behind our back.
        let mut acceptors = std::mem::take(&mut *lock(&self.acceptors));
        acceptors.shutdown().await;
        self.connections.close().await;
        match &self.place {
            Place::Tcp(port) => *lock(&self.reserved) = bind(*port)?,
            Place::Unix(path) => std::fs::remove_file(path)?,
        }
        Ok(())
    }

    /// Listens again, at the same place.
    pub(crate) fn resume(&self) -> io::Result<()> {
        let mut acceptors = lock(&self.acceptors);
        if let Place::Unix(path) = &self.place {
            let listener = UnixListener::bind(path)?;
            let (service, connections) = (self.service.clone(), self.connections.clone());
            acceptors.spawn(async move {
                loop {
                    // A connection that is gone before it is accepted is nobody's loss.
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    connections.spawn(serve(stream, service.clone(), connections.clone()));
                }
            });
        }
        for socket in std::mem::take(&mut *lock(&self.reserved)) {
            let listener = socket.listen(1024)?;
            acceptors.spawn(accept(listener, self.service.clone(), self.connections.clone()));
        }
        Ok(())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.acceptors).abort_all();
        lock(&self.connections.0).abort_all();
    }
}

impl Connections {
    /// Runs `task` until it ends or the server stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.0);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn close(&self) {
        // Again until none is left: a connection may spawn one more while it is being closed.
        loop {
            let mut tasks = std::mem::take(&mut *lock(&self.0));
            if tasks.is_empty() {
                return;
            }
            tasks.shutdown().await;
        }
    }
}

/// 127.0.0.1, and `::1` where that is free, on the same port.
fn bind(port: u16) -> io::Result<Vec<TcpSocket>> {
    let v4 = TcpSocket::new_v4()?;
    v4.set_reuseaddr(true)?;
    v4.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let port = v4.local_addr()?.port();
    let v6 = || {
        let v6 = TcpSocket::new_v6()?;
        v6.set_reuseaddr(true)?;
        v6.bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;
        io::Result::Ok(v6)
    };
    Ok([v4].into_iter().chain(v6().ok()).collect())
}

async fn accept(listener: TcpListener, service: Service, connections: Connections) {
    loop {
        // A connection that is gone before it is accepted is nobody's loss.
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Small answers go out at once; a failure only makes them slower.
        let _ = stream.set_nodelay(true);
        connections.spawn(serve_tcp(stream, service.clone(), connections.clone()));
    }
}

async fn serve_tcp(stream: TcpStream, service: Service, connections: Connections) {
    let Some(tls) = service.tls.clone() else { return serve(stream, service, connections).await };
    // A failed handshake is the client's finding to report.
    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
        serve(stream, service, connections).await;
    }
}

async fn serve<S>(stream: S, service: Service, connections: Connections)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let seen = Seen::default();
    let stream = TokioIo::new(Tap::new(stream, seen.clone()));
    let handler = Arc::clone(&service.handler);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let textual = request.version() <= http::Version::HTTP_11;
        let head = textual.then(|| seen.take_head(request.method().as_str())).flatten();
        head.map(|head| request.extensions_mut().insert(head));
        request.extensions_mut().insert(connections.clone());
        handler(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    if !service.http2 {
        builder = builder.http1_only();
    }
    // How a connection ended is the client's concern; the double has recorded what it received.
    let _ = builder.serve_connection_with_upgrades(stream, answer).await;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
