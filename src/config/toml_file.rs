//! The settings file: TOML to raw values, each with its line.
//!
//! A file that is not TOML may break anywhere, also within a secret. Of such a file only lines
//! are told, and names only where they are ours.

use std::collections::BTreeSet;
use std::path::Path;

use serde_spanned::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::faults::{Faults, Place, nearest};
use super::key::Kind;
use super::keys::{self, Spelled};
use super::raw::{Item, Layer, Raw, Value};

/// What a settings file holds.
pub(super) struct FileLayer {
    pub layer: Layer,
    /// Not all of it could be read: what seems to be missing may be there.
    pub is_incomplete: bool,
}

pub(super) fn read(path: &Path, text: &str, faults: &mut Faults) -> FileLayer {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut file = File { path, text, faults, layer: Layer::new(), broken: BTreeSet::new() };
    for error in &errors {
        file.syntax_error(error);
    }
    if !file.lost_a_header() {
        file.document(document.get_ref());
    }
    FileLayer { is_incomplete: !errors.is_empty(), layer: file.layer }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    faults: &'a mut Faults,
    layer: Layer,
    /// Lines that hold a syntax error.
    broken: BTreeSet<usize>,
}

type Name<'i> = Spanned<DeString<'i>>;
type Content<'i> = Spanned<DeValue<'i>>;

impl File<'_> {
    /// `error` in full would show the line, so only its message is used: it holds no text of
    /// the file.
    fn syntax_error(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let line = self.line(span.start);
        self.broken.insert(line);
        let place = self.place(line);
        self.faults.add(place, "", format!("is not TOML: {}", error.message()));
    }

    /// Without a header it is unknown to which section the lines below it belong.
    fn lost_a_header(&self) -> bool {
        let line = |number: &usize| self.text.lines().nth(number - 1).unwrap_or_default();
        self.broken.iter().any(|number| line(number).trim_start().starts_with('['))
    }

    fn document(&mut self, table: &DeTable) {
        for (name, value) in table {
            let section = name.get_ref().as_ref();
            let is_known = keys::sections().contains(&section);
            match value.get_ref() {
                DeValue::Table(entries) if is_known => self.section(section, entries),
                _ if is_known => {
                    self.add(name, section, &format!("is a section; write [{section}]"));
                }
                DeValue::Table(_) => self.unknown(name, section, &unknown_section(section)),
                _ => self.unknown(name, section, &outside_sections(section)),
            }
        }
    }

    fn section(&mut self, section: &str, entries: &DeTable) {
        for (name, value) in entries {
            let path = format!("{section}.{}", name.get_ref());
            match keys::by_path(&path) {
                Some(spelled) => self.setting(spelled, name, value),
                None => self.unknown(name, &path, &unknown_setting(&path)),
            }
        }
    }

    fn setting(&mut self, spelled: Spelled, name: &Name, value: &Content) {
        let place = self.place(self.line(name.span().start));
        let value = if self.is_broken(name.span().start, value.span().end) {
            Value::Broken
        } else {
            self.value(spelled, value).unwrap_or_else(|| {
                let message = format!("must be {}", spelled.kind().expected());
                self.faults.add(place.clone(), spelled.path(), message);
                Value::Broken
            })
        };
        self.layer.insert(spelled.path(), Raw::new(spelled, value, place));
    }

    /// The value, if it has the form that the setting wants.
    fn value(&self, spelled: Spelled, value: &Content) -> Option<Value> {
        match (spelled.kind(), value.get_ref()) {
            (Kind::List(_) | Kind::TextOrList, DeValue::Array(items)) => {
                items.iter().map(|item| self.item(item)).collect::<Option<_>>().map(Value::List)
            }
            (Kind::Map, DeValue::Table(entries)) => self.map(entries),
            (Kind::Switch, DeValue::Boolean(switch)) => Some(Value::Text(switch.to_string())),
            (Kind::Count | Kind::Size, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
                Some(Value::Text(number.to_string()))
            }
            (Kind::Mode, DeValue::Integer(mode)) if mode.radix() == 8 => {
                Some(Value::Text(mode.as_str().to_owned()))
            }
            (Kind::List(_) | Kind::Map | Kind::Switch | Kind::Count, _) => None,
            (_, DeValue::String(text)) => Some(Value::Text(text.to_string())),
            _ => None,
        }
    }

    fn map(&self, entries: &DeTable) -> Option<Value> {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let entry = |(name, value): (&Name, &Content)| {
            self.item(value).map(|item| (name.get_ref().to_string(), item))
        };
        entries.into_iter().map(entry).collect::<Option<_>>().map(Value::Map)
    }

    fn item(&self, item: &Content) -> Option<Item> {
        let text = item.get_ref().as_str()?.to_owned();
        Some(Item { text, place: self.place(self.line(item.span().start)) })
    }

    /// Names that nobody knows are told only of a whole file: in a broken one they may be the
    /// second half of a secret.
    fn unknown(&mut self, name: &Name, shown: &str, message: &str) {
        if self.broken.is_empty() {
            self.add(name, &shown.escape_debug().to_string(), message);
        }
    }

    fn add(&mut self, name: &Name, shown: &str, message: &str) {
        let place = self.place(self.line(name.span().start));
        self.faults.add(place, shown, message);
    }

    /// Whether a syntax error lies between the two. A value that is missing ends nowhere.
    fn is_broken(&self, start: usize, end: usize) -> bool {
        let lines = self.line(start)..=self.line(end.max(start));
        self.broken.range(lines).next().is_some()
    }

    fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    fn place(&self, line: usize) -> Place {
        Place::File { path: self.path.to_owned(), line }
    }
}

/// The message for a `section.name` that is no setting; flags use it too.
pub(super) fn unknown_setting(path: &str) -> String {
    let name = path.split_once('.').map_or(path, |(_, name)| name);
    let elsewhere = keys::spellings()
        .map(Spelled::path)
        .find(|known| known.split_once('.').is_some_and(|(_, known)| known == name));
    let near = nearest(path, keys::spellings().map(Spelled::path)).or(elsewhere);
    match near {
        Some(near) => format!("is not a setting; did you mean {near}?"),
        None => "is not a setting; docs/settings.md lists all".into(),
    }
}

fn unknown_section(section: &str) -> String {
    let known = keys::sections();
    match nearest(section, known.iter().copied()) {
        Some(near) => format!("is not a section; did you mean [{near}]?"),
        None => format!("is not a section; there are [{}]", known.join("], [")),
    }
}

fn outside_sections(name: &str) -> String {
    let home = keys::spellings()
        .find(|spelled| spelled.path().split_once('.').is_some_and(|(_, own)| own == name));
    match home {
        Some(home) => format!("stands outside a section; put it under [{}]", home.key.section()),
        None => "stands outside a section and is not a setting".into(),
    }
}
