//! A second look at the bytes of HTTP/1.x requests, for what the parser keeps to itself.
//!
//! hyper reads what strangers send. But it takes a bare line feed for the end of a line, drops a
//! `Content-Length` that stands beside a `Transfer-Encoding`, and cuts a fragment off the target,
//! so that nobody behind it sees that another server could have read the request otherwise
//! (RFC 9112 §2.2, §6.3, §11.2). The [`Follower`] sees the bytes before hyper does. It knows
//! where each head begins, as it follows the bodies between them; and since it follows only what
//! can be read in one way, it cannot end up elsewhere than hyper. Where it can follow no longer
//! the connection is at its end: the next head is refused, and a chunked body breaks off.
//!
//! An ordinary request costs one pass over its head, and neither a copy nor an allocation.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use memchr::{memchr, memchr_iter};

/// Why a head could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    Unclear,
    LineEnd,
    Fragment,
    Length,
    Coding,
    LengthAndCoding,
}

impl HeadFault {
    /// For the client.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unclear => "It is unclear where this request begins.",
            Self::LineEnd => "A line of this request does not end as a line of HTTP should.",
            Self::Fragment => "The target of this request has a fragment.",
            Self::Length => "This request has several lengths, or one that is no number.",
            Self::Coding => "This request's body has a transfer coding other than chunked.",
            Self::LengthAndCoding => "This request has both a length and a transfer coding.",
        }
    }
}

const FAULTS: [HeadFault; 6] = [
    HeadFault::Unclear,
    HeadFault::LineEnd,
    HeadFault::Fragment,
    HeadFault::Length,
    HeadFault::Coding,
    HeadFault::LengthAndCoding,
];

/// What was found in the heads of one connection, in their order. Shared by its stream and by
/// what serves it; on one thread, so that a load and a store need not be one.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Heads without a fault. After one with a fault there are no more.
    sound: AtomicU64,
    /// Heads that the parser has handed out.
    taken: AtomicU64,
    fault: AtomicU8,
    tunnels: AtomicBool,
}

impl Verdicts {
    /// The verdict on the head that the parser has just handed out.
    pub fn take(&self) -> Result<(), HeadFault> {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken < self.sound.load(Ordering::Relaxed) {
            self.taken.store(taken + 1, Ordering::Relaxed);
            return Ok(());
        }
        Err(FAULTS[usize::from(self.fault.load(Ordering::Relaxed)) % FAULTS.len()])
    }

    /// What follows is another protocol.
    pub fn tunnels(&self) {
        self.tunnels.store(true, Ordering::Relaxed);
    }

    /// Whether the connection carries another protocol.
    pub fn are_over(&self) -> bool {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Whether what comes now is another protocol.
    pub(super) fn are_of_a_tunnel(&self) -> bool {
        self.tunnels.load(Ordering::Relaxed)
    }

    fn add_sound(&self) {
        self.sound.store(self.sound.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn set_fault(&self, fault: HeadFault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }
}

/// Bytes of a line in a chunked body.
const LONGEST_CHUNK_LINE: usize = 8 * 1024;

/// Follows the requests of one connection.
#[derive(Default)]
pub struct Follower {
    stage: Stage,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    seen: Seen,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// A body of so many bytes.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// What comes now is nobody's request.
    Over,
    /// As before, and it is the rest of a body that must not seem whole.
    Broken,
}

/// What the head that is being read has said so far.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    request_line: bool,
    length: Option<u64>,
    chunked: bool,
}

/// What a line of a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A field, the request line, or an empty line before it.
    Field,
    /// The empty line behind the fields.
    End,
}

/// A line of a chunked body that is none.
struct BadLine;

impl Follower {
    /// Whether a body has broken off: nothing more may be read.
    pub(super) fn is_broken(&self) -> bool {
        self.stage == Stage::Broken
    }

