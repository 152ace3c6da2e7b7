//! A sentence in which names of settings and values stand apart from the words.

use std::borrow::Cow;
use std::fmt;

/// How much of a stranger's value is shown.
const MAX_SHOWN: usize = 80;

/// Words, with names of settings and values marked as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

/// A run of words, or something to be read letter by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Words(Cow<'static, str>),
    Exact(Cow<'static, str>),
}

impl Text {
    /// Our own words; what stands between backticks is exact.
    pub fn new(words: &'static str) -> Self {
        Self(Vec::new()).words(words)
    }

    /// More of our own words.
    #[must_use]
    pub fn words(mut self, words: &'static str) -> Self {
        let runs = words.split('`').enumerate().filter(|(_, run)| !run.is_empty());
        self.0.extend(runs.map(|(index, run)| match index % 2 {
            0 => Piece::Words(run.into()),
            _ => Piece::Exact(run.into()),
        }));
        self
    }

    /// A value that the administrator set, whole.
    #[must_use]
    pub fn setting(mut self, value: &str) -> Self {
        self.0.push(Piece::Exact(value.to_owned().into()));
        self
    }

    /// A value that a stranger or another program chose: bounded, on one line.
    #[must_use]
    pub fn value(mut self, value: &str) -> Self {
        self.0.push(Piece::Exact(shown(value).into()));
        self
    }

    /// A number with its unit.
    #[must_use]
    pub(super) fn amount(mut self, amount: String) -> Self {
        self.0.push(Piece::Words(amount.into()));
        self
    }

    /// The runs of words and exact things, in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

impl From<&'static str> for Text {
    fn from(words: &'static str) -> Self {
        Self::new(words)
    }
}

/// The sentence in plain text, exact pieces between backticks.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Words(words) => f.write_str(words),
            Piece::Exact(value) => write!(f, "`{value}`"),
        })
    }
}

/// `value` without characters that act on the text around them, cut to [`MAX_SHOWN`].
fn shown(value: &str) -> String {
    let mut visible = value.chars().filter(|&c| !acts_on_text(c));
    let mut shown: String = visible.by_ref().take(MAX_SHOWN).collect();
    if visible.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and the invisible ones that turn the direction of writing (UAX #9 §2)
/// or join nothing: with them a name could be made to look like another.
fn acts_on_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '`' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_between_backticks_stand_apart() {
        let text = Text::new("Set `a.b` to ").setting("c`d").words(".");
        let expected = [
            Piece::Words("Set ".into()),
            Piece::Exact("a.b".into()),
            Piece::Words(" to ".into()),
            Piece::Exact("c`d".into()),
            Piece::Words(".".into()),
        ];
        assert_eq!(text.pieces(), expected);
        assert_eq!(Text::new("Set `a.b`.").to_string(), "Set `a.b`.");
    }

    #[test]
    fn what_strangers_chose_is_short_and_on_one_line() {
        let cases = [
            ("alice", "alice".to_owned()),
            ("a\r\nb\tc\u{1b}[31m", "abc[31m".to_owned()),
            ("\u{202e}ecila\u{200b}\u{feff}\u{2066}", "ecila".to_owned()),
            ("Łukasz 中", "Łukasz 中".to_owned()),
            (&"x".repeat(80), "x".repeat(80)),
            (&"ä".repeat(81), format!("{}…", "ä".repeat(80))),
        ];
        for (value, expected) in cases {
            let text = Text::new("").value(value);
            assert_eq!(text.pieces(), [Piece::Exact(expected.into())], "{value:?}");
        }
    }
}
