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

/// Judges an answer's head. `asked` is the method of the request.
pub fn of_response(
    asked: &Method,
    version: Version,
    status: StatusCode,
    fields: &HeaderMap,
) -> Result<Framing, FramingError> {
    // Checked even where there can be no body: an intermediary before us may think otherwise.
    let length = content_length(fields)?;
    let chunked = is_chunked(version, fields)?;
    if chunked && length.is_some() {
        return Err(FramingError::Both);
    }
    let has_none = *asked == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(match (has_none, chunked, length) {
        (true, _, _) | (_, _, Some(0)) => Framing::Empty,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    })
}

/// Says once what was said several times, so that nobody behind us can read it otherwise.
pub fn say_length_once(fields: &mut HeaderMap) {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let is_list = lengths.next().is_some_and(|first| first.as_bytes().contains(&b','));
    if (is_list || lengths.next().is_some())
        && let Ok(Some(length)) = content_length(fields)
    {
        fields.insert(CONTENT_LENGTH, length.into());
    }
}

/// A list of equal values counts as one (RFC 9110 §8.6).
fn content_length(fields: &HeaderMap) -> Result<Option<u64>, FramingError> {
    let mut length = None;
    for field in fields.get_all(CONTENT_LENGTH) {
        for value in field.as_bytes().split(|byte| *byte == b',') {
            let this = decimal(value.trim_ascii()).ok_or(FramingError::Length)?;
            if length.is_some_and(|other| other != this) {
                return Err(FramingError::Length);
            }
            length = Some(this);
        }
    }
    Ok(length)
}

/// `1*DIGIT`: no sign, no white space (CVE-2021-32715).
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_chunked(version: Version, fields: &HeaderMap) -> Result<bool, FramingError> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None)
            if version == Version::HTTP_11
                && coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(true)
        }
        _ => Err(FramingError::Coding),
    }
}

/// Whether the server keeps the connection open after this answer (RFC 9112 §9.3).
pub fn is_kept(version: Version, framing: Framing, fields: &HeaderMap) -> bool {
    let closes = fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    version == Version::HTTP_11 && framing != Framing::UntilClose && !closes
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
        of_response(&Method::GET, Version::HTTP_11, StatusCode::OK, &fields(text))
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
            say_length_once(&mut fields);
            assert_eq!(fields.get_all(CONTENT_LENGTH).iter().count(), 1, "{said:?}");
            assert_eq!(content_length(&fields), Ok(Some(5)));
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
        let old = of_response(&Method::GET, Version::HTTP_10, StatusCode::OK, &chunked);
        assert_eq!(old, Err(FramingError::Coding));
    }

    #[test]
    fn answers_without_a_body_and_their_fields() {
        let long = fields(&[("content-length", "5")]);
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let status = StatusCode::from_u16(status).expect("a status");
            let framing = of_response(&method, Version::HTTP_11, status, &long);
            assert_eq!(framing, Ok(Framing::Empty), "{method} {status}");
        }
    }

    #[test]
    fn connections_that_serve_again() {
        let length = Framing::Length(1);
        assert!(is_kept(Version::HTTP_11, length, &fields(&[])));
        assert!(!is_kept(Version::HTTP_11, length, &fields(&[("connection", "x, Close")])));
        assert!(!is_kept(Version::HTTP_11, Framing::UntilClose, &fields(&[])));
        assert!(!is_kept(Version::HTTP_10, length, &fields(&[("connection", "keep-alive")])));
    }
}
