//! What `CodeScan` answers: `forward/h1`.

use bytes::BytesMut;
use codescan_oauth_proxy::forward::h1::chunked::{ChunkError, Decoder, Piece};
use codescan_oauth_proxy::forward::h1::framing::{Framing, Said};
use codescan_oauth_proxy::forward::h1::head::{self, HeadError};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response};

/// A head is taken whole or not at all, and no value holds a line end.
pub fn head(data: &[u8]) {
    let Ok(Some((response, length))) = take(data) else { return };
    assert!(data[..length].ends_with(b"\n"), "the head ends within a line");
    for shorter in 0..length {
        assert_eq!(take(&data[..shorter]).expect("nothing wrong so far").map(|_| ()), None);
    }
    for value in response.headers().values() {
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

fn take(data: &[u8]) -> Result<Option<(Response<()>, usize)>, HeadError> {
    let mut buffer = BytesMut::from(data);
    let taken = head::take(&mut buffer)?;
    Ok(taken.map(|response| (response, data.len() - buffer.len())))
}

/// A framing that is found is the only one that the fields allow.
pub fn framing(data: &[u8]) {
    let wire = [b"HTTP/1.1 200 OK\r\n", data, b"\r\n\r\n"].concat();
    let Ok(Some((response, _))) = take(&wire) else { return };
    let (version, status) = (response.version(), response.status());
    let mut fields = response.headers().clone();
    let Ok(said) = Said::new(version, &fields) else { return };
    let found = said.framing(&Method::GET, status);
    let lengths = lengths(&fields);
    let codings: Vec<_> = fields.get_all(TRANSFER_ENCODING).iter().collect();
    match found {
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1);
            assert!(codings[0].as_bytes().eq_ignore_ascii_case(b"chunked"));
        }
        Framing::UntilClose => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Empty => only(&lengths, 0),
        Framing::Length(length) => only(&lengths, length),
    }
    said.say_length_once(&mut fields);
    let again = Said::new(version, &fields).map(|said| said.framing(&Method::GET, status));
    assert_eq!(again, Ok(found), "said otherwise now");
    assert!(fields.get_all(CONTENT_LENGTH).iter().count() <= 1);
    assert!(fields.get(CONTENT_LENGTH).is_none_or(|value| !value.as_bytes().contains(&b',')));
}

fn lengths(fields: &HeaderMap) -> Vec<String> {
    let fields = fields.get_all(CONTENT_LENGTH).iter();
    let text = fields.map(|field| String::from_utf8_lossy(field.as_bytes()).into_owned());
    text.flat_map(|field| field.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn only(lengths: &[String], length: u64) {
    assert!(!lengths.is_empty());
    let same = |text: &String| text.trim_matches([' ', '\t']).parse() == Ok(length);
    assert!(lengths.iter().all(same), "{lengths:?} is not {length}");
}

/// A body is the same in whatever pieces it comes, and what RFC 9112 §7.1 says it is.
pub fn chunks(data: &[u8]) {
    let at_once = decode([data].into_iter());
    assert_eq!(decode(super::in_pieces(data)), at_once, "in pieces");
    assert_eq!(decode(data.chunks(1)), at_once, "byte by byte");
    if at_once.left.is_some() {
        let (body, length) = plain_chunks(data).expect("not chunked, and yet it ended");
        assert_eq!(at_once.body, body);
        assert_eq!(at_once.left, Some(data.len() - length), "it ends elsewhere");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Vec<u8>,
    /// Bytes behind the end, if it ended.
    left: Option<usize>,
    trailers: HeaderMap,
    error: Option<ChunkError>,
}

fn decode<'d>(mut pieces: impl Iterator<Item = &'d [u8]>) -> Decoded {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let mut found =
        Decoded { body: Vec::new(), left: None, trailers: HeaderMap::new(), error: None };
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Piece::Data(data)) => found.body.extend_from_slice(&data),
            Ok(Piece::End(trailers)) => {
                found.left = Some(buffer.len() + pieces.map(<[u8]>::len).sum::<usize>());
                found.trailers = trailers;
                return found;
            }
            Ok(Piece::Nothing) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None => return found,
            },
            Err(error) => {
                found.error = Some(error);
                return found;
            }
        }
    }
}

/// RFC 9112 §7.1 read once more, by the letter and without haste: the body, and where it ends.
pub(super) fn plain_chunks(data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = line(&data[at..])?;
        at += line.len() + 2;
        let digits = line.split(|byte| !byte.is_ascii_hexdigit()).next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        body.extend_from_slice(data.get(at..at.checked_add(size)?)?);
        at += size;
        if data.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let line = line(&data[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((body, at));
        }
        if line.contains(&b'\n') {
            return None;
        }
    }
}

fn line(data: &[u8]) -> Option<&[u8]> {
    let end = data.windows(2).position(|two| two == b"\r\n")?;
    Some(&data[..end])
}
