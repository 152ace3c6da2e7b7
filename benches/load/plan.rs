//! What is asked for, in words of the form `key=value`.

use std::collections::HashMap;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use url::{Position, Url};

use crate::Result;

/// One run of the load.
pub struct Plan {
    /// `http://` or `https://`, an address and a port.
    pub origin: Url,
    pub path: String,
    /// `name=value`, one of them at random for each request.
    pub cookies: Vec<String>,
    /// PEM file of the one certificate to trust.
    pub ca: Option<String>,
    /// HTTP/2 with so many streams at a time on each connection; 0 is HTTP/1.1.
    pub streams: usize,
    pub connections: usize,
    /// A new connection for each request, without resumption of TLS sessions.
    pub each_new: bool,
    /// Bytes sent with each request, which is then a POST.
    pub body: u64,
    pub end: End,
    /// Requests a second, however long the answers take; `None`: each answer calls for the next.
    pub rate: Option<f64>,
}

/// When it is over.
#[derive(Clone, Copy)]
pub enum End {
    After(Duration),
    Requests(u64),
}

impl Plan {
    pub fn read(words: &[String]) -> Result<Self> {
        let mut given = Words::of(words)?;
        let seconds: Option<f64> = given.optional("seconds")?;
        let plan = Self {
            origin: given.needed("origin")?,
            path: given.optional("path")?.unwrap_or_else(|| "/".to_owned()),
            cookies: cookies(&given.needed::<String>("cookies")?)?,
            ca: given.optional("ca")?,
            streams: given.optional("streams")?.unwrap_or(0),
            connections: given.optional("connections")?.unwrap_or(64),
            each_new: given.optional("each_new")?.unwrap_or(false),
            body: given.optional("body")?.unwrap_or(0),
            end: match seconds {
                Some(seconds) => End::After(Duration::from_secs_f64(seconds)),
                None => End::Requests(given.needed("requests")?),
            },
            rate: given.optional("rate")?,
        };
        given.none_left()?;
        Ok(plan)
    }

    /// Host and port, as `Host` says it.
    pub fn authority(&self) -> &str {
        &self.origin[Position::BeforeHost..Position::AfterPort]
    }

    pub fn is_secure(&self) -> bool {
        self.origin.scheme() == "https"
    }

    pub fn cookie(&self) -> &str {
        &self.cookies[fastrand::usize(..self.cookies.len())]
    }
}

fn cookies(file: &str) -> Result<Vec<String>> {
    let cookies: Vec<String> = fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    if cookies.is_empty() { Err(format!("{file} is empty").into()) } else { Ok(cookies) }
}

struct Words<'a>(HashMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn of(words: &'a [String]) -> Result<Self> {
        let pair = |word: &'a String| word.split_once('=').ok_or(format!("no '=' in {word}"));
        Ok(Self(words.iter().map(pair).collect::<std::result::Result<_, _>>()?))
    }

    fn optional<T: FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        let parse =
            |text: &str| text.parse().map_err(|_| format!("{key}={text} is not understood"));
        Ok(self.0.remove(key).map(parse).transpose()?)
    }

    fn needed<T: FromStr>(&mut self, key: &str) -> Result<T> {
        self.optional(key)?.ok_or_else(|| format!("{key}= is missing").into())
    }

    fn none_left(&self) -> Result<()> {
        match self.0.keys().next() {
            Some(key) => Err(format!("{key}= is not known").into()),
            None => Ok(()),
        }
    }
}
