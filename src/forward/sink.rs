//! What the fields of a request are written into: the lines of an HTTP/1.1 head, or the map of an
//! HTTP/2 one. The rules for them ([`super::fields`]) are walked once, whatever it is.

use http::header::{CONNECTION, EXPECT, HOST, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

pub trait Sink {
    /// `Host`, or `:authority` (RFC 9113 §8.3.1).
    fn host(&mut self, host: &HeaderValue);

    fn field(&mut self, name: &HeaderName, value: &HeaderValue);

    /// A field whose value is made while it is written, of visible ASCII and spaces.
    fn made(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>));

    /// As `made`, and left out if nothing comes of it.
    fn perhaps(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>) -> bool);

    fn prepared(&mut self, prepared: &Prepared);

    /// `TE: trailers`, which is between neighbours (RFC 9110 §10.1.4).
    fn takes_trailers(&mut self);

    /// Asks for another protocol; HTTP/2 has no such thing.
    fn upgrade(&mut self, protocol: &HeaderValue);
}

/// The one or the other.
pub enum Either<'a> {
    Lines(&'a mut Vec<u8>),
    Map(&'a mut FieldMap),
}

/// Fields that are the same in every request, in both forms.
#[derive(Debug, Clone)]
pub struct Prepared {
    lines: Vec<u8>,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Prepared {
    pub fn new(fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        let mut lines = Vec::new();
        for (name, value) in &fields {
            lines.field(name, value);
        }
        Self { lines, fields }
    }
}

/// Lines of a head (RFC 9112 §5).
impl Sink for Vec<u8> {
    fn host(&mut self, host: &HeaderValue) {
        self.field(&HOST, host);
    }

    /// Name and value were parsed, so they hold no line end.
    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.extend_from_slice(part);
        }
    }

    fn made(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>)) {
        self.extend_from_slice(name.as_str().as_bytes());
        self.extend_from_slice(b": ");
        make(self);
        self.extend_from_slice(b"\r\n");
    }

    fn perhaps(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>) -> bool) {
        let (before, mut comes) = (self.len(), true);
        self.made(name, |out| comes = make(out));
        if !comes {
            self.truncate(before);
        }
    }

    fn prepared(&mut self, prepared: &Prepared) {
        self.extend_from_slice(&prepared.lines);
    }

    fn takes_trailers(&mut self) {
        self.field(&TE, &TRAILERS);
        self.field(&CONNECTION, &HeaderValue::from_static("te"));
    }

    fn upgrade(&mut self, protocol: &HeaderValue) {
        self.field(&CONNECTION, &HeaderValue::from_static("upgrade"));
        self.field(&UPGRADE, protocol);
    }
}

const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// The fields of an HTTP/2 request.
#[derive(Debug, Default)]
pub struct FieldMap {
    pub fields: HeaderMap,
    pub authority: Option<HeaderValue>,
}

impl FieldMap {
    /// What names somebody stays out of the compression's table, which the requests of all people
    /// share (RFC 7541 §7.1.3): so all but what is known to be harmless.
    fn append(&mut self, name: &HeaderName, mut value: HeaderValue) {
        let is_harmless = matches!(
            name.as_str(),
            "accept"
                | "accept-encoding"
                | "accept-language"
                | "content-type"
                | "user-agent"
                | "via"
        );
        value.set_sensitive(!is_harmless);
        self.fields.append(name, value);
    }
}

impl Sink for FieldMap {
    fn host(&mut self, host: &HeaderValue) {
        self.authority = Some(host.clone());
    }

    /// Nobody waits for the 100 that `Expect` asks for: the body follows at once.
    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        if name != EXPECT {
            self.append(name, value.clone());
        }
    }

    fn made(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>)) {
        self.perhaps(name, |out| {
            make(out);
            true
        });
    }

    fn perhaps(&mut self, name: &HeaderName, make: impl FnOnce(&mut Vec<u8>) -> bool) {
        let mut value = Vec::new();
        if make(&mut value)
            && let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        {
            self.append(name, value);
        }
    }

    fn prepared(&mut self, prepared: &Prepared) {
        self.fields.extend(prepared.fields.iter().cloned());
    }

    fn takes_trailers(&mut self) {
        self.fields.insert(TE, TRAILERS);
    }

    fn upgrade(&mut self, _: &HeaderValue) {}
}
