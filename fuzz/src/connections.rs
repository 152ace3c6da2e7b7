//! What comes before and around requests: `server/proxy_protocol.rs`, `server/flood.rs`.

use std::net::IpAddr;
use std::time::Instant;

use codescan_oauth_proxy::server::flood::Frames;
use codescan_oauth_proxy::server::proxy_protocol::{Announced, parse};

/// A header is read whole or not at all, whatever follows it.
pub fn proxy_header(data: &[u8]) {
    let Ok(Some((announced, length))) = parse(data) else { return };
    for shorter in 0..length {
        assert!(matches!(parse(&data[..shorter]), Ok(None)), "the first {shorter} of {length}");
    }
    assert_eq!(parse(&data[..length]).ok().flatten(), Some((announced, length)));
    if let Announced::Address(address) = announced
        && data.starts_with(b"PROXY ")
    {
        let line = std::str::from_utf8(&data[..length]).expect("a line of text");
        let source = line.split(' ').nth(2).expect("a source");
        let source = source.parse::<IpAddr>().expect("an address");
        assert_eq!(source.to_canonical(), address);
    }
}

/// A flood is one in whatever pieces its frames come.
pub fn frames(data: &[u8]) {
    let Some(first) = data.first() else { return };
    let repeated = data.repeat(REPEATS.min(MOST_BYTES / data.len()));
    let bytes = [vec![*first; PREFACE], repeated].concat();
    let now = Instant::now();
    let calm = Frames::new(now).pass(&bytes, || now);
    let mut cut = Frames::new(now);
    assert_eq!(super::in_pieces(&bytes).all(|piece| cut.pass(piece, || now)), calm);
}

/// Bytes of the connection preface.
const PREFACE: usize = 24;

/// Enough for a flood out of a few frames.
const REPEATS: usize = 600;
const MOST_BYTES: usize = 256 * 1024;
