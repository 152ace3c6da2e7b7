//! New settings for a running program: at SIGHUP, or when a file they come from changes.
//!
//! A wrong new file is reported, and the old settings stay in force.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::check;
use crate::config::settings::CookieSecret;
use crate::config::{self, Loaded, Sources};
use crate::gateway::app::{App, Snapshot};
use crate::telemetry::logs::LevelControl;

/// How often files are looked at. Kubernetes changes mounted secrets by swapping links, of which
/// a file watch would hear only in roundabout ways.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub struct Reload {
    sources: Sources,
    current: Loaded,
    /// How the files looked before they were read, so that no change in between is missed.
    seen: Vec<Look>,
    made_up: CookieSecret,
    version: u64,
}

impl Reload {
    /// To be called at once after the settings were loaded.
    pub fn new(sources: Sources, current: Loaded, made_up: CookieSecret) -> Self {
        let seen = looks(&current.watched_files);
        Self { sources, current, seen, made_up, version: 0 }
    }

    /// Runs on the control runtime for as long as it lives. SIGHUP, which would end the program,
    /// is taken from the call on, not from the first poll.
    pub fn run(mut self, app: Arc<App>, level: LevelControl) -> impl Future<Output = ()> {
        let hangups = signal(SignalKind::hangup());
        async move {
            let Ok(mut hangups) = hangups else { return };
            loop {
                tokio::select! {
                    _ = hangups.recv() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {
                        if looks(&self.current.watched_files) == self.seen {
                            continue;
                        }
                    }
                }
                self.read_again(&app, &level);
            }
        }
    }

    fn read_again(&mut self, app: &App, level: &LevelControl) {
        self.seen = looks(&self.current.watched_files);
        let loaded = match config::load(&self.sources) {
            Ok(loaded) => loaded,
            Err(faults) => {
                let faults = check::explain(&faults);
                tracing::error!("new settings are wrong, the old ones stay in force: {faults}");
                return;
            }
        };
        let seen_anew = (loaded.watched_files != self.current.watched_files)
            .then(|| looks(&loaded.watched_files));
        let settings = loaded.settings.clone();
        let snapshot = match Snapshot::new(settings, self.version + 1, &self.made_up) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!("new settings are wrong, the old ones stay in force: {error}");
                return;
            }
        };
        if let Some(seen) = seen_anew {
            self.seen = seen;
        }
        self.put_in_force(loaded, snapshot, app, level);
    }

    fn put_in_force(
        &mut self,
        loaded: Loaded,
        snapshot: Snapshot,
        app: &App,
        level: &LevelControl,
    ) {
        for key in config::changed_at_run_time(&self.current, &loaded) {
            tracing::warn!("{key} has changed, but only a restart puts it in force");
        }
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        if let Err(error) = level.set(&loaded.settings.log.level) {
            tracing::error!("log.level stays as it was: {error}");
        }
        app.snapshot.store(Arc::new(snapshot));
        self.version += 1;
        self.current = loaded;
        tracing::info!("new settings are in force");
    }
}

/// What shows that a file has changed. Links are followed.
type Look = Option<(SystemTime, u64, PathBuf)>;

fn looks(files: &[PathBuf]) -> Vec<Look> {
    files.iter().map(|file| look(file)).collect()
}

fn look(file: &Path) -> Look {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), fs::canonicalize(file).ok()?))
}
