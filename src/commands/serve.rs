//! `serve`: builds the rooms, joins them, and takes them down in order.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::reload::Reload;
use super::{check, watch};
use crate::admin::readiness::Readiness;
use crate::admin::{self, Shown};
use crate::config::settings::{CookieSecret, Settings};
use crate::config::{self, Sources};
use crate::forward::Upstream;
use crate::forward::bound::Bound as CodescanBound;
use crate::forward::pool::Pool;
use crate::gateway::Gateway;
use crate::gateway::app::{App, Snapshot};
use crate::gateway::record::{Answer, Journal};
use crate::login::exchange::Exchanges;
use crate::seal;
use crate::server::capacity::{Capacity, Share};
use crate::server::connection::Limits;
use crate::server::drain::{Drain, DrainControl, Phase};
use crate::server::entrance::{Entrance, Header};
use crate::server::listen::{self, Bound};
use crate::server::open_files;
use crate::server::peer::Peer;
use crate::server::worker::{Application, Worker};
use crate::session::Sessions;
use crate::session::refresh::{CurrentTerms, Refresher, Terms};
use crate::telemetry::liveness::Liveness;
use crate::telemetry::logs::{self, Logs, Output};
use crate::telemetry::metrics::Metrics;

/// `EX_UNAVAILABLE` of sysexits(3): an address cannot be bound.
const CANNOT_BIND: u8 = 69;

/// `EX_SOFTWARE` of sysexits(3): a worker died, which is a fault of this program.
const BROKEN: u8 = 70;

/// Threads of the control runtime: it waits more than it works.
const CONTROL_THREADS: usize = 2;

/// After the cut: how long workers may take to let go of what is left and to write their log.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// Files open besides connections: listeners, logs, runtimes, calls to Bitbucket, the admin's.
const OTHER_FILES: usize = 512;

/// Why the program could not begin: what to say, and the exit code.
struct Failure(String, u8);

/// Runs until SIGTERM or SIGINT and returns the exit code.
pub fn run(sources: &Sources) -> check::Report {
    match start(sources) {
        Ok(program) => check::Report::code(program.run()),
        Err(Failure(why, code)) => check::Report::failed(why, code),
    }
}

/// Everything that is there before the first request.
struct Program {
    app: Arc<App>,
    control: Runtime,
    public: Bound,
    admin: TcpListener,
    logs: Logs,
    readiness: Arc<Readiness>,
    liveness: Arc<Liveness>,
    reload: Reload,
}

fn start(sources: &Sources) -> Result<Program, Failure> {
    let wrong = |why: String| Failure(why, check::WRONG_SETTINGS);
    let loaded = config::load(sources).map_err(|faults| wrong(check::explain(&faults)))?;
    let (settings, warnings) = (loaded.settings.clone(), loaded.warnings.clone());
    let made_up = CookieSecret::new(seal::random());
    let reload = Reload::new(sources.clone(), loaded, made_up.clone());
    let snapshot = Snapshot::new(settings.clone(), 0, &made_up)
        .map_err(|error| wrong(format!("{error}\n")))?;
    let public = listen::bind(&settings.server).map_err(|error| {
        cannot_bind("server.listen", &settings.server.listen.to_string(), &error)
    })?;
    let admin = listen::bind_tcp(settings.admin.listen)
        .map_err(|error| cannot_bind("admin.listen", &settings.admin.listen.to_string(), &error))?;
    let broken = |error: io::Error| Failure(format!("cannot start: {error}\n"), BROKEN);
    let workers = settings.server.workers.get();
    let metrics = Arc::new(Metrics::new(workers));
    let logs = logs::init(&settings.log, Output::Stdout, metrics.access_log_dropped.clone())
        .map_err(|error| wrong(format!("{error}\n")))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    raise_open_files(&settings);
    let control = Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(broken)?;
    let app = Arc::new_cyclic(|app| self::app(app, snapshot, &settings, metrics, &control));
    Ok(Program {
        readiness: Arc::new(Readiness::new(&settings.admin.ready_needs)),
        liveness: Arc::new(Liveness::new(workers, Instant::now())),
        reload,
        app,
        control,
        public,
        admin,
        logs,
    })
}

fn raise_open_files(settings: &Settings) {
    let codescan = settings.codescan.max_connections;
    let needed = settings.server.max_connections + codescan + OTHER_FILES;
    let allowed = open_files::raise(needed as u64);
    if allowed.is_some_and(|allowed| allowed < needed as u64) {
        tracing::warn!(
            allowed,
            needed,
            "the limit of open files is too low for server.max_connections; raise it (ulimit -n, \
             LimitNOFILE of systemd), or lower the setting"
        );
    }
}

