//! Requests and answers as values, and what has been seen of one.

use std::fmt;

use crate::pairs::HOST;
use crate::upstream::EXCHANGE;

/// Names as they are written; values without the white space around them.
pub type Fields = Vec<(String, Vec<u8>)>;

#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub host: &'static str,
    /// HTTP/1.0.
    pub is_old: bool,
    /// Without those that frame the body, and without `Host`.
    pub fields: Fields,
    pub body: Body,
    /// Its body waits for a 100.
    pub expects: bool,
    /// It brings the cookie of a session.
    pub has_session: bool,
}

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub fields: Fields,
    pub body: Body,
    /// A 103 comes first.
    pub hints: bool,
}

#[derive(Clone)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub framing: Framing,
    /// Where it is chunked.
    pub trailers: Fields,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none, and nothing is said of it.
    None,
    Length,
    /// Chunks of these sizes, again and again.
    Chunks(Vec<usize>),
    /// An answer's.
    UntilClose,
}

/// A message as it arrived.
#[derive(Default)]
pub struct Seen {
    /// Method and target, or the status.
    pub line: String,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

impl Request {
    /// Without a body or a session.
    pub fn get(target: &str, fields: Fields) -> Self {
        Self {
            method: "GET",
            target: target.to_owned(),
            host: HOST,
            is_old: false,
            fields,
            body: Body { bytes: Vec::new(), framing: Framing::None, trailers: Fields::new() },
            expects: false,
            has_session: false,
        }
    }

    pub fn in_exchange(mut self, name: &str) -> Self {
        self.fields.push((EXCHANGE.to_owned(), name.as_bytes().to_vec()));
        self
    }
}

pub fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

/// Every value of a field.
pub fn all<'f>(fields: &'f Fields, name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |(key, _)| is(key, name)).map(|(_, value)| value.as_slice())
}

pub fn value<'f>(fields: &'f Fields, name: &'f str) -> Option<&'f str> {
    all(fields, name).next().and_then(|value| std::str::from_utf8(value).ok())
}

impl Seen {
    pub fn value<'f>(&'f self, name: &'f str) -> Option<&'f str> {
        value(&self.fields, name)
    }
}

fn shown(fields: &Fields) -> String {
    let line = |(name, value): &(String, Vec<u8>)| format!("  {name}: {}\n", value.escape_ascii());
    fields.iter().map(line).collect()
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, framing) = (self.bytes.len(), &self.framing);
        write!(f, "{length} bytes, {framing:?}, trailers:\n{}", shown(&self.trailers))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = if self.is_old { " HTTP/1.0" } else { "" };
        writeln!(f, "{} {}{old} expects {}", self.method, self.target, self.expects)?;
        write!(f, "{}{:?}", shown(&self.fields), self.body)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}{:?}", self.status, shown(&self.fields), self.body)
    }
}
