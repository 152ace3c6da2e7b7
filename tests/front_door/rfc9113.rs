//! What RFC 9113 asks of a gateway, row by row: frames in, and what is said of them.
//!
//! Behind each row goes a marker, a good request on the same connection, so that its answer tells
//! whether the connection lives and is still understood. What reached the upstream is judged by
//! the bytes. The h2 crate says `PROTOCOL_ERROR` where the RFC names a more telling code for the
//! end of a connection; such rows say what it should have been.

use std::time::Duration;

use crate::harness::Stage;
use crate::harness::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PRIORITY_FLAG, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block,
    frame,
};
use crate::harness::recorder::{Recorded, Recorder};
use crate::harness::wire::Wire;

mod answers;
mod flow;
mod heads;

use self::Piece::{Bare, Raw, Request, Trailers};
use self::Told::{Answer, Goodbye, Reset};

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;

/// The flags of a head that is whole, without and with a body to come.
const WHOLE: u8 = END_HEADERS | END_STREAM;
const OPEN: u8 = END_HEADERS;

/// The marker's stream, beyond those of all rows.
const MARKER: u32 = 2001;

type Fields = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy)]
enum Piece {
    /// Flags, stream, and fields; `GET /x` where they do not say otherwise, and a session.
    Request(u8, u32, Fields),
    /// The same with no pseudo field but these.
    Bare(u8, u32, Fields),
    /// These fields and nothing else.
    Trailers(u8, u32, Fields),
    /// Kind, flags, stream, payload.
    Raw(u8, u8, u32, &'static [u8]),
}

/// What the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// A head on this stream, of this status.
    Answer(u32, u16),
    Reset(u32, u32),
    /// The connection is over, for this reason.
    Goodbye(u32),
    /// It is over without a word.
    Cut,
}

struct Row {
    cites: &'static str,
    sent: &'static [Piece],
    told: &'static [Told],
    /// Lines of what the upstream gets.
    arrives: &'static [&'static str],
}

const fn row(cites: &'static str, sent: &'static [Piece], told: &'static [Told]) -> Row {
    Row { cites, sent, told, arrives: &[] }
}

const DEFAULTS: Fields =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "codescan.test"), (":path", "/x")];

impl Piece {
    fn bytes(self, session: &str) -> Vec<u8> {
        let session = ("cookie", session);
        let (flags, stream, fields) = match self {
            Raw(kind, flags, stream, payload) => return frame(kind, flags, stream, payload),
            Trailers(flags, stream, fields) => (flags, stream, block(fields)),
            Bare(flags, stream, fields) => (flags, stream, block(&[fields, &[session]].concat())),
            Request(flags, stream, fields) => {
                let named = |it: &&(&str, &str)| fields.iter().all(|(name, _)| *name != it.0);
                let defaults: Vec<_> = DEFAULTS.iter().filter(named).copied().collect();
                (flags, stream, block(&[&defaults, fields, &[session]].concat()))
            }
        };
        frame(HEADERS, flags, stream, &fields)
    }
}

