//! What strangers send: `server/raw_head.rs`.

use codescan_oauth_proxy::server::raw_head::{Follower, HeadFault, Verdicts};

use super::answers::plain_chunks;

/// The verdicts are the same in whatever pieces the bytes come; and a head that is called sound
/// ends for `httparse`, which hyper reads with, where it ends for us.
pub fn heads(data: &[u8]) {
    let (ends, fault, broken) = byte_by_byte(data);
    let in_pieces = follow(super::in_pieces(data));
    assert_eq!(in_pieces, (ends.len(), fault, broken), "in pieces");
    assert_eq!(follow([data].into_iter()), in_pieces, "at once");
    let mut start = 0;
    for end in ends {
        let Some((length, framing)) = parse(&data[start..]) else { return };
        assert_eq!(start + length, end, "the parser sees another end of the head");
        match body(&framing, &data[end..]) {
            Some(length) => start = end + length,
            None => return,
        }
    }
}

type Followed = (usize, HeadFault, bool);

/// The sound heads, the fault behind them, and whether a body broke off.
fn follow<'d>(mut pieces: impl Iterator<Item = &'d [u8]>) -> Followed {
    let (mut follower, verdicts) = (Follower::default(), Verdicts::default());
    let broken = !pieces.all(|piece| follower.follow(piece, &verdicts) == piece.len());
    let mut sound = 0;
    loop {
        match verdicts.take() {
            Ok(()) => sound += 1,
            Err(fault) => return (sound, fault, broken),
        }
    }
}

/// Where each sound head ends.
fn byte_by_byte(data: &[u8]) -> (Vec<usize>, HeadFault, bool) {
    let (mut follower, verdicts) = (Follower::default(), Verdicts::default());
    let (mut ends, mut broken) = (Vec::new(), false);
    for (at, byte) in data.iter().enumerate() {
        if follower.follow(&[*byte], &verdicts) == 0 {
            broken = true;
            break;
        }
        if verdicts.take().is_ok() {
            ends.push(at + 1);
        }
    }
    let fault = verdicts.take().expect_err("all are taken");
    (ends, fault, broken)
}

enum Body {
    Length(usize),
    Chunked,
}

/// The head's length and how its body ends, as hyper would have it; `None` if it refuses.
fn parse(data: &[u8]) -> Option<(usize, Body)> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(data).ok()? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => panic!("called sound, and not whole for the parser"),
    };
    let value = |name: &str| {
        let found = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value)
    };
    let body = match (value("transfer-encoding"), value("content-length")) {
        (Some(_), _) => Body::Chunked,
        (None, Some(length)) => Body::Length(std::str::from_utf8(length).ok()?.parse().ok()?),
        (None, None) => Body::Length(0),
    };
    Some((length, body))
}

/// Bytes of the body, if it is there whole.
fn body(framing: &Body, data: &[u8]) -> Option<usize> {
    match framing {
        Body::Length(length) => (*length <= data.len()).then_some(*length),
        Body::Chunked => plain_chunks(data).map(|(_, length)| length),
    }
}
