//! Values as they were found, before anybody asks what they mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::faults::Place;
use super::key::{Fallback, Kind};
use super::keys::Spelled;

/// One value and where it came from. No `Debug`: it may be a secret.
#[derive(Clone)]
pub(super) struct Raw {
    pub spelled: Spelled,
    pub value: Value,
    pub place: Place,
    /// The file whose content this is, for a `_file` variant.
    pub read_from: Option<PathBuf>,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<Item>),
    /// Names and templates, in the order of the file.
    Map(Vec<(String, Item)>),
    /// Something that a fault has been reported for already.
    Broken,
}

/// One entry of a list or map, with its own place: lists go over several lines.
#[derive(Clone)]
pub(super) struct Item {
    pub text: String,
    pub place: Place,
}

/// What one source sets, by the path as it was spelled.
pub(super) type Layer = BTreeMap<String, Raw>;

impl Raw {
    pub(super) fn new(spelled: Spelled, value: Value, place: Place) -> Self {
        Self { spelled, value, place, read_from: None }
    }

    /// From a variable or a flag, where a list is comma-separated.
    pub(super) fn from_text(spelled: Spelled, text: &str, place: Place) -> Self {
        let value = match spelled.kind() {
            Kind::List(_) => split_list(text, &[','], &place),
            Kind::TextOrList if text.contains(',') => split_list(text, &[','], &place),
            _ => Value::Text(text.to_owned()),
        };
        Self::new(spelled, value, place)
    }

    /// The content of the file that a `_file` variant names. Lists have one entry a line, or
    /// commas.
    pub(super) fn from_content(
        spelled: Spelled,
        content: &str,
        place: Place,
        file: PathBuf,
    ) -> Self {
        let text = content.trim();
        let value = match spelled.key.kind {
            Kind::TextOrList if text.contains([',', '\n']) => {
                split_list(text, &[',', '\n'], &place)
            }
            _ => Value::Text(text.to_owned()),
        };
        Self { spelled, value, place, read_from: Some(file) }
    }

    /// What the table says for a setting that nobody set, where it says it as a value.
    pub(super) fn from_table(spelled: Spelled) -> Option<Self> {
        let item = |text: &str| Item { text: text.to_owned(), place: Place::Default };
        let value = match spelled.key.fallback {
            Fallback::Required | Fallback::Words(_) => return None,
            Fallback::Text(text) => Value::Text(text.to_owned()),
            Fallback::List(texts) => Value::List(texts.iter().map(|text| item(text)).collect()),
            Fallback::Map(entries) => Value::Map(
                entries.iter().map(|(name, text)| ((*name).to_owned(), item(text))).collect(),
            ),
        };
        Some(Self::new(spelled, value, Place::Default))
    }
}

/// Trimmed entries; nothing but blanks is an empty list.
fn split_list(text: &str, separators: &[char], place: &Place) -> Value {
    if text.trim().is_empty() {
        return Value::List(Vec::new());
    }
    let items = text.split(separators).map(str::trim);
    Value::List(items.map(|text| Item { text: text.to_owned(), place: place.clone() }).collect())
}