/// Frames out of place, of the wrong length, or on the wrong stream.
#[rustfmt::skip] // A row a line.
const FRAMES: &[Row] = &[
    row("§4.1: frames of unknown types are ignored", &[Raw(0xfa, 0xff, 0, b"?"), Raw(0xfb, 0, 7, b"?"), Raw(0xfa, 0, 1, &[])], &[]),
    row("§4.1: in the middle of a stream too", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(0xfa, 0xff, 1, b"?"), Raw(DATA, END_STREAM, 1, b"ok")], &[Answer(1, 200)]),
    row("§4.1: flags that mean nothing are ignored", &[Raw(PING, 0xfe, 0, b"12345678"), Raw(SETTINGS, 0xfe, 0, &[]), Request(WHOLE | 0x82, 1, &[])], &[Answer(1, 200)]),
    row("§4.1: the reserved bit is ignored", &[Raw(PING, 0, 0x8000_0000, b"12345678"), Request(WHOLE, 0x8000_0001, &[])], &[Answer(1, 200)]),
    row("§4.2: a frame may have 16,384 bytes", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(DATA, END_STREAM, 1, &[b'x'; 16_384])], &[Answer(1, 200)]),
    row("§4.2: and no more", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(DATA, END_STREAM, 1, &[b'x'; 16_385])], &[Goodbye(FRAME_SIZE_ERROR)]),
    row("§4.2: a kind without frames of that size neither", &[Raw(0xfa, 0, 0, &[b'x'; 16_385])], &[Goodbye(FRAME_SIZE_ERROR)]),
    row("§4.3: an index of no field (COMPRESSION_ERROR)", &[Raw(HEADERS, WHOLE, 1, &[0xff, 0xff, 0x01])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: the index 0", &[Raw(HEADERS, WHOLE, 1, &[0x80])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: a block that breaks off", &[Raw(HEADERS, WHOLE, 1, &[0x00, 0x05, b'a'])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: Huffman code with a wrong end", &[Raw(HEADERS, WHOLE, 1, &[0x00, 0x81, 0x00, 0x00])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: a number without end", &[Raw(HEADERS, WHOLE, 1, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3.1: a table larger than agreed on", &[Raw(HEADERS, WHOLE, 1, &[0x3f, 0xe2, 0x1f])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: nothing comes between the parts of a block", &[Request(END_STREAM, 1, &[]), Raw(PING, 0, 0, b"12345678")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: not even an unknown frame", &[Request(END_STREAM, 1, &[]), Raw(0xfa, 0, 1, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: nor a part of another stream's", &[Request(END_STREAM, 1, &[]), Raw(CONTINUATION, END_HEADERS, 3, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§4.3: a block in parts is one block", &[Request(END_STREAM, 1, &[]), Raw(CONTINUATION, 0, 1, &[0, 1, b'x', 1]), Raw(CONTINUATION, END_HEADERS, 1, b"y")], &[Answer(1, 200)]),
    row("§5.1: DATA for an idle stream", &[Raw(DATA, 0, 1, b"x")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: RST_STREAM for an idle stream", &[Raw(RST_STREAM, 0, 1, &[0, 0, 0, 8])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: WINDOW_UPDATE for an idle stream", &[Raw(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: CONTINUATION for an idle stream", &[Raw(CONTINUATION, END_HEADERS, 1, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: DATA after the end of the request (a stream error of STREAM_CLOSED)", &[Request(WHOLE, 1, &[]), Raw(DATA, END_STREAM, 1, b"GET /smuggled HTTP/1.1\r\n\r\n")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: a head after the end of the request (the same)", &[Request(WHOLE, 1, &[]), Request(WHOLE, 1, &[(":path", "/smuggled")])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1: WINDOW_UPDATE after the end is fine", &[Request(WHOLE, 1, &[]), Raw(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8])], &[Answer(1, 200)]),
    row("§5.1: PRIORITY is fine at any time", &[Raw(PRIORITY, 0, 7, &[0, 0, 0, 0, 1]), Request(WHOLE, 1, &[]), Raw(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])], &[Answer(1, 200)]),
    row("§5.1.1: the client's streams are odd", &[Request(WHOLE, 2, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1.1: and their numbers rise", &[Request(WHOLE, 5, &[(":path", "/smuggled")]), Request(WHOLE, 3, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1.1: stream 0 is the connection", &[Request(WHOLE, 0, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§5.1.1: numbers may be left out", &[Request(WHOLE, 1, &[]), Request(WHOLE, 99, &[(":path", "/x99")])], &[Answer(1, 200), Answer(99, 200)]),
    row("§6.1: DATA belongs to a stream", &[Raw(DATA, END_STREAM, 0, b"x")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.1: padding is no part of a body", &[Request(OPEN, 1, &[(":method", "POST"), ("content-length", "2")]), Raw(DATA, END_STREAM | PADDED, 1, b"\x03ok\0\0\0")], &[Answer(1, 200)]),
    row("§6.1: padding longer than its frame", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(DATA, END_STREAM | PADDED, 1, b"\x09ok\0\0\0")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.1: padding as long as its frame", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(DATA, END_STREAM | PADDED, 1, b"\x06ok\0\0\0")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.1: padding in a frame without a byte", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(DATA, END_STREAM | PADDED, 1, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.2: padding longer than a head", &[Raw(HEADERS, WHOLE | PADDED, 1, &[9, 0x82])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.2: a head with a priority too short for it", &[Raw(HEADERS, WHOLE | PRIORITY_FLAG, 1, &[0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.3: PRIORITY belongs to a stream", &[Raw(PRIORITY, 0, 0, &[0, 0, 0, 0, 1])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.3: PRIORITY of another length (a stream error of FRAME_SIZE_ERROR)", &[Raw(PRIORITY, 0, 1, &[0, 0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.4: RST_STREAM belongs to a stream", &[Raw(RST_STREAM, 0, 0, &[0, 0, 0, 8])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.4: RST_STREAM of another length (FRAME_SIZE_ERROR)", &[Request(OPEN, 1, &[]), Raw(RST_STREAM, 0, 1, &[0, 0, 8])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5: SETTINGS belong to the connection", &[Raw(SETTINGS, 0, 1, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5: an acknowledgement says nothing more (FRAME_SIZE_ERROR)", &[Raw(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 1])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5: a setting has six bytes (FRAME_SIZE_ERROR)", &[Raw(SETTINGS, 0, 0, &[0, 3, 0, 0, 1])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5.2: unknown settings are ignored", &[Raw(SETTINGS, 0, 0, &[0xfa, 0xfa, 1, 2, 3, 4])], &[]),
    row("§6.5.2: ENABLE_PUSH is 0 or 1", &[Raw(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5.2: a window beyond 2^31-1 (FLOW_CONTROL_ERROR)", &[Raw(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5.2: a frame size below 2^14", &[Raw(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5.2: a frame size beyond 2^24-1", &[Raw(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.5.3: an acknowledgement of nothing", &[Raw(SETTINGS, ACK, 0, &[]), Raw(SETTINGS, ACK, 0, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.6: a client does not push", &[Request(OPEN, 1, &[]), Raw(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.7: PING belongs to the connection", &[Raw(PING, 0, 1, b"12345678")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.7: PING has eight bytes (FRAME_SIZE_ERROR)", &[Raw(PING, 0, 0, b"1234567")], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.7: an answer to no PING is ignored", &[Raw(PING, ACK, 0, b"12345678")], &[]),
    row("§6.8: GOAWAY belongs to the connection", &[Raw(GOAWAY, 0, 1, &[0; 8])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.8: GOAWAY has at least eight bytes (FRAME_SIZE_ERROR)", &[Raw(GOAWAY, 0, 0, &[0; 7])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.9: a window grows by something", &[Raw(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.9: that of a stream too (a stream error would do)", &[Request(OPEN, 1, &[]), Raw(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.9: WINDOW_UPDATE has four bytes (FRAME_SIZE_ERROR)", &[Raw(WINDOW_UPDATE, 0, 0, &[0, 0, 1])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.9.1: the connection's window beyond 2^31-1", &[Raw(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], &[Goodbye(FLOW_CONTROL_ERROR)]),
    row("§6.9.1: a stream's window beyond 2^31-1", &[Request(OPEN, 1, &[(":method", "POST")]), Raw(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])], &[Reset(1, FLOW_CONTROL_ERROR)]),
    row("§6.10: CONTINUATION behind a head that is whole", &[Request(OPEN, 1, &[]), Raw(CONTINUATION, END_HEADERS, 1, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("§6.10: CONTINUATION belongs to a stream", &[Raw(CONTINUATION, END_HEADERS, 0, &[])], &[Goodbye(PROTOCOL_ERROR)]),
    row("RFC 7540 §5.3.1: a stream that depends on itself", &[Raw(PRIORITY, 0, 3, &[0, 0, 0, 3, 1])], &[Reset(3, PROTOCOL_ERROR)]),
];

#[tokio::test]
async fn frames_are_understood_or_end_what_they_belong_to() {
    rows_hold(FRAMES).await;
}

/// §3.4: who begins otherwise does not speak HTTP/2.
#[tokio::test]
async fn settings_are_the_first_word_of_both_sides() {
    let (_recorder, stage, _session) = before().await;
    let mut wire = stage.client().open().await;
    wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1])].concat()).await;
    let mut frames = Frames::over(wire);
    let first = frames.next().await.expect("a frame");
    assert_eq!((first.kind, first.flags & ACK, first.stream), (SETTINGS, 0, 0));
    let acknowledged = frames.next_of(&[SETTINGS]).await.expect("an acknowledgement");
    assert_eq!((acknowledged.flags, acknowledged.payload.len()), (ACK, 0));
    frames.send(PING, 0, 0, b"say this").await;
    let pong = frames.next_of(&[PING]).await.expect("an answer");
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"say this"[..]));
}

/// A recorder behind a proxy, and the cookie of a session.
async fn before() -> (Recorder, Stage, String) {
    let recorder = Recorder::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", recorder.url());
        settings.set("server.workers", "1").text("log.level", "error");
    })
    .await;
    let session = stage.logged_in("jcitizen").await.cookie_header();
    recorder.take();
    (recorder, stage, session)
}

async fn rows_hold(rows: &[Row]) {
    let (recorder, stage, session) = before().await;
    let mut wrong = Vec::new();
    for row in rows {
        let wire = stage.client().open().await;
        let told = tokio::time::timeout(Duration::from_secs(5), tell(row, wire, &session)).await;
        let arrived = recorder.take();
        let held = told.map_err(|_| "still waiting for an end".to_owned());
        if let Err(fault) = held.and_then(|told| judge(row, &told, &arrived)) {
            wrong.push(format!("{}: {fault}", row.cites));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sends a row and the marker; what the client is told, until the marker is answered or the
/// connection ends.
async fn tell(row: &Row, wire: Wire, session: &str) -> Vec<Told> {
    let mut frames = Frames::begin(wire).await;
    let marker = Request(WHOLE, MARKER, &[(":path", "/marker")]);
    let all = row.sent.iter().copied().chain([marker]);
    let bytes: Vec<u8> = all.flat_map(|piece| piece.bytes(session)).collect();
    // The proxy may have hung up.
    let _ = frames.try_send(&bytes).await;
    let (mut told, mut lives_on) = (Vec::new(), false);
    while !lives_on || told.len() < row.told.len() {
        let Some(frame) = frames.next().await else {
            told.push(Told::Cut);
            break;
        };
        match frame.kind {
            HEADERS if frame.stream == MARKER => lives_on = frame.status() == 200,
            HEADERS => told.push(Answer(frame.stream, frame.status())),
            // An answer that did not wait for the request ends it without complaint (§8.1).
            RST_STREAM if frame.error() != NO_ERROR => {
                told.push(Reset(frame.stream, frame.error()));
            }
            GOAWAY => {
                told.push(Goodbye(frame.error()));
                frames.rest().await;
                break;
            }
            _ => {}
        }
    }
    told.sort_unstable();
    told
}

fn judge(row: &Row, told: &[Told], arrived: &[Recorded]) -> Result<(), String> {
    let line = |it: &Recorded| it.head.lines().next().unwrap_or_default().to_owned();
    let shown: Vec<_> = arrived.iter().map(|it| (line(it), it.is_whole)).collect();
    let expect = |good: bool, what: &str| {
        if good { Ok(()) } else { Err(format!("{what}; told {told:?}, upstream {shown:?}")) }
    };
    expect(told == row.told, &format!("not {:?}", row.told))?;
    let is_over = matches!(told, [.., Goodbye(_) | Told::Cut]);
    let (markers, requests): (Vec<_>, Vec<_>) =
        arrived.iter().partition(|it| it.target() == "/marker");
    expect(is_over || markers.len() == 1, "no marker behind it")?;
    expect(arrived.iter().all(Recorded::is_plain), "what arrived can be read in two ways")?;
    let answered = told.iter().filter(|it| matches!(it, Answer(_, 200))).count();
    let whole: Vec<_> = requests.iter().filter(|it| it.is_whole).collect();
    expect(is_over || whole.len() == answered, "another number of requests arrived")?;
    let smuggled = requests.iter().any(|it| it.target().contains("smuggled"));
    expect(is_over || !smuggled, "a request was smuggled")?;
    for line in row.arrives {
        let text = |it: &&&Recorded| format!("{}{}", it.head, String::from_utf8_lossy(&it.body));
        let found = whole.iter().any(|it| text(it).lines().any(|there| there == *line));
        expect(found, &format!("{line:?} did not arrive"))?;
    }
    Ok(())
}
