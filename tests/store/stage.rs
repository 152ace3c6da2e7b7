//! A whole store of one kind, and replicas of the program's client of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use codescan_oauth_proxy::config::settings::{RedisAddress, RedisCredentials, RedisKind};
use codescan_oauth_proxy::secret::Secret;
use codescan_oauth_proxy::store::{Condition, Lives, RecordKey, Store};
use tempfile::TempDir;

use crate::server::{LONGEST_START, Options, Server, TlsFiles, free_port};

/// Of tests that are not about lives.
pub const LIVES: Lives = Lives { whole: Duration::from_hours(1), idle: Duration::from_mins(10) };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Single,
    Tls,
    Cluster,
    TlsCluster,
    Sentinel,
}

pub struct Stage {
    pub servers: Vec<Server>,
    _sentinel: Option<Server>,
    pub address: RedisAddress,
    pub ca_file: Option<PathBuf>,
    _certificate: Option<TempDir>,
}

impl Stage {
    pub fn new(kind: Kind) -> Self {
        Self::with(kind, &[])
    }

    /// `lines` go into the configuration of each server.
    pub fn with(kind: Kind, lines: &[&str]) -> Self {
        let tls = matches!(kind, Kind::Tls | Kind::TlsCluster);
        let certificate = tls.then(certificate);
        let files = certificate.as_ref().map(|folder| TlsFiles {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
        });
        let ca_file = files.as_ref().map(|files| files.certificate.clone());
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let options = Options { tls: files, lines };
        let (servers, sentinel, redis_kind) = match kind {
            Kind::Single | Kind::Tls => (vec![Server::start(&options)], None, RedisKind::Single),
            Kind::Cluster | Kind::TlsCluster => (cluster(&options), None, RedisKind::Cluster),
            Kind::Sentinel => {
                let (servers, sentinel) = watched(&options);
                let credentials = RedisCredentials::default();
                let kind = RedisKind::Sentinel { master: "main".into(), credentials };
                (servers, Some(sentinel), kind)
            }
        };
        let asked = sentinel.as_ref().map_or(servers.as_slice(), std::slice::from_ref);
        let address = RedisAddress {
            kind: redis_kind,
            tls,
            hosts: asked.iter().map(|server| ("127.0.0.1".to_owned(), server.port)).collect(),
            credentials: RedisCredentials::default(),
            database: 0,
        };
        Self { servers, _sentinel: sentinel, address, ca_file, _certificate: certificate }
    }

    /// The store as another replica of the program sees it, ready for use.
    pub async fn replica(&self) -> Store {
        let store = self.opened();
        up(&store).await;
        store
    }

    /// As [`Stage::replica`], but perhaps not connected yet.
    pub fn opened(&self) -> Store {
        Store::open(self.address.clone(), self.ca_file.clone())
    }

    pub fn signed_in(&self, username: &str, password: &str) -> Store {
        let secret = |text: &str| (!text.is_empty()).then(|| Secret::new(text));
        let credentials =
            RedisCredentials { username: secret(username), password: secret(password) };
        Store::open(RedisAddress { credentials, ..self.address.clone() }, self.ca_file.clone())
    }

    pub fn server(&mut self) -> &mut Server {
        &mut self.servers[0]
    }
}

pub async fn up(store: &Store) {
    until("the store is up and its changes are heard", || {
        let health = store.health();
        health.condition == Condition::Up && health.hears_changes
    })
    .await;
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    until_done(what, async || condition()).await;
}

/// Asks again and again; what takes longer than a start fails.
pub async fn until_done(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < LONGEST_START, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As if a session's id had been made.
pub fn new_key() -> RecordKey {
    RecordKey::of_id(&codescan_oauth_proxy::seal::random())
}

fn certificate() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the certificate");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("one");
    std::fs::write(folder.path().join("tls.crt"), made.cert.pem()).expect("written");
    std::fs::write(folder.path().join("tls.key"), made.signing_key.serialize_pem())
        .expect("written");
    folder
}

/// Three masters that share all slots.
fn cluster(options: &Options) -> Vec<Server> {
    let start = || {
        let mut options = options.clone();
        options.lines.push("cluster-enabled yes".into());
        options.lines.push(format!("cluster-port {}", free_port()));
        options.lines.push("cluster-node-timeout 2000".into());
        if options.tls.is_some() {
            options.lines.push("tls-cluster yes".into());
        }
        Server::start(&options)
    };
    let servers = [start(), start(), start()];
    let ranges = [("0", "5000"), ("5001", "10000"), ("10001", "16383")];
    for (server, (first, last)) in servers.iter().zip(ranges) {
        server.tell(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    }
    for other in &servers[1..] {
        let bus = other.tell(&["CONFIG", "GET", "cluster-port"]);
        let bus = bus.lines().last().expect("a port");
        servers[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), bus]);
    }
    wait_for("a cluster", || {
        servers.iter().all(|server| {
            let info = server.tell(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
    });
    servers.into()
}

/// A master, its replica, and a Sentinel that watches them.
fn watched(options: &Options) -> (Vec<Server>, Server) {
    let master = Server::start(options);
    let mut following = options.clone();
    following.lines.push(format!("replicaof 127.0.0.1 {}", master.port));
    let replica = Server::start(&following);
    wait_for("a replica in step", || {
        replica.tell(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let port = master.port;
    let watching = Options {
        tls: None,
        lines: vec![
            format!("sentinel monitor main 127.0.0.1 {port} 1"),
            "sentinel down-after-milliseconds main 1000".into(),
            "sentinel failover-timeout main 3000".into(),
        ],
    };
    let sentinel = Server::start_sentinel(&watching);
    wait_for("a Sentinel that knows the replica", || {
        sentinel.tell(&["SENTINEL", "MASTERS"]).contains("num-slaves\n1")
    });
    (vec![master, replica], sentinel)
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONGEST_START, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
