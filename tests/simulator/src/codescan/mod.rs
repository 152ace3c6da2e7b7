//! A CodeScan-like upstream: a fork of `SonarQube` with a service of its own under `/_codescan/`,
//! plus paths that behave badly on purpose. It records everything that it receives.

mod ill;
mod options;
mod pages;
mod paths;
mod session;
mod state;
mod streams;
mod websocket;

pub use crate::certificates::Identity;
pub use options::{CodescanFaults, CodescanOptions, Login, Tls};

use crate::certificates::{Clients, PrivateCa};
use crate::listener::{Handler, Listener, Place, Service};
use crate::record::Received;
use state::State;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A running upstream. Clones are handles of the same server; it ends with the last of them.
#[derive(Clone)]
pub struct Codescan {
    state: Arc<State>,
    listener: Arc<Listener>,
    ca: Option<Arc<PrivateCa>>,
    url: String,
}

impl Codescan {
    /// Starts on 127.0.0.1, or on a socket file.
    #[expect(clippy::unused_async, reason = "needs a runtime, which async says")]
    pub async fn start(options: CodescanOptions) -> io::Result<Self> {
        let ca = match options.tls {
            Tls::Off => None,
            Tls::Server | Tls::Mutual => Some(PrivateCa::new("CodeScan stand-in")?),
        };
        let clients = match options.tls {
            Tls::Mutual => Clients::WithCertificate,
            Tls::Off | Tls::Server => Clients::Anyone,
        };
        let tls = ca.as_ref().map(|ca| ca.server(clients, options.http2)).transpose()?;
        let (http2, encrypted) = (options.http2, tls.is_some());
        let socket = options.unix_socket.clone();
        let place = socket.clone().map_or(Place::Tcp(options.port), Place::Unix);
        let state = Arc::new(State::new(options));
        let answering = Arc::clone(&state);
        let handler: Handler =
            Arc::new(move |request| Box::pin(paths::answer(Arc::clone(&answering), request)));
        let listener = Listener::start(place, Service { handler, tls, http2 })?;
        let url = url(socket.as_deref(), encrypted, listener.port());
        Ok(Self { state, listener: Arc::new(listener), ca: ca.map(Arc::new), url })
    }

    /// `http://127.0.0.1:…`, `https://localhost:…` or `unix:/…`, without the context path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The private authority's certificate, with [`CodescanOptions::tls`].
    ///
    /// # Panics
    /// Without it.
    pub fn ca_pem(&self) -> &str {
        self.ca.as_ref().expect("CodescanOptions.tls is on").pem()
    }

    /// A certificate that [`Tls::Mutual`] accepts.
    ///
    /// # Panics
    /// Without TLS.
    pub fn client_identity(&self) -> io::Result<Identity> {
        self.ca.as_ref().expect("CodescanOptions.tls is on").client_identity("proxy")
    }

    /// Changes the behaviour, from the next request on; held bodies look again.
    pub fn faults(&self, change: impl FnOnce(&mut CodescanFaults)) {
        self.state.faults.send_modify(change);
    }

    /// The last requests received, oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.state.journal.all()
    }

    /// Those of them whose path is exactly this.
    pub fn requests_to(&self, path: &str) -> Vec<Received> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// Waits for a request that `wanted` accepts, one that has come already included. Bodies are
    /// noted as they come, so it can ask for the first bytes of an upload.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn wait_for(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.state.journal.wait_for(wanted).await
    }

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.state.journal.clear();
    }

    /// Sends an event on every open event stream; tells on how many.
    pub fn push_event(&self, data: &str) -> usize {
        self.state.events.send(data.to_owned()).unwrap_or_default()
    }

    /// Requests that are being answered.
    pub fn open_requests(&self) -> usize {
        self.state.requests.now()
    }

    /// Waits until exactly so many requests are being answered.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn wait_for_open_requests(&self, wanted: usize) {
        self.state.requests.reaches(wanted, "requests").await;
    }

    /// Event streams that are open.
    pub fn open_event_streams(&self) -> usize {
        self.state.event_streams.now()
    }

    /// Waits until exactly so many event streams are open.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn wait_for_event_streams(&self, wanted: usize) {
        self.state.event_streams.reaches(wanted, "event streams").await;
    }

    /// WebSocket connections that are open.
    pub fn open_websockets(&self) -> usize {
        self.state.websockets.now()
    }

    /// Waits until exactly so many WebSocket connections are open.
    ///
    /// # Panics
    /// After ten seconds.
    pub async fn wait_for_websockets(&self, wanted: usize) {
        self.state.websockets.reaches(wanted, "WebSockets").await;
    }

    /// Goes down: refuses connections and closes the open ones, upgraded ones too.
    pub async fn stop(&self) -> io::Result<()> {
        self.listener.stop().await
    }

    /// Comes back at the same place.
    #[expect(clippy::unused_async, reason = "needs a runtime, which async says")]
    pub async fn resume(&self) -> io::Result<()> {
        self.listener.resume()
    }
}

fn url(socket: Option<&Path>, encrypted: bool, port: u16) -> String {
    match (socket, encrypted) {
        (Some(path), _) => format!("unix:{}", path.display()),
        (None, true) => format!("https://localhost:{port}"),
        (None, false) => format!("http://127.0.0.1:{port}"),
    }
}
