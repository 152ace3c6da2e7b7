//! Turns raw values into typed ones, and keeps what is wrong and what is in force.

use std::collections::BTreeMap;

use super::Effective;
use super::faults::{Faults, Place};
use super::key::{Fallback, Key};
use super::keys::{self, KEYS};
use super::raw::{Item, Raw, Value};
use super::sources::Collected;
use crate::secret::Secret;

/// What stands for a secret wherever settings are shown.
const MASK: &str = "****";

/// Each `Option` it gives is `None` where a fault has been reported.
pub(super) struct Reader {
    values: BTreeMap<&'static str, Raw>,
    pub faults: Faults,
    pub is_incomplete: bool,
}

impl Reader {
    pub(super) fn new(collected: Collected) -> Self {
        let Collected { values, faults, is_incomplete, .. } = collected;
        Self { values, faults, is_incomplete }
    }

    /// What holds for `path` if nobody set it, where other settings say so.
    pub(super) fn derive(&mut self, path: &'static str, text: Option<String>) {
        let (Some(spelled), Some(text)) = (keys::by_path(path), text) else { return };
        let raw = || Raw::new(spelled, Value::Text(text), Place::Default);
        self.values.entry(path).or_insert_with(raw);
    }

    /// A setting that always has a value.
    pub(super) fn one<T>(
        &mut self,
        path: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let raw = self.values.get(path)?;
        let Value::Text(text) = &raw.value else { return None };
        parse(text).map_err(|message| blame(&mut self.faults, raw, &raw.place, message)).ok()
    }

    /// A setting that may be absent; an empty text is that too.
    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    pub(super) fn optional<T>(
        &mut self,
        path: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.values.get(path).map(|raw| &raw.value) {
            None => Some(None),
            Some(Value::Text(text)) if text.is_empty() => Some(None),
            Some(_) => self.one(path, parse).map(Some),
        }
    }

    /// A list: each entry that is wrong is a fault of its own. A single text is a list of one.
    pub(super) fn many<T>(
        &mut self,
        path: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let Some(raw) = self.values.get(path) else { return Some(Vec::new()) };
        let single;
        let items = match &raw.value {
            Value::List(items) => items,
            Value::Text(text) => {
                single = vec![Item { text: text.clone(), place: raw.place.clone() }];
                &single
            }
            Value::Map(_) | Value::Broken => return None,
        };
        let mut parsed = Vec::with_capacity(items.len());
        for item in items {
            match parse(&item.text) {
                Ok(value) => parsed.push(value),
                Err(message) => blame(&mut self.faults, raw, &item.place, message),
            }
        }
        (parsed.len() == items.len()).then_some(parsed)
    }

    /// The entries of a table, as they were written.
    pub(super) fn entries(&self, path: &str) -> Option<Vec<(String, Item)>> {
        match self.values.get(path).map(|raw| &raw.value) {
            Some(Value::Map(entries)) => Some(entries.clone()),
            _ => None,
        }
    }

    /// A value for a check that looks at several: wrong ones have been reported elsewhere.
    pub(super) fn peek<T>(
        &self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match &self.values.get(path)?.value {
            Value::Text(text) => parse(text).ok(),
            Value::List(_) | Value::Map(_) | Value::Broken => None,
        }
    }

    /// The texts of a list, right or wrong.
    pub(super) fn texts(&self, path: &str) -> Vec<&str> {
        match self.values.get(path).map(|raw| &raw.value) {
            Some(Value::List(items)) => items.iter().map(|item| item.text.as_str()).collect(),
            Some(Value::Text(text)) => vec![text],
            Some(Value::Map(_) | Value::Broken) | None => Vec::new(),
        }
    }

    /// Whether it is a list without an entry.
    pub(super) fn is_empty_list(&self, path: &str) -> bool {
        let value = self.values.get(path).map(|raw| &raw.value);
        matches!(value, Some(Value::List(items)) if items.is_empty())
    }

    /// Whether somebody set it, to something and not to an empty text.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.values.get(path).is_some_and(|raw| {
            let is_empty = matches!(&raw.value, Value::Text(text) if text.is_empty());
            raw.place != Place::Default && !is_empty
        })
    }

    /// Whether the value itself (not the name of a file that holds it) came by a flag.
    pub(super) fn is_value_from_flag(&self, path: &str) -> bool {
        let raw = self.values.get(path);
        raw.is_some_and(|raw| matches!(raw.place, Place::Flag(..)) && !raw.spelled.is_file)
    }

    /// Where it was set; the default's place where it was not.
    pub(super) fn place(&self, path: &str) -> Place {
        self.values.get(path).map_or(Place::Default, |raw| raw.place.clone())
    }

    /// What is in force, in the order of the table.
    pub(super) fn effective(&self) -> Vec<Effective> {
        KEYS.iter().flat_map(|key| self.effective_of(key)).collect()
    }

    fn effective_of(&self, key: &'static Key) -> Vec<Effective> {
        let Some(raw) = self.values.get(key.path) else {
            let shown = match key.fallback {
                Fallback::Words(words) => format!("({})", words.replace('`', "")),
                _ => String::new(),
            };
            return vec![Effective::new(key, key.path.to_owned(), shown, "default".into(), "")];
        };
        let origin = origin(raw);
        match &raw.value {
            Value::Map(entries) if !entries.is_empty() => entries
                .iter()
                .map(|(name, item)| {
                    let path = format!("{}.{name}", key.path);
                    let shown = super::headers::shown(&item.text);
                    Effective::new(key, path, shown, item.place.to_string(), &item.text)
                })
                .collect(),
            value => {
                let text = plain(value);
                // What the table says for everybody is no secret.
                let is_hidden = key.secret && raw.place != Place::Default;
                let shown = if is_hidden { MASK.to_owned() } else { text.clone() };
                vec![Effective::new(key, key.path.to_owned(), shown, origin, &text)]
            }
        }
    }
}

fn blame(faults: &mut Faults, raw: &Raw, place: &Place, message: String) {
    faults.add(place.clone(), raw.spelled.path(), message);
}

fn origin(raw: &Raw) -> String {
    match &raw.read_from {
        Some(file) => format!("{} (content of {})", raw.place, file.display()),
        None => raw.place.to_string(),
    }
}

/// A value as `check` shows it.
fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() => "\"\"".into(),
        Value::Text(text) => text.escape_debug().to_string(),
        Value::List(items) => {
            let texts: Vec<String> =
                items.iter().map(|item| format!("\"{}\"", item.text.escape_debug())).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Map(_) => "{}".into(),
        Value::Broken => String::new(),
    }
}

impl Effective {
    fn new(key: &'static Key, path: String, shown: String, origin: String, whole: &str) -> Self {
        Self { key: path, shown_value: shown, origin, table_key: key, whole: Secret::new(whole) }
    }
}
