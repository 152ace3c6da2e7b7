//! The PROXY protocol, versions 1 and 2: a proxy in front says whose connection this is.

use std::io;
use std::net::IpAddr;

use bytes::BytesMut;
use proxy_header::{Error as Malformed, ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;

use super::peer::Peer;
use super::stream::Rewound;

/// Bytes of a header of version 1, its line end included.
const LONGEST_V1: usize = 107;

/// Bytes of a header of version 2. The format would allow 64 KiB; what proxies add to it (names,
/// certificates' subjects, identifiers) stays far below this.
const LONGEST_V2: usize = 4 * 1024;

/// How a header of version 1 begins, the space included.
const V1: &[u8] = b"PROXY ";
/// How a header of version 2 begins.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 that tell its length.
const V2_FIXED: usize = 16;

/// Why a connection is closed. Nothing is told to a peer that is not understood.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("no PROXY protocol header came: {0}")]
    Io(#[from] io::Error),
    #[error("what came is no PROXY protocol header")]
    Malformed,
    #[error("the PROXY protocol header is too long")]
    TooLong,
}

/// Reads the header at the beginning of `stream` and says who is behind it; `sender` where it
/// names nobody. What came after it is the next to be read.
pub async fn read(stream: &mut Rewound, sender: Peer) -> Result<Peer, HeaderError> {
    let mut bytes = BytesMut::with_capacity(LONGEST_V2);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((announced, length)) = parse(&bytes)? {
            stream.put_back(bytes.split_off(length).freeze());
            return Ok(match announced {
                Announced::Address(address) => Peer::Ip(address),
                Announced::Unix => Peer::Unix,
                Announced::Nobody => sender,
            });
        }
    }
}

/// Whom a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    Address(IpAddr),
    Unix,
    /// `UNKNOWN`, `LOCAL`: the proxy speaks for itself.
    Nobody,
}

/// Who is announced, and how long the header is; `None` if more of it has to come.
pub fn parse(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    if begins(bytes, V1) {
        parse_v1(bytes)
    } else if begins(bytes, V2) {
        parse_v2(bytes)
    } else {
        Err(HeaderError::Malformed)
    }
}

/// As far as it has come.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let known = bytes.len().min(with.len());
    bytes[..known] == with[..known]
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    let line = &bytes[..bytes.len().min(LONGEST_V1)];
    // The parser is asked about whole lines only: it looks for the end of each part on its own.
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if line.len() == LONGEST_V1 { Err(HeaderError::TooLong) } else { Ok(None) };
    };
    Ok(Some((decode(&line[..=end])?, end + 1)))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else { return Ok(None) };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > LONGEST_V2 {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let announced = decode(header)?;
    // The crate reads no names of unix sockets, and says then what it says of LOCAL.
    let is_unix = fixed[12] == 0x21 && fixed[13] >> 4 == 3;
    Ok(Some((if is_unix { Announced::Unix } else { announced }, length)))
}

/// A whole header. What it says beyond addresses is skipped.
fn decode(header: &[u8]) -> Result<Announced, HeaderError> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (parsed, length) =
        ProxyHeader::parse(header, config).map_err(|_: Malformed| HeaderError::Malformed)?;
    if length != header.len() {
        return Err(HeaderError::Malformed);
    }
    Ok(parsed.proxied_address().map_or(Announced::Nobody, |addresses| {
        Announced::Address(addresses.source.ip().to_canonical())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [V2, &[command, family], &length, rest].concat()
    }

    fn address(text: &str) -> Announced {
        Announced::Address(text.parse().expect("an address"))
    }

    #[test]
    fn headers_and_whom_they_announce() {
        let ipv4 = [9, 8, 7, 6, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let ipv6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[1, 2, 0, 80]].concat();
        let with_tlvs = [&ipv4[..], &[4, 0, 2, b'x', b'x'], &[0xea, 0, 0]].concat();
        for (header, announced) in [
            (b"PROXY TCP4 9.8.7.6 10.0.0.1 4660 80\r\n".to_vec(), address("9.8.7.6")),
            (b"PROXY TCP6 2001:db8::1 :: 258 80\r\n".to_vec(), address("2001:db8::1")),
            (b"PROXY TCP6 ::ffff:9.8.7.6 :: 258 80\r\n".to_vec(), address("9.8.7.6")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Announced::Nobody),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Announced::Nobody),
            (v2(0x21, 0x11, &ipv4), address("9.8.7.6")),
            (v2(0x21, 0x21, &ipv6), address("2001:db8::1")),
            (v2(0x21, 0x11, &with_tlvs), address("9.8.7.6")),
            (v2(0x20, 0, &[]), Announced::Nobody),
            (v2(0x20, 0x11, &ipv4), Announced::Nobody),
            (v2(0x21, 0, &[]), Announced::Nobody),
            (v2(0x21, 0x31, &[0; 216]), Announced::Unix),
            (v2(0x20, 0x31, &[0; 216]), Announced::Nobody),
        ] {
            let whole = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            let read = parse(&whole).expect("well-formed");
            assert_eq!(read, Some((announced, header.len())), "{header:?}");
            for length in 0..header.len() {
                let part = parse(&header[..length]).expect("well-formed so far");
                assert_eq!(part, None, "the first {length} of {header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXX",
            b"\r\n\r\nQUIT",
            b"PROXYxTCP4 9.8.7.6 10.0.0.1 4660 80\r\n",
            b"PROXY TCP4 9.8.7.6 10.0.0.1 4660 80\n",
            b"PROXY TCP4 9.8.7.6 10.0.0.1 4660\r\n",
            b"PROXY TCP4 9.8.7.256 10.0.0.1 4660 80\r\n",
            b"PROXY TCP4 2001:db8::1 :: 4660 80\r\n",
            b"PROXY TCP4 9.8.7.6 10.0.0.1 4660 65536\r\n",
            b"PROXY UDP4 9.8.7.6 10.0.0.1 4660 80\r\n",
            b"PROXY \r\n",
            &v2(0x31, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x41, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
        ] {
            assert!(matches!(parse(bytes), Err(HeaderError::Malformed)), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_has_a_longest_length() {
        let endless = [V1, &[b'x'; 200]].concat();
        assert!(matches!(parse(&endless), Err(HeaderError::TooLong)));
        let announced = v2(0x21, 0x11, &vec![0; 4096]);
        assert!(matches!(parse(&announced[..16]), Err(HeaderError::TooLong)));
    }
}