fn cannot_bind(setting: &str, address: &str, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another",
        io::ErrorKind::PermissionDenied => "this user may not; choose a port above 1023",
        _ => "choose an address that this machine has",
    };
    Failure(format!("{setting}: cannot listen on {address}: {error} ({hint})\n"), CANNOT_BIND)
}

/// `app` is what comes of it.
fn app(
    app: &Weak<App>,
    snapshot: Snapshot,
    settings: &Settings,
    metrics: Arc<Metrics>,
    control: &Runtime,
) -> App {
    let evicted = Arc::clone(&metrics);
    let on_eviction = move |reason| {
        tracing::warn!(reason, "a session ended because of a limit");
        evicted.session_evicted(reason);
    };
    let handle = control.handle().clone();
    let sessions = Arc::new(Sessions::new(&settings.session, Box::new(on_eviction), handle));
    let counted = Arc::clone(&sessions);
    metrics.count_sessions_by(move || counted.count());
    let (terms, refreshed) = (refresh_terms(app.clone()), Arc::clone(&sessions));
    App {
        refresher: Arc::new(Refresher::new(refreshed, Arc::clone(&metrics), terms)),
        snapshot: ArcSwap::from_pointee(snapshot),
        exchanges: Exchanges::new(Arc::clone(&sessions), Arc::clone(&metrics)),
        sessions,
        metrics,
        control: control.handle().clone(),
    }
}

/// A refresh goes by the settings in force, however long it has been tried.
fn refresh_terms(app: Weak<App>) -> CurrentTerms {
    Box::new(move || {
        let app = app.upgrade()?;
        let snapshot = app.snapshot.load();
        Some(Terms {
            bitbucket: snapshot.site.bitbucket.clone(),
            timeout: snapshot.settings().bitbucket.timeout,
            refresh_before: snapshot.settings().session.refresh_before,
        })
    })
}

impl Program {
    fn run(self) -> u8 {
        let (drain_control, drain) = DrainControl::new();
        let (died, mut deaths) = mpsc::unbounded_channel();
        let spawned = self.spawn_workers(&drain, &died);
        drop(died);
        if let Err(error) = spawned {
            tracing::error!(%error, "a worker could not be started");
            return BROKEN;
        }
        let Self { app, control, public, admin, logs, readiness, liveness, reload } = self;
        let code = control.block_on(async {
            let shown = Shown {
                metrics: Arc::clone(&app.metrics),
                liveness,
                readiness: Arc::clone(&readiness),
            };
            match tokio::net::TcpListener::from_std(admin) {
                Ok(admin) => tokio::spawn(admin::serve(admin, Arc::new(shown))),
                Err(error) => {
                    tracing::error!(%error, "the admin listener could not be started");
                    return BROKEN;
                }
            };
            watch::start(&app, &readiness);
            tokio::spawn(reload.run(Arc::clone(&app), logs.level()));
            // Whoever is told that it listens may tell it to stop.
            let told = told_to_stop();
            readiness.listening();
            tracing::info!(address = public.address(), "listening");
            drop(public);
            serve_until_told(told, &app, &readiness, &drain_control, &mut deaths).await
        });
        // What still runs there is a call to Bitbucket that nobody waits for.
        control.shutdown_timeout(Duration::from_millis(100));
        logs.flush();
        code
    }

    fn spawn_workers(&self, drain: &Drain, died: &mpsc::UnboundedSender<usize>) -> io::Result<()> {
        let settings = self.app.snapshot.load();
        let workers = settings.settings().server.workers.get();
        let most = settings.settings().codescan.max_connections;
        let codescan = Arc::new(CodescanBound::new(most));
        let capacity = Capacity::new(workers);
        for index in 0..workers {
            let worker = WorkerThread {
                index,
                share: capacity.share(index),
                app: Arc::clone(&self.app),
                codescan: Arc::clone(&codescan),
                liveness: Arc::clone(&self.liveness),
                listener: self.public.share()?,
                access_log: self.logs.access_log(),
                drain: drain.clone(),
                died: died.clone(),
            };
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?;
        }
        Ok(())
    }
}

