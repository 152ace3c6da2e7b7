//! The real binary, as a process of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use simulator::{Bitbucket, Codescan};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::client::Client;
use super::evidence::Evidence;
use super::{PATIENCE, redis, shares_sessions, wait_until};

/// What is written into the settings file: TOML values by `section.key`.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<String, String>,
    /// Lines of `[codescan.headers]`; empty: the default.
    pub headers: Vec<(String, String)>,
    pub environment: Vec<(String, String)>,
    /// How many files it may have open; `None`: as many as the test.
    pub open_files: Option<u32>,
    /// Ends with the last proxy that uses it.
    store: Option<Arc<redis::Server>>,
}

/// What replicas share: 32 bytes.
const COOKIE_SECRET: &str = "c2VjcmV0IG9mIGFsbCByZXBsaWNhcyBpbiBhIHRlc3Q=";

impl Settings {
    /// The five that are needed, and every word in the log.
    pub fn between(bitbucket: &Bitbucket, codescan: &Codescan) -> Self {
        let mut settings = Self {
            values: BTreeMap::new(),
            headers: Vec::new(),
            environment: Vec::new(),
            open_files: None,
            store: None,
        };
        settings.text("bitbucket.url", &bitbucket.url());
        settings.text("bitbucket.client_id", bitbucket.client_id());
        settings.text("bitbucket.client_secret", bitbucket.client_secret());
        settings.text("codescan.url", codescan.url());
        settings.text("log.level", "trace");
        settings.text("log.format", "json");
        settings.set("server.workers", "2");
        settings.text("server.drain_delay", "0s");
        if shares_sessions() {
            let store = Arc::new(redis::Server::start(&redis::Options::default()));
            settings.shared_store(store.port);
            settings.store = Some(store);
        }
        settings
    }

    /// Sessions are kept in the Redis at this port.
    pub fn shared_store(&mut self, port: u16) -> &mut Self {
        self.text("session.cookie_secret", COOKIE_SECRET);
        self.text("session.store", &format!("redis://127.0.0.1:{port}"))
    }

    /// A value that is not text: `settings.set("session.per_person", "2")`.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.values.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.set(key, &format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.values.remove(key);
        self
    }

    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The whole file.
    pub fn toml(&self) -> String {
        let mut file = String::new();
        let mut section = "";
        for (key, value) in &self.values {
            let (its_section, name) = key.split_once('.').expect("section.key");
            if its_section != section {
                section = its_section;
                writeln!(file, "[{section}]").expect("text grows");
            }
            writeln!(file, "{name} = {value}").expect("text grows");
        }
        if !self.headers.is_empty() {
            file.push_str("[codescan.headers]\n");
            for (name, value) in &self.headers {
                writeln!(file, "\"{name}\" = \"{value}\"").expect("text grows");
            }
        }
        file
    }
}

const SETTINGS: &str = "settings.toml";

/// A running proxy. Ends with the test.
pub struct Proxy {
    child: Child,
    port: u16,
    admin_port: u16,
    public_url: String,
    log: PathBuf,
    folder: TempDir,
    settings: Settings,
    _places: [Place; 2],
}

impl Proxy {
    /// Starts it and waits until it is ready.
    pub async fn start(mut settings: Settings, evidence: &Evidence) -> Self {
        let places = [Place::reserve(), Place::reserve()];
        let (port, admin_port) = (places[0].port(), places[1].port());
        if !settings.has("server.listen") {
            settings.text("server.listen", &format!("127.0.0.1:{port}"));
        }
        if !settings.has("server.public_url") {
            let tls = settings.has("server.tls_certificate_file");
            let scheme = if tls { "https" } else { "http" };
            settings.text("server.public_url", &format!("{scheme}://127.0.0.1:{port}"));
        }
        settings.text("admin.listen", &format!("127.0.0.1:{admin_port}"));
        let public_url = settings.values["server.public_url"].trim_matches('"').to_owned();
        let folder = tempfile::tempdir().expect("a folder for settings");
        let file = folder.path().join(SETTINGS);
        fs::write(&file, settings.toml()).expect("settings are written");
        let (log, _) = evidence.log_file(&format!("proxy-{port}.log"));
        let child = spawn(&settings, &file, &log);
        let mut proxy =
            Self { child, port, admin_port, public_url, log, folder, settings, _places: places };
        proxy.wait_until_live(evidence).await;
        proxy
    }

