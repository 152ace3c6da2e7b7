//! Two proxies behind a front that heeds readiness, restarted in turn under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::harness::{Client, Proxy, Settings, Stage, pattern, sha256, wait_until};

/// Requests that are under way at any time.
const CLIENTS: usize = 50;

type Connection = SendRequest<Full<Bytes>>;

/// Sends each request to a proxy that is ready, on a connection that is kept as long as both
/// sides want, and never sends one again.
struct Front {
    proxies: Vec<Upstream>,
    next: AtomicUsize,
    over: AtomicBool,
}

struct Upstream {
    address: String,
    admin: Client,
    is_ready: AtomicBool,
    idle: Mutex<Vec<Connection>>,
}

impl Front {
    fn before(stage: &Stage, proxies: &[&Proxy]) -> Arc<Self> {
        let upstream = |proxy: &&Proxy| Upstream {
            address: format!("127.0.0.1:{}", proxy.port()),
            admin: Client::new(&proxy.admin_origin(), stage.evidence.clone()),
            is_ready: AtomicBool::new(false),
            idle: Mutex::default(),
        };
        let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { proxies: proxies.iter().map(upstream).collect(), next, over })
    }

    async fn keep_checking(self: Arc<Self>) {
        while !self.is_over() {
            for proxy in &self.proxies {
                let answer = proxy.admin.try_get("/readyz").await;
                let is_ready = answer.is_ok_and(|answer| answer.status == StatusCode::OK);
                proxy.is_ready.store(is_ready, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn sees_ready(&self, which: usize) {
        wait_until("the front sees that it is ready", async || {
            self.proxies[which].is_ready.load(Ordering::Relaxed)
        })
        .await;
    }

    fn choose(&self) -> Result<&Upstream, String> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = self.proxies.iter().cycle().skip(turn % self.proxies.len());
        let mut ready = in_turn.take(self.proxies.len());
        let is_ready = |proxy: &&Upstream| proxy.is_ready.load(Ordering::Relaxed);
        ready.find(is_ready).ok_or_else(|| "no proxy is ready".to_owned())
    }

    async fn send(&self, method: Method, target: &str, body: Bytes) -> Result<Bytes, String> {
        let proxy = self.choose()?;
        let mut connection = proxy.connection().await.map_err(|error| format!("dial: {error}"))?;
        let request = Request::builder().method(method).uri(target).header(HOST, &proxy.address);
        let request = request.body(Full::new(body)).expect("a request");
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(|error| format!("{target}: {error:?}"))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{target}: {}", answer.status()));
        }
        let is_last = answer.headers().get(CONNECTION).is_some_and(|it| it == "close");
        let body = answer.into_body().collect().await.map_err(|error| format!("body: {error}"))?;
        if !is_last {
            proxy.idle.lock().await.push(connection);
        }
        Ok(body.to_bytes())
    }
}

impl Upstream {
    /// One that is open and idle, or a new one.
    async fn connection(&self) -> Result<Connection, Box<dyn std::error::Error>> {
        while let Some(mut idle) = self.idle.lock().await.pop() {
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(&self.address).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Asks for one thing and another until the front is closed; how often, and what failed.
async fn load(front: Arc<Front>) -> (usize, Vec<String>) {
    let upload = pattern(20_000);
    let (expected, digest) = (pattern(3_000), sha256(&upload));
    let (mut served, mut failed) = (0, Vec::new());
    while !front.is_over() {
        let read = front.send(Method::GET, "/bytes/3000", Bytes::new()).await;
        let sent = front.send(Method::POST, "/api/ce/submit", upload.clone().into()).await;
        let is_whole = |body: &Bytes| String::from_utf8_lossy(body).contains(&digest);
        for (answer, is_right) in [
            (&read, read.as_ref().is_ok_and(|body| *body == expected)),
            (&sent, sent.as_ref().is_ok_and(is_whole)),
        ] {
            served += 1;
            if !is_right {
                failed.push(format!("{answer:?}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (served, failed)
}

fn behind_a_front(settings: &mut Settings) {
    settings.set("access.public", "[\"/**\"]");
    settings.text("log.level", "info");
    // Many times what the front takes to see that one is unready.
    settings.text("server.drain_delay", "1s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_request() {
    let mut stage = Stage::with(behind_a_front).await;
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    behind_a_front(&mut settings);
    let mut other = Proxy::start(settings, &stage.evidence).await;
    let front = Front::before(&stage, &[&stage.proxy, &other]);
    tokio::spawn(Arc::clone(&front).keep_checking());
    front.sees_ready(0).await;
    front.sees_ready(1).await;

    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(load(Arc::clone(&front)));
    }
    for _ in 0..2 {
        stage.restart_proxy(|_| {}).await;
        front.sees_ready(0).await;
        other.restart(&stage.evidence, |_| {}).await;
        front.sees_ready(1).await;
    }
    front.over.store(true, Ordering::Relaxed);
    let (served, failed): (Vec<_>, Vec<_>) = clients.join_all().await.into_iter().unzip();
    let (served, failed) = (served.iter().sum::<usize>(), failed.concat());
    assert_eq!(failed.len(), 0, "of {served}: {:#?}", &failed[..failed.len().min(10)]);
    assert!(served > 10 * CLIENTS, "only {served} requests");
}
