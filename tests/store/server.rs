//! One redis-server: started on a free port with a folder of its own, ended with the test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// For a server to start, and for a set of servers to find together.
pub const LONGEST_START: Duration = Duration::from_secs(30);

/// Whether to skip, as there is no redis-server and nothing requires one.
pub fn is_missing() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if found.is_ok() {
        return false;
    }
    let required = std::env::var_os("REDIS_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "REDIS_REQUIRED=1, and redis-server is not installed");
    #[allow(clippy::print_stderr, reason = "a skip is not silent")]
    {
        eprintln!("skipped: redis-server is not installed");
    }
    true
}

/// What the servers of a test have in common.
#[derive(Clone, Default)]
pub struct Options {
    pub tls: Option<TlsFiles>,
    pub lines: Vec<String>,
}

#[derive(Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub struct Server {
    pub port: u16,
    folder: TempDir,
    options: Options,
    is_sentinel: bool,
    process: Option<Child>,
}

impl Server {
    pub fn start(options: &Options) -> Self {
        Self::start_as(options, false)
    }

    /// A Sentinel; `lines` of its options say what it watches.
    pub fn start_sentinel(options: &Options) -> Self {
        Self::start_as(options, true)
    }

    fn start_as(options: &Options, is_sentinel: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut server = Self {
            port: free_port(),
            folder,
            options: options.clone(),
            is_sentinel,
            process: None,
        };
        server.launch();
        server
    }

    /// Starts it (again), with the data that it has written to its folder.
    pub fn launch(&mut self) {
        let file = self.folder().join("redis.conf");
        if !file.exists() {
            fs::write(&file, self.configuration()).expect("a configuration");
        }
        let log = fs::File::create(self.folder().join("log")).expect("a log");
        let mut command = Command::new("redis-server");
        command.arg(&file).stdin(Stdio::null()).stdout(log).current_dir(self.folder());
        if self.is_sentinel {
            command.arg("--sentinel");
        }
        self.process = Some(command.spawn().expect("redis-server starts"));
        let begun = Instant::now();
        while self.ping().is_err() {
            assert!(begun.elapsed() < LONGEST_START, "no answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn configuration(&self) -> String {
        let port = match &self.options.tls {
            None => format!("port {}", self.port),
            Some(files) => format!(
                "port 0\ntls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
                 tls-auth-clients no",
                self.port,
                files.certificate.display(),
                files.key.display(),
                files.certificate.display(),
            ),
        };
        let lines = self.options.lines.join("\n");
        let quick = if self.is_sentinel { "" } else { "repl-diskless-sync-delay 0" };
        format!("bind 127.0.0.1\n{port}\nsave \"\"\n{quick}\n{lines}\n")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn ping(&self) -> Result<String, String> {
        self.ask(&["PING"])
    }

    /// What `redis-cli` prints.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        self.ask(words).unwrap_or_else(|problem| panic!("{words:?}: {problem}"))
    }

    fn ask(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("redis-cli");
        command.args(["-e", "-p", &self.port.to_string()]);
        if let Some(files) = &self.options.tls {
            command.arg("--tls").arg("--cacert").arg(&files.certificate);
        }
        let output = command.args(words).output().expect("redis-cli starts");
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }

    /// Ends it without a word, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().expect("it is our child");
        }
    }

    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().expect("it runs").id();
        let id = Pid::from_raw(id.cast_signed()).expect("an id");
        kill_process(id, signal).expect("it is our child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}
