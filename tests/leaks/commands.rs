//! What the binary's commands print, with secrets set in each way there is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::assert_silent;

const CLIENT_SECRET: &str = "3f9c1e7ab2d84c5e8f60718293a4b5c6d7e8f901";
const COOKIE_SECRET: &str = "q+7/ZJ1t8lqGv0P2m5Y6xw3eKbnRHcUo9iTAsDfgXhM=";
const OLD_COOKIE_SECRET: &str = "Zk3vQ-9yT_0aB7cD1eF5gH2iJ4kL6mN8oP0qR_sT-uU";
const PASSWORD: &str = "rT0-kM5vQ9yT_0aB7cD1eF5gH2iJ";
const HEADER_TEXT: &str = "squ_8c2f1d0b7a6e5948372615049382716a5b4c3d2e";

const ALL: [&str; 5] = [CLIENT_SECRET, COOKIE_SECRET, OLD_COOKIE_SECRET, PASSWORD, HEADER_TEXT];

const OPEN: &str = r#"
[server]
listen = "127.0.0.1:1"
public_url = "https://codescan.example.com"
[bitbucket]
url = "https://bitbucket.example.com"
client_id = "codescan"
"#;
const REST: &str = "[codescan]\nurl = \"http://127.0.0.1:9\"\n";

/// A folder with a settings file, and a command on it.
struct Setup {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Setup {
    fn new(secrets_of_bitbucket: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("{OPEN}{secrets_of_bitbucket}\n{REST}{rest}\n");
        fs::write(folder.path().join("settings.toml"), text).expect("written");
        Self { folder, arguments: Vec::new(), environment: Vec::new() }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        path
    }

    fn set(mut self, assignment: impl Into<String>) -> Self {
        self.arguments.extend(["--set".to_owned(), assignment.into()]);
        self
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Everything that the command prints, and its exit code.
    fn run(&self, command: &str) -> (String, Option<i32>) {
        let output = Command::new(env!("CARGO_BIN_EXE_codescan-oauth-proxy"))
            .arg(command)
            .arg("--config")
            .arg(self.folder.path().join("settings.toml"))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), output.status.code())
    }

    /// Good settings: `check` shows them, masked.
    #[track_caller]
    fn is_checked_silently(&self) {
        let (said, code) = self.run("check");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("bitbucket.client_secret"), "{said}");
        assert_silent(&said, &ALL);
    }

    /// Wrong settings: the faults of `check` and `serve` do not quote.
    #[track_caller]
    fn is_refused_silently(&self) {
        for command in ["check", "serve", "healthcheck"] {
            let (said, code) = self.run(command);
            assert_eq!(code, Some(78), "{command}: {said}");
            assert_silent(&said, &ALL);
        }
    }
}

fn quoted(key: &str, value: &str) -> String {
    format!("{key} = \"{value}\"\n")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn secrets_in_the_file() {
    let bitbucket = quoted("client_secret", CLIENT_SECRET)
        + &quoted("proxy_url", &format!("http://me:{PASSWORD}@proxy.example.com:3128"));
    let rest = format!(
        "[codescan.headers]\nX-Key = \"{HEADER_TEXT}\"\nX-Both = \"{HEADER_TEXT} {{access_token}}\"
         [session]\ncookie_secret = [\"{COOKIE_SECRET}\", \"{OLD_COOKIE_SECRET}\"]\n"
    );
    Setup::new(&bitbucket, &rest).is_checked_silently();
    Setup::new(&bitbucket, &rest).set("server.nonsense=1").is_refused_silently();
}

#[test]
fn secrets_in_variables() {
    let setup = || {
        Setup::new("", "")
            .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET", CLIENT_SECRET)
            .variable(
                "CODESCAN_PROXY_SESSION_COOKIE_SECRET",
                format!("{COOKIE_SECRET},{OLD_COOKIE_SECRET}"),
            )
            .variable(
                "CODESCAN_PROXY_BITBUCKET_PROXY_URL",
                format!("http://me:{PASSWORD}@proxy.example.com:3128"),
            )
    };
    setup().is_checked_silently();
    setup().variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRT", CLIENT_SECRET).is_refused_silently();
}

#[test]
fn secrets_in_flags() {
    let setup = || {
        Setup::new("", "")
            .set(format!("bitbucket.client_secret={CLIENT_SECRET}"))
            .set(format!("session.cookie_secret={COOKIE_SECRET}"))
    };
    setup().is_checked_silently();
    setup().set(COOKIE_SECRET).is_refused_silently();
    setup().set(format!("bitbucket.client_sceret={CLIENT_SECRET}")).is_refused_silently();
}

#[test]
fn secrets_in_named_files() {
    let setup = |client_secret: &str, cookie_secret: &str| {
        let setup = Setup::new("", "");
        let client = setup.file("client", client_secret);
        let cookie = setup.file("cookie", cookie_secret);
        setup
            .set(format!("bitbucket.client_secret_file={}", path(&client)))
            .set(format!("session.cookie_secret_file={}", path(&cookie)))
    };
    setup(CLIENT_SECRET, &format!("{COOKIE_SECRET}\n{OLD_COOKIE_SECRET}\n")).is_checked_silently();
    setup(&format!("{CLIENT_SECRET} {PASSWORD}"), COOKIE_SECRET).is_refused_silently();
    setup(CLIENT_SECRET, &format!("{COOKIE_SECRET}{COOKIE_SECRET}")).is_refused_silently();
}

/// A key that is damaged is told of without its lines.
#[test]
fn private_keys() {
    let base64 = COOKIE_SECRET.trim_end_matches('=');
    for damaged in [
        format!("-----BEGIN PRIVATE KEY-----\n{base64}!\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{base64}\n"),
        format!("-----BEGIN {base64}\n{base64}\n"),
        format!("-----BEGIN PRIVATE KEY\n{base64}\n-----END PRIVATE KEY-----\n"),
        base64.to_owned(),
    ] {
        let setup = Setup::new(&quoted("client_secret", CLIENT_SECRET), "");
        let file = path(&setup.file("key.pem", &damaged)).to_owned();
        let setup = setup
            .set("codescan.url=https://codescan.example.com")
            .set(format!("codescan.client_key_file={file}"))
            .set(format!("codescan.client_certificate_file={file}"));
        assert_silent(&setup.run("check").0, &ALL);
        let (said, code) = setup.run("serve");
        assert_eq!(code, Some(78), "{said}");
        assert_silent(&said, &ALL);
    }
}
