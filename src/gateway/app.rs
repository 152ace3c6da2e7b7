//! What all workers share, and one reading of the settings made ready for use.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::runtime::Handle;

use crate::bitbucket;
use crate::config::Settings;
use crate::config::settings::{CodescanUrl, CookieSecret};
use crate::forward::connect::{ConnectError, Target};
use crate::forward::fields::Reserved;
use crate::forward::forwarded::PublicFields;
use crate::login::exchange::Exchanges;
use crate::login::{SharedSite, Site};
use crate::session::Sessions;
use crate::session::refresh::Refresher;
use crate::telemetry::metrics::Metrics;
use crate::tls::{self, TlsError};

/// The whole program, as a worker sees it.
pub struct App {
    pub snapshot: ArcSwap<Snapshot>,
    pub sessions: Arc<Sessions>,
    pub refresher: Arc<Refresher>,
    pub exchanges: Exchanges,
    pub metrics: Arc<Metrics>,
    /// Where everything slow runs.
    pub control: Handle,
}

/// One reading of the settings and all that follows from it. A request uses one from its
/// beginning to its end.
pub struct Snapshot {
    /// Grows with each reading.
    pub version: u64,
    pub site: SharedSite,
    pub target: Arc<Target>,
    /// TLS of the public listener, if it speaks that.
    pub tls: Option<Arc<ServerConfig>>,
    pub reserved: Arc<Reserved>,
    pub public_fields: PublicFields,
}

/// A worker's own handle of a snapshot, counted by [`Rc`]: workers that counted references to one
/// and the same for each request would wait for each other.
pub struct InForce(Arc<Snapshot>);

impl Deref for InForce {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// The snapshot that a worker saw last.
pub struct Latest(Rc<InForce>);

impl Latest {
    pub fn new(shared: &ArcSwap<Snapshot>) -> Self {
        Self(Rc::new(InForce(shared.load_full())))
    }

    /// What is in force now; a request keeps it to its end.
    pub fn get(&mut self, shared: &ArcSwap<Snapshot>) -> Rc<InForce> {
        let in_force = shared.load();
        if !Arc::ptr_eq(&in_force, &self.0.0) {
            self.0 = Rc::new(InForce(Arc::clone(&in_force)));
        }
        Rc::clone(&self.0)
    }
}

/// Settings that are well-formed and cannot be used all the same.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error(transparent)]
    Bitbucket(#[from] bitbucket::SetupError),
    #[error("codescan.ca_file, codescan.client_certificate_file or codescan.client_key_file: {0}")]
    CodescanTls(TlsError),
    #[error("server.tls_certificate_file or server.tls_key_file: {0}")]
    ServerTls(TlsError),
    #[error("codescan.url: {0}")]
    CodescanUrl(#[from] ConnectError),
}

impl Snapshot {
    /// Reads certificates, so it blocks a little. `made_up` seals where no secret is configured.
    pub fn new(
        settings: Settings,
        version: u64,
        made_up: &CookieSecret,
    ) -> Result<Self, SetupError> {
        let codescan = &settings.codescan;
        let identity =
            codescan.client_certificate_file.as_deref().zip(codescan.client_key_file.as_deref());
        let is_over_tls = matches!(codescan.url, CodescanUrl::Https { .. });
        let tls = tls::client_config(is_over_tls, codescan.ca_file.as_deref(), identity)
            .map_err(SetupError::CodescanTls)?;
        Ok(Self {
            version,
            tls: server_tls(&settings)?,
            target: Arc::new(Target::new(&codescan.url, Arc::new(tls), codescan.http2)?),
            reserved: Arc::new(Reserved::new(codescan.headers.iter().map(|header| &header.name))),
            public_fields: PublicFields::new(&settings.server.public_url),
            site: Arc::new(Site::new(settings, made_up)?),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.site.settings
    }
}

fn server_tls(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, SetupError> {
    let server = &settings.server;
    let files = server.tls_certificate_file.as_deref().zip(server.tls_key_file.as_deref());
    let Some((certificate, key)) = files else { return Ok(None) };
    let config = tls::server_config(certificate, key).map_err(SetupError::ServerTls)?;
    Ok(Some(Arc::new(config)))
}
