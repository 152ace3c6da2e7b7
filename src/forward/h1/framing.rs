//! Where an answer's body ends (RFC 9112 §6.3), and whether its connection can serve again.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
}

/// An answer that could be read in two ways, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("its Content-Length is none, or several that differ")]
    Length,
    #[error("it has both a Content-Length and a Transfer-Encoding")]
    Both,
    #[error("its Transfer-Encoding is not just chunked")]
    Coding,
}

/// What an answer's head says of its body and of its connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    length: Option<u64>,
    /// `Content-Length` fields, a list in one of them counting as another.
    lengths: usize,
    chunked: bool,
    closes: bool,
}

impl Said {
    /// Looks once at each field.
    pub fn new(version: Version, fields: &HeaderMap) -> Result<Self, FramingError> {
        let mut said = Self::default();
        for (name, value) in fields {
            if *name == CONTENT_LENGTH {
                said.add_length(value.as_bytes())?;
            } else if *name == TRANSFER_ENCODING {
                said.add_coding(version, value.as_bytes())?;
            } else if *name == CONNECTION {
                let mut options = value.as_bytes().split(|byte| *byte == b',');
                said.closes |=
                    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
        if said.chunked && said.length.is_some() { Err(FramingError::Both) } else { Ok(said) }
    }

    /// A list of equal values counts as one (RFC 9110 §8.6).
    fn add_length(&mut self, field: &[u8]) -> Result<(), FramingError> {
        for value in field.split(|byte| *byte == b',') {
            let this = decimal(value.trim_ascii()).ok_or(FramingError::Length)?;
            if self.length.is_some_and(|other| other != this) {
                return Err(FramingError::Length);
            }
            self.length = Some(this);
            self.lengths += 1;
        }
        Ok(())
    }

    fn add_coding(&mut self, version: Version, coding: &[u8]) -> Result<(), FramingError> {
        let is_chunked = version == Version::HTTP_11 && coding.eq_ignore_ascii_case(b"chunked");
        if !is_chunked || self.chunked {
            return Err(FramingError::Coding);
        }
        self.chunked = true;
        Ok(())
    }

    /// Says once what was said several times, so that nobody behind us can read it otherwise.
    pub fn say_length_once(&self, fields: &mut HeaderMap) {
        if let (2.., Some(length)) = (self.lengths, self.length) {
            fields.insert(CONTENT_LENGTH, length.into());
        }
    }

    /// Whether the server keeps the connection open after this answer (RFC 9112 §9.3).
    pub fn is_kept(&self, version: Version, framing: Framing) -> bool {
        version == Version::HTTP_11 && framing != Framing::UntilClose && !self.closes
    }

    /// Where the body ends. `asked` is the method of the request.
    pub fn framing(&self, asked: &Method, status: StatusCode) -> Framing {
        let has_none = *asked == Method::HEAD
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match (has_none, self.chunked, self.length) {
            (true, _, _) | (_, _, Some(0)) => Framing::Empty,
            (false, true, _) => Framing::Chunked,
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::UntilClose,
        }
    }
}

/// `1*DIGIT`: no sign, no white space (CVE-2021-32715).
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(text: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in text {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    fn framed(text: &[(&'static str, &'static str)]) -> Result<Framing, FramingError> {
        let said = Said::new(Version::HTTP_11, &fields(text))?;
        Ok(said.framing(&Method::GET, StatusCode::OK))
    }

    #[test]
    fn ends_of_bodies() {
        assert_eq!(framed(&[]), Ok(Framing::UntilClose));
        assert_eq!(framed(&[("content-length", "0")]), Ok(Framing::Empty));
        assert_eq!(framed(&[("content-length", "5, 5")]), Ok(Framing::Length(5)));
        assert_eq!(framed(&[("transfer-encoding", "Chunked")]), Ok(Framing::Chunked));
    }

    #[test]
    fn a_length_said_twice_is_passed_on_once() {
        for said in [&["5, 5"][..], &["5", "5"], &["05"]] {
            let mut fields: HeaderMap =
                said.iter().map(|it| (CONTENT_LENGTH, HeaderValue::from_static(it))).collect();
            for it in &said[1..] {
                fields.append(CONTENT_LENGTH, HeaderValue::from_static(it));
            }
            let read = |fields: &HeaderMap| Said::new(Version::HTTP_11, fields).expect("equal");
            read(&fields).say_length_once(&mut fields);
            assert_eq!(fields.get_all(CONTENT_LENGTH).iter().count(), 1, "{said:?}");
            assert_eq!((read(&fields).length, read(&fields).lengths), (Some(5), 1));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways() {
        for odd in ["+5", "-5", "5x", "", " ", "5,", "5, 6", "0x5", "99999999999999999999"] {
            assert_eq!(framed(&[("content-length", odd)]), Err(FramingError::Length), "{odd}");
        }
        let differing = [("content-length", "5"), ("content-length", "6")];
        assert_eq!(framed(&differing), Err(FramingError::Length));
        let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(framed(&both), Err(FramingError::Both));
        for odd in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked", ""] {
            assert_eq!(framed(&[("transfer-encoding", odd)]), Err(FramingError::Coding), "{odd}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(framed(&twice), Err(FramingError::Coding));
        let chunked = fields(&[("transfer-encoding", "chunked")]);
        assert_eq!(Said::new(Version::HTTP_10, &chunked), Err(FramingError::Coding));
    }

    #[test]
    fn answers_without_a_body_and_their_fields() {
        let long = fields(&[("content-length", "5")]);
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let said = Said::new(Version::HTTP_11, &long).expect("one length");
            assert_eq!(said.framing(&method, status), Framing::Empty, "{method} {status}");
        }
    }

    #[test]
    fn connections_that_serve_again() {
        let is_kept = |version, framing, text| {
            Said::new(Version::HTTP_11, &fields(text)).expect("fine").is_kept(version, framing)
        };
        let length = Framing::Length(1);
        assert!(is_kept(Version::HTTP_11, length, &[]));
        assert!(!is_kept(Version::HTTP_11, length, &[("connection", "x, Close")]));
        assert!(!is_kept(Version::HTTP_11, Framing::UntilClose, &[]));
        assert!(!is_kept(Version::HTTP_10, length, &[("connection", "keep-alive")]));
    }
}
