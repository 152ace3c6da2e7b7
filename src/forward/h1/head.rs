//! Reading the head of an answer (RFC 9112 §4, §5).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

/// Bytes and fields of a head.
const LONGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;

/// A head that is none, or too much of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("what it answered is not HTTP/1.1: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("the head of its answer is too large")]
    TooLarge,
    #[error("its answer has a status or field that is none")]
    Invalid,
}

/// Takes one head out of `buffer`; `None` if it is not there whole.
pub fn take(buffer: &mut BytesMut) -> Result<Option<Response<()>>, HeadError> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let Some((length, response)) = parse(buffer)? else {
        return if buffer.len() > LONGEST_HEAD { Err(HeadError::TooLarge) } else { Ok(None) };
    };
    buffer.advance(length);
    Ok(Some(response))
}

/// The head that `buffer` begins with, and its length.
fn parse(buffer: &[u8]) -> Result<Option<(usize, Response<()>)>, HeadError> {
    // Left as they are, for nearly all of them stay unused.
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length =
        match parser.parse_response_with_uninit_headers(&mut parsed, buffer, &mut fields)? {
            httparse::Status::Complete(length) if length <= LONGEST_HEAD => length,
            httparse::Status::Complete(_) => return Err(HeadError::TooLarge),
            httparse::Status::Partial => return Ok(None),
        };
    let mut response = Response::new(());
    let code = parsed.code.unwrap_or_default();
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| HeadError::Invalid)?;
    if parsed.version != Some(1) {
        *response.version_mut() = Version::HTTP_10;
    }
    *response.headers_mut() = fields_of(parsed.headers, &buffer[..length])?;
    Ok(Some((length, response)))
}

/// The values share one copy of the head.
fn fields_of(parsed: &[httparse::Header<'_>], head: &[u8]) -> Result<HeaderMap, HeadError> {
    let copy = Bytes::copy_from_slice(head);
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(copy.slice(place(field.value, head)));
        match (name, value) {
            (Ok(name), Ok(value)) => fields.append(name, value),
            _ => return Err(HeadError::Invalid),
        };
    }
    Ok(fields)
}

/// Where in `whole` its part is.
fn place(part: &[u8], whole: &[u8]) -> Range<usize> {
    if part.is_empty() {
        // It may point anywhere.
        return 0..0;
    }
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Result<Option<Response<()>>, HeadError> {
        take(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_head_is_taken_whole_or_not_at_all() {
        let wire = b"HTTP/1.1 200 OK\r\nA: 1\r\nb:\r\nA:  2 \r\n\r\nrest";
        for length in 0..wire.len() - 4 {
            assert!(taken(&wire[..length]).expect("nothing wrong").is_none(), "{length} bytes");
        }
        let mut buffer = BytesMut::from(&wire[..]);
        let response = take(&mut buffer).expect("well-formed").expect("whole");
        assert_eq!(response.status(), 200);
        let values: Vec<_> = response.headers().get_all("a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(response.headers()["b"], "");
        assert_eq!(&buffer[..], b"rest");
    }

    #[test]
    fn what_is_no_head() {
        for wire in [
            &b"HTTP/2 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nspace : before\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
            b"HTTP/1.1 099 Odd\r\n\r\n",
            b"<html>",
        ] {
            assert!(taken(wire).is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let mut wire = b"HTTP/1.1 200 OK\r\na: ".to_vec();
        wire.resize(LONGEST_HEAD + 1, b'x');
        assert_eq!(taken(&wire).expect_err("too long"), HeadError::TooLarge);
        let many = "a: b\r\n".repeat(MOST_FIELDS + 1);
        assert!(taken(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()).is_err());
    }
}
