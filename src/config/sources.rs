//! Where settings come from: `--set`, environment, file, and the table's defaults, in this
//! order of precedence. Finds values and their places; what they mean is not asked here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::faults::{Faults, Place, nearest};
use super::key::{Fallback, PREFIX, variable};
use super::keys::{self, Spelled};
use super::raw::{Layer, Raw, Value};
use super::toml_file::{self, unknown_setting};
use crate::secret::Secret;

/// Largest file that a setting may name: more is a mistake, or has no end.
const LARGEST_FILE: u64 = 4 << 20;

/// Names the settings file where `--config` does not.
const CONFIG_VARIABLE: &str = "CODESCAN_PROXY_CONFIG";

/// Gives the bytes of a file.
pub type ReadFile = Arc<dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync>;

/// All that a reading of the settings depends on. A reload reads the same again.
#[derive(Clone)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// What followed each `--set`. It may hold a secret.
    pub set: Vec<Secret>,
    pub environment: BTreeMap<String, OsString>,
    /// Whether the log goes to a terminal.
    pub terminal: bool,
    pub read_file: ReadFile,
}

impl Sources {
    /// Nothing set, and real files.
    pub fn empty() -> Self {
        Self {
            config: None,
            set: Vec::new(),
            environment: BTreeMap::new(),
            terminal: false,
            read_file: Arc::new(read_file),
        }
    }

    /// This process: its environment as it is now, and its flags.
    pub fn of_process(config: Option<PathBuf>, set: Vec<Secret>, terminal: bool) -> Self {
        let variables = std::env::vars_os();
        let environment =
            variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value)).collect();
        Self { config, set, environment, terminal, ..Self::empty() }
    }

    /// The settings file and where it was named.
    fn settings_file(&self) -> Option<(PathBuf, Place)> {
        if let Some(path) = &self.config {
            return Some((path.clone(), Place::Flag("--config", 0)));
        }
        let named = self.environment.get(CONFIG_VARIABLE).filter(|path| !path.is_empty())?;
        Some((PathBuf::from(named), Place::Variable(CONFIG_VARIABLE.into())))
    }
}

/// What the sources hold together.
pub(super) struct Collected {
    /// By path of the setting, whichever way it was spelled; defaults included.
    pub values: BTreeMap<&'static str, Raw>,
    /// Files read on the way: a change of one of them may change the settings.
    pub files: Vec<PathBuf>,
    /// The settings file could not be read whole.
    pub is_incomplete: bool,
    pub faults: Faults,
}

pub(super) fn collect(sources: &Sources) -> Collected {
    let mut collected = Collected {
        values: BTreeMap::new(),
        files: Vec::new(),
        is_incomplete: false,
        faults: Faults::default(),
    };
    let layers = [
        settings_file(sources, &mut collected),
        environment(sources, &mut collected.faults),
        flags(sources, &mut collected.faults),
    ];
    for layer in layers {
        merge(layer, &mut collected);
    }
    read_named_files(sources, &mut collected);
    fall_back(&mut collected);
    collected
}

fn settings_file(sources: &Sources, collected: &mut Collected) -> Layer {
    let Some((path, place)) = sources.settings_file() else { return Layer::new() };
    match read_text(sources, &path) {
        Ok(text) => {
            let file = toml_file::read(&path, &text, &mut collected.faults);
            collected.is_incomplete = file.is_incomplete;
            collected.files.push(path);
            file.layer
        }
        Err(problem) => {
            collected.is_incomplete = true;
            let message = format!("names a settings file that {problem} ({})", path.display());
            collected.faults.add(place, "", message);
            Layer::new()
        }
    }
}

fn environment(sources: &Sources, faults: &mut Faults) -> Layer {
    let mut layer = Layer::new();
    let ours = sources.environment.iter().filter(|(name, _)| name.starts_with(PREFIX));
    for (name, value) in ours.filter(|(name, _)| *name != CONFIG_VARIABLE) {
        let place = Place::Variable(name.clone());
        match (keys::by_variable(name), value.to_str()) {
            (Some(spelled), Some(text)) => set(&mut layer, faults, spelled, text, place),
            (Some(spelled), None) => faults.add(place, spelled.path(), "is not UTF-8"),
            (None, _) if is_of_kubernetes(name) => {}
            (None, _) => faults.add(place, "", unknown_variable(name)),
        }
    }
    layer
}

/// Kubernetes sets variables for each Service; one named `codescan-proxy…` looks like ours
/// (kubernetes.io, "Accessing the Service", environment variables).
fn is_of_kubernetes(name: &str) -> bool {
    let name = &name[PREFIX.len() - 1..];
    let is_protocol_of_port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number
            && ["TCP", "UDP", "SCTP"].contains(&protocol.split('_').next().unwrap_or_default())
    };
    name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT_")
        || name
            .match_indices("_PORT_")
            .any(|(at, found)| is_protocol_of_port(&name[at + found.len()..]))
}