    /// Ends it, and starts it again at the same place with some settings changed.
    pub async fn restart(&mut self, evidence: &Evidence, change: impl FnOnce(&mut Settings)) {
        self.signal("TERM");
        self.ended().await;
        self.rewrite_settings(change);
        self.child = spawn(&self.settings, &self.settings_file(), &self.log);
        self.wait_until_live(evidence).await;
    }

    async fn wait_until_live(&mut self, evidence: &Evidence) {
        let admin = Client::new(&self.admin_origin(), evidence.clone());
        let (child, log) = (&mut self.child, &self.log);
        wait_until("the proxy listens", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!(
                    "the proxy ended: {status}\n{}",
                    fs::read_to_string(log).unwrap_or_default()
                );
            }
            let ready = admin.try_get("/readyz?verbose").await;
            ready.is_ok_and(|answer| !answer.text().contains("not listening yet"))
        })
        .await;
    }

    /// Where browsers reach it.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Where it listens, whatever its public URL.
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn admin_origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    pub fn redirect_url(&self) -> String {
        format!("{}/_codescan/oauth2/authorize", self.public_url)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> usize {
        let file = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(file).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.expect("its memory").trim().trim_end_matches(" kB");
        kibibytes.parse::<usize>().expect("a number") * 1024
    }

    /// What it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn settings_file(&self) -> PathBuf {
        self.folder.path().join(SETTINGS)
    }

    /// Writes other settings into its file, in one stroke as a tool would, and leaves it to see.
    pub fn rewrite_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        let new = self.folder.path().join("new.toml");
        fs::write(&new, self.settings.toml()).expect("settings are written");
        fs::rename(new, self.settings_file()).expect("settings are put in place");
    }

    /// Puts other settings in force.
    pub async fn reload(&mut self, change: impl FnOnce(&mut Settings)) {
        let in_force = |log: &str| log.matches("new settings are in force").count();
        let before = in_force(&self.log());
        self.rewrite_settings(change);
        self.signal("HUP");
        wait_until("new settings are in force", async || in_force(&self.log()) > before).await;
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a log line that holds all of `parts`, and returns it.
    pub async fn wait_for_log(&self, parts: &[&str]) -> String {
        let mut found = None;
        wait_until(&format!("a log line with {parts:?}"), async || {
            let log = self.log();
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            found = line.map(str::to_owned);
            found.is_some()
        })
        .await;
        found.expect("found above")
    }

    /// Sends a signal by name: `TERM`, `HUP`, `KILL`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        wait_until("the proxy ends", async || {
            status = child.try_wait().expect("a child of ours");
            status.is_some()
        })
        .await;
        status.expect("ended above")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Asked first, so that the last log lines are written.
        if matches!(self.child.try_wait(), Ok(None)) {
            let pid = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
            for _ in 0..(PATIENCE.as_millis() / 400) {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(settings: &Settings, file: &Path, log: &Path) -> Child {
    let output = fs::OpenOptions::new().append(true).open(log).expect("the log opens");
    let errors = output.try_clone().expect("one file for both outputs");
    program(settings.open_files)
        .arg("--config")
        .arg(file)
        .env_remove("HTTPS_PROXY")
        .env_remove("HTTP_PROXY")
        .envs(settings.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .expect("the proxy starts")
}

fn program(open_files: Option<u32>) -> Command {
    let program = env!("CARGO_BIN_EXE_codescan-oauth-proxy");
    let Some(limit) = open_files else { return Command::new(program) };
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n $0 && exec \"$@\"", &limit.to_string(), program]);
    shell
}

/// A port that stays ours: bound, so that the system gives it to nobody else, and not listening,
/// so that the proxy can.
struct Place(Socket);

impl Place {
    fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option that every system has");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    fn port(&self) -> u16 {
        let address = self.0.local_addr().ok().and_then(|address| address.as_socket());
        address.expect("an address").port()
    }
}