/// Serves until a signal, then drains: unready first, while still serving, then no new
/// connections, then what is under way, all within `server.drain_timeout`.
async fn serve_until_told(
    told: impl Future<Output = ()>,
    app: &App,
    readiness: &Readiness,
    drain: &DrainControl,
    deaths: &mut mpsc::UnboundedReceiver<usize>,
) -> u8 {
    tokio::select! {
        () = told => {}
        _ = deaths.recv() => {
            tracing::error!("a worker died; the program ends, to be started again");
            return BROKEN;
        }
    }
    let server = app.snapshot.load().settings().server.clone();
    let deadline = tokio::time::Instant::now() + server.drain_timeout;
    readiness.draining();
    drain.enter(Phase::Leaving);
    tracing::info!("draining");
    tokio::select! {
        () = tokio::time::sleep(server.drain_delay) => {}
        // Whoever asks twice does not want to wait.
        () = told_to_stop() => {}
    }
    drain.enter(Phase::Draining);
    if let Ok(()) = timeout_at(deadline, all_gone(deaths)).await {
        tracing::info!("drained");
    } else {
        tracing::warn!("connections that did not end within server.drain_timeout are cut");
        drain.enter(Phase::Cutting);
        // A worker that does not come to it any more is left behind.
        let _ = timeout(CUT_WITHIN, all_gone(deaths)).await;
    }
    if timeout_at(deadline, app.sessions.finish()).await.is_err() {
        tracing::warn!("some changes to sessions are not in the session store");
    }
    0
}

/// Each worker holds a sender until its last connection is gone and logged.
async fn all_gone(deaths: &mut mpsc::UnboundedReceiver<usize>) {
    while deaths.recv().await.is_some() {}
}

/// Takes the signals from the call on, not from the first poll.
fn told_to_stop() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}

/// What a worker thread takes with it.
struct WorkerThread {
    index: usize,
    share: Share,
    app: Arc<App>,
    /// For the connections of all workers.
    codescan: Arc<CodescanBound>,
    liveness: Arc<Liveness>,
    listener: Bound,
    access_log: crate::telemetry::access_log::AccessLog,
    drain: Drain,
    /// Dropped when the thread ends, in whatever way.
    died: mpsc::UnboundedSender<usize>,
}

impl WorkerThread {
    fn run(self) {
        let mut notice =
            DeathNotice { sender: self.died.clone(), index: self.index, has_drained: false };
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, worker = self.index, "no runtime for a worker");
                return;
            }
        };
        notice.has_drained = runtime.block_on(self.serve());
    }

    /// Whether it ended as it should.
    async fn serve(self) -> bool {
        let metrics = self.app.metrics.worker(self.index);
        let journal =
            Rc::new(Journal { metrics: Arc::clone(&metrics), access_log: self.access_log.into() });
        let upstream = Upstream::new(Pool::new(Arc::clone(&metrics), self.codescan));
        let served = Served {
            gateway: Gateway::new(Arc::clone(&self.app), upstream, journal),
            app: self.app,
            liveness: self.liveness,
            index: self.index,
        };
        match self.listener.into_listener() {
            Ok(listener) => {
                Worker::new(served, metrics, self.share).run(listener, self.drain).await;
                true
            }
            Err(error) => {
                tracing::error!(%error, "a worker has no listener");
                false
            }
        }
    }
}

/// Tells of a worker that ended in whatever way but by draining; that one just hangs up.
struct DeathNotice {
    sender: mpsc::UnboundedSender<usize>,
    index: usize,
    has_drained: bool,
}

impl Drop for DeathNotice {
    fn drop(&mut self) {
        if !self.has_drained {
            let _ = self.sender.send(self.index);
        }
    }
}

/// The gateway as the server sees it.
struct Served {
    gateway: Gateway,
    app: Arc<App>,
    liveness: Arc<Liveness>,
    index: usize,
}

impl Application for Served {
    type Body = Answer;

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Answer>> {
        self.gateway.handle(request, peer)
    }

    fn tick(&self, now: Instant) {
        self.liveness.tick(self.index, now);
        self.gateway.tick(now);
    }

    fn limits(&self) -> Limits {
        let snapshot = self.app.snapshot.load();
        let server = &snapshot.settings().server;
        Limits {
            header: server.header_timeout,
            idle: server.idle_timeout,
            connections: server.max_connections,
        }
    }

    fn head_buffer(&self) -> usize {
        let limit = self.app.snapshot.load().settings().server.max_header_size;
        (limit * 2).max(128 * 1024)
    }

    fn entrance(&self, peer: Peer) -> Entrance {
        let snapshot = self.app.snapshot.load();
        let server = &snapshot.settings().server;
        Entrance {
            header: match (server.proxy_protocol, peer.is_trusted(&server.trusted_proxies)) {
                (false, _) => Header::None,
                (true, true) => Header::Expected,
                (true, false) => Header::Refused,
            },
            tls: snapshot.tls.clone(),
        }
    }
}
