//! What a test leaves behind for `tests/leaks`: everything the proxy said, and every secret.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

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

    /// A folder for whatever a test wants to keep.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Where all evidence is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("evidence")
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("an evidence file opens")
}
