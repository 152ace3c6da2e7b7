//! Opens connections: to the one server, to the master that Sentinels name, or to a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind,
    TlsCertificates,
};

use super::OPERATION_TIMEOUT;
use super::connection::Connection;
use super::sentinel;
use super::trouble::Trouble;
use crate::config::settings::{RedisAddress, RedisCredentials, RedisKind};
use crate::tls;

/// For one server to take a connection and the sign-in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// For a connection by whatever detours.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Knows how to reach the store.
pub(super) struct Dialer {
    address: RedisAddress,
    ca_file: Option<PathBuf>,
}

/// Where a server is.
pub(super) type Host = (String, u16);

impl Dialer {
    pub(super) fn new(address: RedisAddress, ca_file: Option<PathBuf>) -> Self {
        Self { address, ca_file }
    }

    /// A connection for operations, to a server that takes writes. May be dropped half-way.
    pub(super) async fn connect(&self) -> Result<Connection, Trouble> {
        in_time(async {
            let trust = self.trust().await?;
            match self.address.kind {
                RedisKind::Cluster => self.cluster(&trust).await.map(Connection::Cluster),
                RedisKind::Single | RedisKind::Sentinel { .. } => {
                    self.writable(&trust, None).await.map(Connection::One)
                }
            }
        })
        .await
    }

    /// A connection to listen on; what comes unasked goes to `pushes`. In a cluster any server
    /// will do, as each hears what is published on any. May be dropped half-way.
    pub(super) async fn connect_to_listen(
        &self,
        pushes: Arc<dyn AsyncPushSender>,
    ) -> Result<MultiplexedConnection, Trouble> {
        in_time(async {
            let trust = self.trust().await?;
            match self.address.kind {
                RedisKind::Cluster => self.any(&trust, &pushes).await,
                RedisKind::Single | RedisKind::Sentinel { .. } => {
                    self.writable(&trust, Some(pushes)).await
                }
            }
        })
        .await
    }

    /// Read each time, so that a file that was replaced is heeded at the next connect.
    async fn trust(&self) -> Result<Trust, Trouble> {
        if !self.address.tls {
            return Ok(Trust::Plain);
        }
        let file = self.ca_file.clone();
        let pem = tokio::task::spawn_blocking(move || tls::trusted_pem(file.as_deref())).await;
        let pem = pem.map_err(|_| Trouble::Odd)?;
        let pem = pem.map_err(|error| Trouble::CaFile(error.to_string()))?;
        Ok(Trust::Tls(TlsCertificates { client_tls: None, root_cert: pem }))
    }

    async fn writable(
        &self,
        trust: &Trust,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<MultiplexedConnection, Trouble> {
        let RedisKind::Sentinel { master, credentials } = &self.address.kind else {
            let mut connection = self.server(trust, &self.address.hosts[0], pushes).await?;
            return takes_writes(&mut connection).await.map(|()| connection);
        };
        let mut last = Trouble::NoMaster;
        for watcher in &self.address.hosts {
            let told = async {
                let mut asked = node(trust, watcher, credentials, 0, None).await?;
                let host = sentinel::master(&mut asked, master).await?;
                let mut connection = self.server(trust, &host, pushes.clone()).await?;
                // A Sentinel that was cut off may still name the old one.
                takes_writes(&mut connection).await.map(|()| connection)
            };
            match told.await {
                Ok(connection) => return Ok(connection),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn any(
        &self,
        trust: &Trust,
        pushes: &Arc<dyn AsyncPushSender>,
    ) -> Result<MultiplexedConnection, Trouble> {
        let hosts = &self.address.hosts;
        let first = fastrand::usize(..hosts.len());
        let mut last = Trouble::Unreachable;
        for host in hosts.iter().cycle().skip(first).take(hosts.len()) {
            match self.server(trust, host, Some(Arc::clone(pushes))).await {
                Ok(connection) => return Ok(connection),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn server(
        &self,
        trust: &Trust,
        host: &Host,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<MultiplexedConnection, Trouble> {
        node(trust, host, &self.address.credentials, self.address.database, pushes).await
    }

    async fn cluster(&self, trust: &Trust) -> Result<ClusterConnection, Trouble> {
        let nodes = self.address.hosts.iter();
        let nodes = nodes.map(|host| info(trust, host, &self.address.credentials, 0));
        let nodes: Vec<_> = nodes.collect::<RedisResult<_>>().map_err(|it| Trouble::of(&it))?;
        let mut builder = ClusterClientBuilder::new(nodes)
            .use_protocol(ProtocolVersion::RESP3)
            .tcp_settings(no_delay())
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(OPERATION_TIMEOUT);
        if let Trust::Tls(certificates) = trust {
            builder = builder.certs(certificates.clone());
        }
        let connection = async { builder.build()?.get_async_connection().await };
        match connection.await {
            Ok(connection) => Ok(connection),
            // The crate does not tell what was wrong with the servers, so one of them is asked.
            Err(error) => {
                let one = self.server(trust, &self.address.hosts[0], None).await;
                Err(one.err().unwrap_or_else(|| Trouble::of(&error)))
            }
        }
    }
}

/// Whether to speak TLS, and whom to believe.
enum Trust {
    Plain,
    Tls(TlsCertificates),
}

async fn in_time<T>(dial: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(DIAL_TIMEOUT, dial).await.unwrap_or(Err(Trouble::TimedOut))
}

/// A connection to one server, signed in.
async fn node(
    trust: &Trust,
    host: &Host,
    credentials: &RedisCredentials,
    database: u32,
    pushes: Option<Arc<dyn AsyncPushSender>>,
) -> Result<MultiplexedConnection, Trouble> {
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(OPERATION_TIMEOUT));
    if let Some(pushes) = pushes {
        config = config.set_push_sender(pushes);
    }
    let connection = async {
        let info = info(trust, host, credentials, database)?;
        let client = match trust {
            Trust::Plain => Client::open(info)?,
            Trust::Tls(certificates) => Client::build_with_tls(info, certificates.clone())?,
        };
        client.get_multiplexed_async_connection_with_config(&config).await
    };
    connection.await.map_err(|error| Trouble::of(&error))
}

fn info(
    trust: &Trust,
    (host, port): &Host,
    credentials: &RedisCredentials,
    database: u32,
) -> RedisResult<ConnectionInfo> {
    let (host, port) = (host.clone(), *port);
    let address = match trust {
        Trust::Plain => ConnectionAddr::Tcp(host, port),
        Trust::Tls(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let mut sign_in =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_db(database.into());
    if let Some(username) = &credentials.username {
        sign_in = sign_in.set_username(username.expose());
    }
    if let Some(password) = &credentials.password {
        sign_in = sign_in.set_password(password.expose());
    }
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(sign_in).set_tcp_settings(no_delay()))
}

/// Operations are small and waited for.
fn no_delay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// A server that is not asked may be a replica, or a master that has lost its place.
async fn takes_writes(connection: &mut MultiplexedConnection) -> Result<(), Trouble> {
    let role: RedisResult<Vec<redis::Value>> = redis::cmd("ROLE").query_async(connection).await;
    match role {
        Ok(role) => match role.into_iter().next() {
            Some(redis::Value::BulkString(name)) if name == b"master" => Ok(()),
            Some(redis::Value::SimpleString(name)) if name == "master" => Ok(()),
            _ => Err(Trouble::ReadOnly),
        },
        // Who may not ask will see at the first write.
        Err(error) if is_refused(&error) => Ok(()),
        Err(error) => Err(Trouble::of(&error)),
    }
}

fn is_refused(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}
