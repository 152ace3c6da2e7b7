//! Settings: one table of keys, read from file, environment and flags, checked at once.
//!
//! Three steps: [`sources`] collects raw values with their places, [`typed`] and `checks` find
//! everything that is wrong, and what comes out is [`Settings`], which later code cannot misuse.
//! Types of this room are used everywhere; the room itself uses no other.

mod addresses;
mod checks;
mod credentials;
pub mod faults;
mod headers;
pub mod key;
pub mod keys;
pub mod public_url;
mod raw;
mod reader;
pub mod reference;
pub mod rule;
pub mod settings;
pub mod sources;
mod store_address;
pub mod template;
mod toml_file;
pub mod typed;
pub mod values;

use std::path::PathBuf;

use crate::secret::Secret;

pub use faults::{Fault, Faults, Place};
pub use settings::Settings;
pub use sources::Sources;

/// One good reading of the settings.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub settings: Settings,
    /// What is in force, in the order of the table.
    pub effective: Vec<Effective>,
    /// What works, but is hardly meant.
    pub warnings: Vec<String>,
    /// Files whose change asks for a new reading.
    pub watched_files: Vec<PathBuf>,
}

/// One setting in force, fit to be shown.
#[derive(Debug, Clone)]
pub struct Effective {
    /// `section.key`, or `codescan.headers.<name>`.
    pub key: String,
    /// Masked where it is secret.
    pub shown_value: String,
    /// File with line, variable, flag or default.
    pub origin: String,
    table_key: &'static key::Key,
    /// The value as it is, to tell whether it changed.
    whole: Secret,
}

/// Reads all settings, or tells all that is wrong with them.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut collected = sources::collect(sources);
    let mut watched_files = std::mem::take(&mut collected.files);
    let mut read = reader::Reader::new(collected);
    let settings = typed::settings(&mut read, sources.terminal);
    checks::combinations(&mut read);
    checks::files(&mut read, sources);
    std::mem::take(&mut read.faults).into_result()?;
    let settings = settings.ok_or_else(|| Faults::unexplained("a setting has no value"))?;
    watched_files.extend(typed::named_files(&settings));
    Ok(Loaded {
        effective: read.effective(),
        warnings: checks::warnings(&settings, &read),
        watched_files,
        settings,
    })
}

/// Settings that differ between two readings but cannot change while the program runs.
pub fn changed_at_run_time(old: &Loaded, new: &Loaded) -> Vec<&'static str> {
    let fixed = |loaded: &Loaded| {
        let fixed = loaded.effective.iter().filter(|it| !it.table_key.reloadable);
        fixed.map(|it| (it.table_key.path, it.whole.clone())).collect::<Vec<_>>()
    };
    let changed = fixed(old).into_iter().zip(fixed(new)).filter(|(old, new)| old != new);
    changed.map(|((path, _), _)| path).collect()
}