    /// Looks at the next bytes of the connection; how many of them may be read on. It is fewer
    /// than all when a body breaks off among them.
    pub fn follow(&mut self, bytes: &[u8], verdicts: &Verdicts) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.stage {
                Stage::Over => return bytes.len(),
                Stage::Broken => return at,
                Stage::Body(left) => {
                    let (skipped, left) = skip(left, rest);
                    self.stage = if left == 0 { Stage::Head } else { Stage::Body(left) };
                    skipped
                }
                Stage::Chunk(left) => {
                    let (skipped, left) = skip(left, rest);
                    self.stage = if left == 0 { Stage::ChunkEnd } else { Stage::Chunk(left) };
                    skipped
                }
                Stage::Head => self.follow_head(rest, verdicts),
                Stage::ChunkSize | Stage::ChunkEnd | Stage::Trailers => self.follow_chunked(rest),
            };
        }
        at
    }

    /// Reads lines to the end of the head; the bytes they take.
    fn follow_head(&mut self, bytes: &[u8], verdicts: &Verdicts) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[start..end];
            start = end + 1;
            let judged = if self.line.is_empty() {
                self.seen.read(line)
            } else {
                self.line.extend_from_slice(line);
                self.seen.read(&std::mem::take(&mut self.line))
            };
            if judged != Ok(Line::Field) {
                self.end_head(judged, verdicts);
                return start;
            }
        }
        // As long as the parser takes in a head, and no longer.
        self.line.extend_from_slice(&bytes[start..]);
        bytes.len()
    }

    fn end_head(&mut self, judged: Result<Line, HeadFault>, verdicts: &Verdicts) {
        match judged {
            Ok(_) => {
                verdicts.add_sound();
                self.stage = std::mem::take(&mut self.seen).body();
            }
            Err(fault) => {
                verdicts.set_fault(fault);
                self.stage = Stage::Over;
            }
        }
    }

    /// Reads one line between chunks; the bytes it takes, or none if it is no good.
    fn follow_chunked(&mut self, bytes: &[u8]) -> usize {
        let length = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        self.line.extend_from_slice(&bytes[..length]);
        let next = if self.line.len() > LONGEST_CHUNK_LINE {
            Err(BadLine)
        } else if self.line.ends_with(b"\n") {
            self.stage.after(&std::mem::take(&mut self.line))
        } else {
            Ok(self.stage)
        };
        let Ok(stage) = next else {
            *self = Self { stage: Stage::Broken, ..Self::default() };
            return 0;
        };
        self.stage = stage;
        length
    }
}

fn skip(left: u64, bytes: &[u8]) -> (usize, u64) {
    let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (skipped, left - skipped as u64)
}

impl Seen {
    /// Reads one line, but for its line feed.
    #[inline]
    fn read(&mut self, line: &[u8]) -> Result<Line, HeadFault> {
        let [line @ .., b'\r'] = line else { return Err(HeadFault::LineEnd) };
        match line {
            // Empty lines before a request are passed over (RFC 9112 §2.2).
            [] if !self.request_line => Ok(Line::Field),
            [] => Ok(Line::End),
            _ if !self.request_line => {
                self.request_line = true;
                memchr(b'#', line).map_or(Ok(Line::Field), |_| Err(HeadFault::Fragment))
            }
            [b'c' | b'C' | b't' | b'T', ..] => self.read_framing(line),
            _ => Ok(Line::Field),
        }
    }

    fn read_framing(&mut self, line: &[u8]) -> Result<Line, HeadFault> {
        if let Some(value) = value_of(line, b"content-length") {
            let length = decimal(value).ok_or(HeadFault::Length)?;
            if self.length.replace(length).is_some() {
                return Err(HeadFault::Length);
            }
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::Coding);
            }
            self.chunked = true;
        }
        if self.chunked && self.length.is_some() {
            return Err(HeadFault::LengthAndCoding);
        }
        Ok(Line::Field)
    }

    /// How the body of this head ends (RFC 9112 §6.3).
    fn body(self) -> Stage {
        match self.length {
            _ if self.chunked => Stage::ChunkSize,
            None | Some(0) => Stage::Head,
            Some(length) => Stage::Body(length),
        }
    }
}

/// The value of the field `name` (lower case), if the line is that field.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // The colon first: it stands there in few others.
    line.get(name.len()).filter(|byte| **byte == b':')?;
    let (start, value) = line.split_at(name.len());
    start.eq_ignore_ascii_case(name).then(|| value[1..].trim_ascii())
}

fn decimal(text: &[u8]) -> Option<u64> {
    number(text, 10, u8::is_ascii_digit)
}

/// Digits and nothing else: no sign, which the standard library would allow.
fn number(text: &[u8], radix: u32, is_digit: impl Fn(&u8) -> bool) -> Option<u64> {
    let digits = text.iter().all(is_digit).then_some(text)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

impl Stage {
    /// What comes after this line of a chunked body (RFC 9112 §7.1).
    fn after(self, line: &[u8]) -> Result<Self, BadLine> {
        let line = line.strip_suffix(b"\r\n").ok_or(BadLine)?;
        match self {
            Self::ChunkSize => match chunk_size(line).ok_or(BadLine)? {
                0 => Ok(Self::Trailers),
                size => Ok(Self::Chunk(size)),
            },
            Self::ChunkEnd if line.is_empty() => Ok(Self::ChunkSize),
            Self::Trailers if line.is_empty() => Ok(Self::Head),
            Self::Trailers if is_field(line) => Ok(Self::Trailers),
            _ => Err(BadLine),
        }
    }
}

/// Hexadecimal digits, and perhaps extensions, which are passed over.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    let blank = extensions.trim_ascii_start();
    let are_extensions = extensions.is_empty() || (blank.starts_with(b";") && is_text(extensions));
    number(size, 16, u8::is_ascii_hexdigit).filter(|_| are_extensions)
}