fn unknown_variable(name: &str) -> String {
    if name.starts_with(&variable("codescan.headers")) {
        return FILE_ONLY.into();
    }
    let known = keys::spellings().map(|spelled| variable(&spelled.path()));
    match nearest(name, known.chain([CONFIG_VARIABLE.to_owned()])) {
        Some(near) => format!("is not a setting; did you mean {near}?"),
        None => "is not a setting; docs/settings.md lists all".into(),
    }
}

fn flags(sources: &Sources, faults: &mut Faults) -> Layer {
    let mut layer = Layer::new();
    for (index, assignment) in sources.set.iter().enumerate() {
        let place = Place::Flag("--set", index + 1);
        // Without `=` the whole may be a secret: it is not shown.
        let Some((path, text)) = assignment.expose().split_once('=') else {
            faults.add(place, "", "has no =; write --set section.key=value");
            continue;
        };
        let path = path.trim();
        match keys::by_path(path) {
            Some(spelled) => set(&mut layer, faults, spelled, text, place),
            None if is_below_a_map(path) => faults.add(place, "codescan.headers", FILE_ONLY),
            None if looks_like_a_setting(path) => faults.add(place, path, unknown_setting(path)),
            None => faults.add(place, "", "has no setting before its =; write section.key=value"),
        }
    }
    layer
}

const FILE_ONLY: &str = "can be set in the settings file only, as [codescan.headers]";

fn is_below_a_map(path: &str) -> bool {
    path.starts_with("codescan.headers.")
}

/// Whether it can be repeated in a fault. Base64 ends with `=` too, so what stands before one
/// may be a secret whose owner left the setting's name out.
fn looks_like_a_setting(path: &str) -> bool {
    const LONGEST: usize = 48;
    let is_name =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    path.len() <= LONGEST && path.split_once('.').is_some_and(|(a, b)| is_name(a) && is_name(b))
}

/// Takes a value from a variable or a flag.
fn set(layer: &mut Layer, faults: &mut Faults, spelled: Spelled, text: &str, place: Place) {
    if spelled.is_settable_by_variable() {
        layer.insert(spelled.path(), Raw::from_text(spelled, text, place));
    } else {
        faults.add(place, spelled.path(), FILE_ONLY);
    }
}

/// Puts a source over those below it. A setting and its `_file` variant are one setting, so
/// either overrides either; both in one source is a contradiction.
fn merge(layer: Layer, collected: &mut Collected) {
    for (path, raw) in &layer {
        let variant = format!("{path}_file");
        if let Some(other) = layer.get(&variant).filter(|_| raw.spelled.key.has_file) {
            let message = format!("is set, and so is {path} ({}); leave one out", raw.place);
            collected.faults.add(other.place.clone(), variant, message);
        }
    }
    for raw in layer.into_values() {
        collected.values.insert(raw.spelled.key.path, raw);
    }
}

/// Replaces each `_file` variant that is in force by the content of its file.
fn read_named_files(sources: &Sources, collected: &mut Collected) {
    let variants = collected.values.values_mut().filter(|raw| raw.spelled.is_file);
    for raw in variants {
        let Value::Text(named) = &raw.value else { continue };
        let path = PathBuf::from(named);
        match read_text(sources, &path) {
            Ok(content) => {
                *raw = Raw::from_content(raw.spelled, &content, raw.place.clone(), path.clone());
                collected.files.push(path);
            }
            Err(problem) => {
                let message = format!("names a file that {problem} ({})", path.display());
                collected.faults.add(raw.place.clone(), raw.spelled.path(), message);
                raw.value = Value::Broken;
            }
        }
    }
}

/// Defaults for what is not set, and faults for what must be.
fn fall_back(collected: &mut Collected) {
    for spelled in keys::spellings().filter(|spelled| !spelled.is_file) {
        let path = spelled.key.path;
        if collected.values.contains_key(path) {
            continue;
        }
        if let Some(raw) = Raw::from_table(spelled) {
            collected.values.insert(path, raw);
        } else if spelled.key.fallback == Fallback::Required && !collected.is_incomplete {
            collected.faults.add(Place::Default, path, missing(spelled));
        }
    }
}

fn missing(spelled: Spelled) -> String {
    let path = spelled.key.path;
    let or_file = if spelled.key.has_file { ", or the same with _file" } else { "" };
    format!("is not set and has no default; set it in the file or as {}{or_file}", variable(path))
}

/// The predicate says what went wrong: "does not exist".
pub(super) fn read_bytes(sources: &Sources, path: &Path) -> Result<Vec<u8>, String> {
    (sources.read_file)(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".into(),
        _ => format!("cannot be read: {error}"),
    })
}

fn read_text(sources: &Sources, path: &Path) -> Result<String, String> {
    String::from_utf8(read_bytes(sources, path)?).map_err(|_| "is not UTF-8 text".into())
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}
