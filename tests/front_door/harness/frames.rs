//! HTTP/2 by hand: for frames that no library sends.

use super::wire::Wire;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY_FLAG: u8 = 0x20;

/// A frame as bytes (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields without compression: literals that are not indexed (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|it| *it < 127).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The head of a GET, and more fields.
pub fn get(target: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "codescan.test"),
        (":path", target),
    ];
    block(&[&pseudo[..], fields].concat())
}

/// `:status: 200`, as the static table has it (RFC 7541 Appendix A).
pub const OK: u8 = 0x88;

/// A connection that has said who it is.
pub struct Frames(Wire);

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a reset or a goodbye.
    pub fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// Whether it is a head whose first field is this status, which the static table holds.
    pub fn is_ok(&self) -> bool {
        self.kind == HEADERS && self.payload.first() == Some(&OK)
    }

    /// The status of a head, which is its first field, and of its connection the first that the
    /// static table does not hold.
    pub fn status(&self) -> u16 {
        const TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        match self.payload[..] {
            [index @ 0x88..=0x8e, ..] => TABLE[usize::from(index - 0x88)],
            [0x08 | 0x48, length, ref text @ ..] if length & 0x80 != 0 => huffman(text),
            [0x08 | 0x48, 3, hundreds, tens, ones, ..] => [hundreds, tens, ones]
                .iter()
                .fold(0, |number, digit| number * 10 + u16::from(digit - b'0')),
            ref other => panic!("a head without a status: {other:?}"),
        }
    }
}

/// Three digits in the code of RFC 7541, appendix B: `0` to `2` in five bits, the others in six.
fn huffman(text: &[u8]) -> u16 {
    let mut bits = text.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut take =
        |count: usize| bits.by_ref().take(count).fold(0, |sum, bit| sum << 1 | u16::from(bit));
    (0..3).fold(0, |number, _| {
        let digit = match take(5) {
            short @ 0..=2 => short,
            long => (long << 1 | take(1)) - 0x19 + 3,
        };
        number * 10 + digit
    })
}

impl Frames {
    /// The other side of a connection that the proxy has opened: takes its greeting and returns
    /// it with these settings (RFC 9113 §6.5.1). Gives the proxy's own settings; `None` if it
    /// hung up.
    pub async fn accept(mut wire: Wire, settings: &[(u16, u32)]) -> Option<(Self, Vec<u8>)> {
        let preface = wire.try_take(PREFACE.len()).await?;
        assert_eq!(preface, PREFACE);
        let pairs = settings.iter();
        let pairs = pairs.map(|(name, it)| [&name.to_be_bytes()[..], &it.to_be_bytes()].concat());
        let ours = pairs.collect::<Vec<_>>().concat();
        let mut frames = Self(wire);
        frames.try_send(&frame(SETTINGS, 0, 0, &ours)).await.ok()?;
        let theirs = frames.next_of(&[SETTINGS]).await?;
        frames.try_send(&frame(SETTINGS, ACK, 0, &[])).await.ok()?;
        Some((frames, theirs.payload))
    }

    /// The stream of the next request.
    pub async fn request(&mut self) -> u32 {
        self.next_of(&[HEADERS]).await.expect("a request").stream
    }

    /// Answers 200, with this body.
    pub async fn answer(&mut self, stream: u32, body: &[u8]) {
        self.send(HEADERS, END_HEADERS, stream, &[OK]).await;
        self.send(DATA, END_STREAM, stream, body).await;
    }

    /// Resets a stream (RFC 9113 §6.4).
    pub async fn reset(&mut self, stream: u32, reason: h2::Reason) {
        self.send(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes()).await;
    }

    /// Says goodbye: streams above `last` were not looked at (RFC 9113 §6.8).
    pub async fn go_away(&mut self, last: u32, reason: h2::Reason) {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    pub async fn begin(mut wire: Wire) -> Self {
        wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        Self(wire)
    }

    /// Over a wire on which the preface has gone out.
    pub fn over(wire: Wire) -> Self {
        Self(wire)
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.send(frame(kind, flags, stream, payload)).await;
    }

    /// The proxy may have hung up.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.try_send(bytes).await
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let head = self.0.try_take(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.0.try_take(usize::try_from(length).expect("small")).await?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: payload.to_vec(),
        })
    }

    /// The next frame of these kinds.
    pub async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// Everything until the proxy hangs up.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}
