//! Reading the head of an answer (RFC 9112 §4, §5).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use smallvec::SmallVec;

/// Bytes and fields of a head.
const LONGEST_HEAD: usize = 64 * 1024;
const MOST_FIELDS: usize = 128;

/// Fields that a head has as a rule: more cost an allocation.
const USUAL_FIELDS: usize = 24;

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
    let Some(line) = parse(buffer)? else {
        return if buffer.len() > LONGEST_HEAD { Err(HeadError::TooLarge) } else { Ok(None) };
    };
    let head = buffer.split_to(line.length).freeze();
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(line.code).map_err(|_| HeadError::Invalid)?;
    *response.version_mut() = line.version;
    let fields = response.headers_mut();
    *fields = HeaderMap::with_capacity(line.places.len());
    for place in &line.places {
        let name = HeaderName::from_bytes(&head[place.name.clone()]);
        // Shares the head's memory, so that no value is copied.
        let value = HeaderValue::from_maybe_shared(head.slice(place.value.clone()));
        match (name, value) {
            (Ok(name), Ok(value)) => fields.append(name, value),
            _ => return Err(HeadError::Invalid),
        };
    }
    Ok(Some(response))
}

/// Where a field's name and value stand in the buffer.
struct Place {
    name: Range<usize>,
    value: Range<usize>,
}

struct Line {
    length: usize,
    code: u16,
    version: Version,
    places: SmallVec<[Place; USUAL_FIELDS]>,
}

fn parse(buffer: &[u8]) -> Result<Option<Line>, HeadError> {
    // Left as they are, for nearly all of them stay unused.
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut response, buffer, &mut fields)?;
    let length = match parsed {
        httparse::Status::Complete(length) if length <= LONGEST_HEAD => length,
        httparse::Status::Complete(_) => return Err(HeadError::TooLarge),
        httparse::Status::Partial => return Ok(None),
    };
    let base = buffer.as_ptr() as usize;
    let place = |part: &[u8]| {
        let start = (part.as_ptr() as usize).saturating_sub(base);
        // An empty part may point anywhere.
        if part.is_empty() { 0..0 } else { start..start + part.len() }
    };
    let places = response
        .headers
        .iter()
        .map(|field| Place { name: place(field.name.as_bytes()), value: place(field.value) });
    Ok(Some(Line {
        length,
        code: response.code.unwrap_or_default(),
        version: if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 },
        places: places.collect(),
    }))
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
