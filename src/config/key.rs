//! What one setting is: the columns of the table in [`super::keys`].

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// `section.name`, as people write it.
    pub path: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    /// Never printed: not in `check`, not in a fault, not in a log line.
    pub secret: bool,
    /// Whether a reload puts a new value in force.
    pub reloadable: bool,
    /// Whether `<path>_file` may name a file whose trimmed content is the value.
    pub has_file: bool,
    /// One sentence for the reference page.
    pub help: &'static str,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Url,
    Address,
    Path,
    Duration,
    Size,
    Count,
    Switch,
    /// Permission bits, in octal.
    Mode,
    OneOf(&'static [&'static str]),
    /// A list of what the word says.
    List(&'static str),
    TextOrList,
    /// A table of names and templates, in the settings file only.
    Map,
}

/// What holds when nothing is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing does: it must be set.
    Required,
    Text(&'static str),
    List(&'static [&'static str]),
    Map(&'static [(&'static str, &'static str)]),
    /// Made from other settings or from the surroundings; or nothing. In words.
    Words(&'static str),
}

impl Kind {
    /// The word of the reference page.
    pub fn word(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Url => "URL".into(),
            Self::Address => "address".into(),
            Self::Path => "path of a file".into(),
            Self::Duration => "duration".into(),
            Self::Size => "size".into(),
            Self::Count => "whole number".into(),
            Self::Switch => "`true` or `false`".into(),
            Self::Mode => "octal mode".into(),
            Self::OneOf(choices) => {
                choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(" or ")
            }
            Self::List(of) => format!("list of {of}"),
            Self::TextOrList => "text, or a list of texts".into(),
            Self::Map => "table of name and template".into(),
        }
    }

    /// What a settings file must hold, with an example.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text | Self::OneOf(_) => "text in quotes",
            Self::Url => "a URL in quotes",
            Self::Address => "an address in quotes, such as \"0.0.0.0:8080\"",
            Self::Path => "the path of a file in quotes",
            Self::Duration => "a duration in quotes, such as \"30s\"",
            Self::Size => "a size in quotes, such as \"32KiB\", or a number of bytes",
            Self::Count => "a whole number without quotes",
            Self::Switch => "true or false without quotes",
            Self::Mode => "an octal mode in quotes, such as \"0660\"",
            Self::List(_) => "a list of texts, such as [\"one\", \"two\"]",
            Self::TextOrList => "text in quotes, or a list of texts",
            Self::Map => "a table of names and texts",
        }
    }
}

/// A key that is not secret, can change at run time and has no `_file` variant.
pub(super) const fn key(
    path: &'static str,
    kind: Kind,
    fallback: Fallback,
    help: &'static str,
) -> Key {
    Key { path, kind, fallback, secret: false, reloadable: true, has_file: false, help }
}

impl Key {
    /// Cannot change at run time.
    pub(super) const fn fixed(mut self) -> Self {
        self.reloadable = false;
        self
    }

    /// A secret, which can also be read from a file.
    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self.has_file = true;
        self
    }

    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }
}

/// The environment variable of a path (`bitbucket.client_id`, or its `_file` variant).
pub fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// What names of our environment variables begin with.
pub const PREFIX: &str = "CODESCAN_PROXY_";
