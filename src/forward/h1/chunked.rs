//! Reading a chunked body (RFC 9112 §7.1), piece by piece and strictly.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of a line with a chunk's size and extensions.
const LONGEST_LINE: usize = 1024;

/// Bytes and number of trailer fields.
const LONGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;

/// Reads one chunked body from the bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    /// The line end after a chunk's data.
    AfterData,
    Trailers,
    Ended,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Bytes),
    /// The body is over; its trailer fields.
    End(HeaderMap),
    /// More bytes are needed.
    Nothing,
}

/// A body that is not chunked as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk size that is none")]
    Size,
    #[error("a chunk that does not end where it says")]
    End,
    #[error("trailer fields that are none, or too many")]
    Trailers,
}

impl Decoder {
    /// Takes the next piece out of `buffer`.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Piece, ChunkError> {
        loop {
            self.state = match self.state {
                State::Size => match size(buffer)? {
                    None => return Ok(Piece::Nothing),
                    Some(0) => State::Trailers,
                    Some(length) => State::Data(length),
                },
                State::Data(left) if buffer.is_empty() => {
                    self.state = State::Data(left);
                    return Ok(Piece::Nothing);
                }
                State::Data(left) => return Ok(Piece::Data(self.take(left, buffer))),
                State::AfterData => match buffer.first_chunk::<2>() {
                    None if buffer.first().is_none_or(|byte| *byte == b'\r') => {
                        return Ok(Piece::Nothing);
                    }
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        State::Size
                    }
                    _ => return Err(ChunkError::End),
                },
                State::Trailers => match trailers(buffer)? {
                    None => return Ok(Piece::Nothing),
                    Some(fields) => {
                        self.state = State::Ended;
                        return Ok(Piece::End(fields));
                    }
                },
                State::Ended => return Ok(Piece::End(HeaderMap::new())),
            };
        }
    }

    fn take(&mut self, left: u64, buffer: &mut BytesMut) -> Bytes {
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let left = left - length as u64;
        self.state = if left == 0 { State::AfterData } else { State::Data(left) };
        buffer.split_to(length).freeze()
    }
}

/// The size line, if it is there whole. Extensions are passed over. `httparse` would take an
/// empty line for a size of 0, which ends a body.
fn size(buffer: &mut BytesMut) -> Result<Option<u64>, ChunkError> {
    let Some(end) = buffer.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        return if buffer.len() < LONGEST_LINE { Ok(None) } else { Err(ChunkError::Size) };
    };
    let line = buffer.split_to(end + 1);
    // A bare line feed ends a line for some readers only (CVE-2025-22871).
    let line = line.strip_suffix(b"\r\n").ok_or(ChunkError::Size)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (number, rest) = line.split_at(digits);
    let is_extension = |rest: &[u8]| {
        rest.trim_ascii_start().starts_with(b";")
            && rest.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
    };
    if !(1..=16).contains(&digits) || !(rest.is_empty() || is_extension(rest)) {
        return Err(ChunkError::Size);
    }
    let number = std::str::from_utf8(number).map_err(|_| ChunkError::Size)?;
    u64::from_str_radix(number, 16).map(Some).map_err(|_| ChunkError::Size)
}

/// The trailer section with the line that ends it, if it is there whole.
fn trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, ChunkError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let parsed = httparse::parse_headers(buffer, &mut fields).map_err(|_| ChunkError::Trailers)?;
    match parsed {
        httparse::Status::Complete((length, _)) if length > LONGEST_TRAILERS => {
            Err(ChunkError::Trailers)
        }
        // `httparse` takes a bare line feed for the end of a line.
        httparse::Status::Complete((length, _)) if !lines_end_well(&buffer[..length]) => {
            Err(ChunkError::Trailers)
        }
        httparse::Status::Complete((length, fields)) => {
            let map = fields.iter().map(field).collect::<Result<HeaderMap, _>>()?;
            buffer.advance(length);
            Ok(Some(map))
        }
        httparse::Status::Partial if buffer.len() < LONGEST_TRAILERS => Ok(None),
        httparse::Status::Partial => Err(ChunkError::Trailers),
    }
}

/// Every line feed stands behind a carriage return.
fn lines_end_well(section: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', section).all(|at| section[..at].ends_with(b"\r"))
}

fn field(field: &httparse::Header<'_>) -> Result<(HeaderName, HeaderValue), ChunkError> {
    let name = HeaderName::from_bytes(field.name.as_bytes());
    let value = HeaderValue::from_bytes(field.value);
    name.ok().zip(value.ok()).ok_or(ChunkError::Trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes what is fed in pieces of `step` bytes.
    fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), ChunkError> {
        let mut decoder = Decoder::default();
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::Nothing => break,
                    Piece::End(trailers) => return Ok((body, Some(trailers), buffer.len())),
                }
            }
        }
        Ok((body, None, buffer.len()))
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let wire = b"5;name=\"v\"\r\nhello\r\nA\r\n, chunked!\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\n\r\n";
        for step in 1..=wire.len() {
            let (body, trailers, left) = decode(wire, step).expect("well-formed");
            assert_eq!(body, b"hello, chunked!", "in pieces of {step}");
            assert_eq!(trailers.expect("ended").get_all("x-sum").iter().count(), 2);
            assert_eq!(left, 0);
        }
    }

    #[test]
    fn bytes_after_the_end_are_left() {
        assert_eq!(decode(b"0\r\n\r\nHTTP/1.1 200", 100).expect("well-formed").2, 12);
    }

    #[test]
    fn a_body_cut_short_never_ends() {
        let wire = b"5\r\nhello\r\n0\r\n\r\n";
        for length in 0..wire.len() {
            let (_, ended, _) = decode(&wire[..length], 3).expect("nothing wrong yet");
            assert!(ended.is_none(), "cut after {length}");
        }
    }

    #[test]
    fn what_is_not_chunked_as_it_says() {
        for wire in [
            &b"g\r\n"[..],
            b"\r\n",
            b"-5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"5\nhello\n0\n\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5\r\nhello\n\r0\r\n\r\n",
            b"11111111111111111\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nx : y\r\n\r\n",
            b"0\r\n x: folded\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nx: y\n\r\n",
            b"0\r\nx: y\r\n\n",
        ] {
            assert!(decode(wire, 1).is_err(), "{:?}", String::from_utf8_lossy(wire));
            assert!(decode(wire, 100).is_err(), "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let mut line = b"5;".to_vec();
        line.resize(LONGEST_LINE + 1, b'x');
        assert_eq!(decode(&line, 100).expect_err("too long"), ChunkError::Size);
        let mut trailers = b"0\r\nx: ".to_vec();
        trailers.resize(LONGEST_TRAILERS + 10, b'x');
        assert_eq!(decode(&trailers, 1000).expect_err("too long"), ChunkError::Trailers);
        trailers.extend_from_slice(b"\r\n\r\n");
        assert_eq!(decode(&trailers, 1 << 20).expect_err("whole at once"), ChunkError::Trailers);
    }
}
