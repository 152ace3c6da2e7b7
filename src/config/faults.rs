//! What is wrong with the settings, all of it at once, in words for whoever wrote them.
//!
//! A fault never holds the value of a secret: parsers of secrets do not quote, and of a file
//! that is not TOML only places are told.

use std::fmt;
use std::path::PathBuf;

/// Where a value was set. The order is the one in which faults are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line 0 is the file as a whole.
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
    /// The flag, and which of several it is (from 1; 0 where there can be only one).
    Flag(&'static str, usize),
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name, 0) => f.write_str(name),
            Self::Flag(name, number) => write!(f, "{name} (number {number})"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub place: Place,
    /// The setting as it was spelled; empty where none can be named.
    pub key: String,
    /// A predicate to the key, with what to do: "is not a duration; write `30s`".
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Default {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, by place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { place, key: key.into(), message: message.into() });
    }

    /// Sorts by place and drops repetitions; nothing wrong is `Ok`.
    pub(super) fn into_result(mut self) -> Result<(), Self> {
        self.0.sort();
        self.0.dedup();
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// For what a test of the table rules out: values missing without a fault.
    pub(super) fn unexplained(message: &str) -> Self {
        let mut faults = Self::default();
        faults.add(Place::Default, "", message);
        faults
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One fault a line.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_end = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "{fault}{line_end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// The candidate that `word` was probably meant to be.
pub fn nearest<T: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let bound = (word.chars().count() / 4).clamp(2, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A value in a sentence: escaped, and cut where it is long. Never for secrets.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = text.chars().take(LONGEST).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", shown.escape_debug())
}
