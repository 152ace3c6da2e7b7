//! Settings from memory: a file, variables, flags and named files, a line each.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codescan_oauth_proxy::commands::check::{self, Report};
use codescan_oauth_proxy::config::{self, Faults, Loaded, Settings, Sources};
use codescan_oauth_proxy::secret::Secret;

/// The five settings that are needed, one a line.
pub const NEEDED: &str = r#"
server.public_url = "https://codescan.example.com"
bitbucket.url = "https://bitbucket.example.com"
bitbucket.client_id = "0123456789abcdef0123456789abcdef"
bitbucket.client_secret = "planted-secret-of-the-file"
codescan.url = "http://127.0.0.1:9000"
"#;

/// 32 bytes in base64.
pub const COOKIE_SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

pub struct Setup {
    sources: Sources,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

/// Nothing set at all.
pub fn nothing() -> Setup {
    Setup { sources: Sources::empty(), files: BTreeMap::new() }
}

/// A settings file, `settings.toml`.
pub fn file(text: &str) -> Setup {
    nothing().file("settings.toml", text).config("settings.toml")
}

/// The needed settings and nothing else.
pub fn needed() -> Setup {
    file(NEEDED)
}

impl Setup {
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.into(), content.as_ref().to_vec());
        self
    }

    pub fn config(mut self, path: &str) -> Self {
        self.sources.config = Some(path.into());
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.insert(name.into(), value.into());
        self
    }

    pub fn set(mut self, assignment: &str) -> Self {
        self.sources.set.push(Secret::new(assignment));
        self
    }

    /// Takes back what [`Setup::set`] gave `path`.
    pub fn without_flag(mut self, path: &str) -> Self {
        let flag = format!("{path}=");
        self.sources.set.retain(|assignment| !assignment.expose().starts_with(&flag));
        self
    }

    pub fn on_a_terminal(mut self) -> Self {
        self.sources.terminal = true;
        self
    }

    pub fn sources(&self) -> Sources {
        let files = self.files.clone();
        let read = move |path: &Path| -> io::Result<Vec<u8>> {
            files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        Sources { read_file: Arc::new(read), ..self.sources.clone() }
    }

    pub fn load(&self) -> Result<Loaded, Faults> {
        config::load(&self.sources())
    }

    pub fn check(&self) -> Report {
        check::run(&self.sources())
    }

    #[track_caller]
    pub fn settings(&self) -> Settings {
        self.loaded().settings
    }

    #[track_caller]
    pub fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|faults| panic!("these settings are good:\n{faults}"))
    }

    /// What is wrong, a line each.
    #[track_caller]
    pub fn faults(&self) -> String {
        let loaded = self.load().map(|loaded| loaded.effective);
        loaded.expect_err("these settings are wrong").to_string()
    }

    /// The one thing that is wrong.
    #[track_caller]
    pub fn fault(&self) -> String {
        let faults = self.faults();
        assert_eq!(faults.lines().count(), 1, "one fault is expected:\n{faults}");
        faults
    }
}

/// One setting on top of the needed ones.
#[track_caller]
pub fn with(assignment: &str) -> Settings {
    needed().set(assignment).settings()
}

/// What is wrong with one setting on top of the needed ones.
#[track_caller]
pub fn fault_of(assignment: &str) -> String {
    needed().set(assignment).fault()
}

#[track_caller]
pub fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is expected in:\n{text}");
}