/// Begins with a name and a colon, so that it does not go on with the line before.
fn is_field(line: &[u8]) -> bool {
    let name = memchr(b':', line).map_or(&[][..], |at| &line[..at]);
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && is_text(line)
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes in pieces; the sound heads, the fault behind them, and whether a body
    /// broke off.
    fn followed(wire: &[u8], step: usize) -> (usize, HeadFault, bool) {
        let (mut follower, verdicts) = (Follower::default(), Verdicts::default());
        let whole = |piece: &[u8]| follower.follow(piece, &verdicts) == piece.len();
        let broken = !wire.chunks(step).all(whole);
        let mut sound = 0;
        loop {
            match verdicts.take() {
                Ok(()) => sound += 1,
                Err(fault) => return (sound, fault, broken),
            }
        }
    }

    /// The same in pieces of every size.
    fn judged(wire: &str) -> (usize, HeadFault, bool) {
        let at_once = followed(wire.as_bytes(), wire.len());
        for step in 1..wire.len() {
            assert_eq!(followed(wire.as_bytes(), step), at_once, "{wire:?} in pieces of {step}");
        }
        at_once
    }

    #[test]
    fn requests_are_told_from_their_bodies() {
        for (wire, sound) in [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            (
                "POST / HTTP/1.1\r\ncontent-LENGTH:\t37 \r\n\r\nGET /not-a-head HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                2,
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n10;a=\"b\"\r\nGET / HTTP/1.1\r\n\r\n00\r\na: b\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                2,
            ),
            ("GET / HTTP/1.1\r\nContent-Lengths: a\r\nTransfer-Encoding-X: b\r\nT: c\r\n\r\n", 1),
            ("GET / HTTP/1.1\r\nX: 1\r\n", 0),
        ] {
            assert_eq!(judged(wire), (sound, HeadFault::Unclear, false), "{wire:?}");
        }
    }

    #[test]
    fn heads_with_two_readings() {
        let rest = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        for (head, fault) in [
            ("GET / HTTP/1.1\nHost: h", HeadFault::LineEnd),
            ("GET / HTTP/1.1\r\nHost: h\nX: 1", HeadFault::LineEnd),
            ("\nGET / HTTP/1.1\r\nHost: h", HeadFault::LineEnd),
            ("GET / HTTP/1.1\r\n\nHost: h", HeadFault::LineEnd),
            ("GET /a#b HTTP/1.1", HeadFault::Fragment),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 5", HeadFault::Length),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 5", HeadFault::Length),
            ("POST / HTTP/1.1\r\nContent-Length: +5", HeadFault::Length),
            ("POST / HTTP/1.1\r\nContent-Length:", HeadFault::Length),
            ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616", HeadFault::Length),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked", HeadFault::Coding),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                HeadFault::Coding,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
                HeadFault::LengthAndCoding,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 0\r\nX: 1\r\nTransfer-Encoding: chunked",
                HeadFault::LengthAndCoding,
            ),
        ] {
            assert_eq!(judged(&format!("{head}{rest}")), (0, fault, false), "{head:?}");
        }
    }

    #[test]
    fn chunked_bodies_with_two_readings_break_off() {
        for body in [
            "5\nhello\r\n",
            "5 \r\nhello\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "\r\nhello\r\n",
            "10000000000000000\r\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhelloo\r\n",
            "0\r\na: b\n\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\n\n",
        ] {
            let wire = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert_eq!(judged(&wire), (1, HeadFault::Unclear, true), "{body:?}");
        }
        let long = "a".repeat(LONGEST_CHUNK_LINE);
        let wire = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;{long}\r\n");
        assert!(followed(wire.as_bytes(), 1000).2);
    }

    #[test]
    fn what_stands_before_the_break_is_read_on() {
        let (mut follower, verdicts) = (Follower::default(), Verdicts::default());
        let sound = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let wire = [&sound[..], b"5\nworld\r\n"].concat();
        assert_eq!(follower.follow(&wire, &verdicts), sound.len());
        assert_eq!(follower.follow(b"0\r\n\r\n", &verdicts), 0);
    }

    #[test]
    fn nothing_is_kept_between_requests() {
        let (mut follower, verdicts) = (Follower::default(), Verdicts::default());
        for piece in ["GET / HT", "TP/1.1\r", "\nHost: h\r\n\r", "\n"] {
            follower.follow(piece.as_bytes(), &verdicts);
        }
        assert_eq!((verdicts.take(), follower.line.capacity()), (Ok(()), 0));
    }
}
