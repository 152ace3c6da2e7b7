//! `check`: what is in force and where it came from, or everything that is wrong.

use std::fmt::Write as _;

use crate::config::settings::CookieSecret;
use crate::config::{self, Effective, Faults, Loaded, Sources};
use crate::gateway::app::Snapshot;
use crate::seal;

/// Exit code for settings that are wrong: `EX_CONFIG` of sysexits(3).
pub const WRONG_SETTINGS: u8 = 78;

/// What the command says, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub stdout: String,
    pub stderr: String,
    pub code: u8,
}

impl Report {
    /// Nothing to say.
    pub fn code(code: u8) -> Self {
        Self { stdout: String::new(), stderr: String::new(), code }
    }

    pub fn failed(why: String, code: u8) -> Self {
        Self { stdout: String::new(), stderr: why, code }
    }
}

pub fn run(sources: &Sources) -> Report {
    let loaded = match config::load(sources) {
        Ok(loaded) => loaded,
        Err(faults) => return Report::failed(explain(&faults), WRONG_SETTINGS),
    };
    // What `serve` would do next: read certificates and keys, and judge what is in them.
    let made_up = CookieSecret::new(seal::random());
    match Snapshot::new(loaded.settings.clone(), 0, &made_up) {
        Ok(_) => Report { stdout: table(&loaded.effective), stderr: warnings(&loaded), code: 0 },
        Err(error) => Report::failed(format!("{error}\n"), WRONG_SETTINGS),
    }
}

/// Every fault, a line each, and their number. `serve` says it in the same words.
pub fn explain(faults: &Faults) -> String {
    let noun = if faults.count() == 1 { "fault" } else { "faults" };
    format!("{faults}\n{} {noun} in the settings\n", faults.count())
}

fn warnings(loaded: &Loaded) -> String {
    let mut text = String::new();
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// Three columns: setting, value, origin.
fn table(rows: &[Effective]) -> String {
    /// One long value must not push all origins out of sight.
    const WIDEST_VALUE: usize = 72;
    let width = |text: &str| text.chars().count();
    let keys = rows.iter().map(|row| width(&row.key)).max().unwrap_or(0);
    let values = rows.iter().map(|row| width(&row.shown_value)).filter(|it| *it <= WIDEST_VALUE);
    let values = values.max().unwrap_or(0);
    let mut table = String::new();
    for row in rows {
        let _ = writeln!(table, "{:keys$}  {:values$}  {}", row.key, row.shown_value, row.origin);
    }
    table
}
