//! What a test leaves behind for `tests/leaks`: everything the proxy said, and every secret.
//!
//! ```text
//! secrets.txt          one a line
//! token-fields.txt     names of [codescan.headers] with a token: CodeScan may echo these
//! proxy-<port>.log     standard output and standard error, panics included
//! answers.txt          heads and bodies, cookies that were set aside
//! reached-<server>.txt requests of the proxy to the other servers, what belongs there aside
//! ```

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulator::Received;
use url::form_urlencoded;

/// One test's folder below `target/evidence`.
#[derive(Clone)]
pub struct Evidence {
    folder: PathBuf,
    said: Arc<Mutex<File>>,
}

impl Evidence {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let folder = root().join(name);
        fs::create_dir_all(&folder).expect("a folder for evidence");
        let said = append(&folder.join("answers.txt"));
        Self { folder, said: Arc::new(Mutex::new(said)) }
    }

    /// A file that the proxy's output goes to.
    pub fn log_file(&self, name: &str) -> (PathBuf, File) {
        let path = self.folder.join(name);
        (path.clone(), append(&path))
    }

    /// Something that the proxy said.
    pub fn said(&self, what: &[u8]) {
        let mut file = self.said.lock().expect("nobody panicked while writing");
        file.write_all(what).expect("evidence is written");
        file.write_all(b"\n").expect("evidence is written");
    }

    /// What must be found nowhere in it.
    pub fn secrets(&self, secrets: impl IntoIterator<Item = String>) {
        let mut file = append(&self.folder.join("secrets.txt"));
        for secret in secrets {
            writeln!(file, "{secret}").expect("evidence is written");
        }
    }

    /// What the proxy says at `path` now, if it still runs. Blocks: for the end of a test.
    pub fn ask(&self, origin: &str, path: &str) {
        let address = origin.trim_start_matches("http://");
        if let Ok(answer) = get(address, path) {
            self.said(&answer);
        }
    }

    /// Secrets of the settings that the proxy runs with, and the fields that tokens belong in.
    pub fn settings(&self, file: &Path, pid: u32) -> Vec<String> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).replace('\0', "\n");
        let lines = || text.lines().chain(environment.lines());
        let secret = |name: &str| name.to_ascii_lowercase().ends_with("cookie_secret");
        let given = lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| secret(name.trim()))
            .flat_map(|(_, value)| value.split(['"', ',', '[', ']', ' ']).map(str::to_owned));
        self.secrets(given.filter(|value| !value.is_empty()));
        let fields = lines().filter(|line| line.contains("{access_token}"));
        let fields: Vec<String> = fields
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name.trim().trim_matches('"').to_ascii_lowercase())
            .chain(["authorization".to_owned()])
            .collect();
        let mut file = append(&self.folder.join("token-fields.txt"));
        writeln!(file, "{}", fields.join("\n")).expect("evidence is written");
        fields
    }

    /// What the proxy sent to a server, but for the fields that a token belongs in.
    pub fn reached(&self, server: &str, requests: &[Received], token_fields: &[String]) {
        let mut text = String::new();
        for request in requests {
            let _ = writeln!(text, "{} {}", request.method, request.target);
            for (name, value) in &request.headers {
                if !token_fields.contains(&name.to_ascii_lowercase()) {
                    let _ = writeln!(text, "{name}: {value}");
                }
            }
            // Calls to Bitbucket carry credentials in the body, and nowhere else.
            match form(request) {
                Some(form) if server == "bitbucket" => self.secrets(form.verifier),
                _ => text.push_str(request.text().unwrap_or_default()),
            }
            text.push('\n');
        }
        let mut file = append(&self.folder.join(format!("reached-{server}.txt")));
        file.write_all(text.as_bytes()).expect("evidence is written");
    }

    /// A folder for whatever a test wants to keep.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What was sent to the token endpoint.
struct Form {
    verifier: Option<String>,
}

fn form(request: &Received) -> Option<Form> {
    let is_form = request
        .header("content-type")
        .is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"));
    is_form.then(|| {
        let pairs = form_urlencoded::parse(request.text().unwrap_or_default().as_bytes());
        let mut verifiers = pairs.filter(|(name, _)| name == "code_verifier");
        Form { verifier: verifiers.next().map(|(_, value)| value.into_owned()) }
    })
}

/// One request by hand, as nothing asynchronous can be waited for while a test ends.
fn get(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Where all evidence is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("evidence")
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("an evidence file opens")
}
