//! Windows: what they let through, byte by byte, in both directions.

use super::{
    DATA, DEFAULTS, END_STREAM, Frame, Frames, HEADERS, OPEN, PREFACE, RST_STREAM, SETTINGS, WHOLE,
    WINDOW_UPDATE, block, frame,
};
use crate::harness::{Stage, pattern};

async fn open_to_all() -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await
}

fn setting(number: u8, value: u32) -> Vec<u8> {
    let value = value.to_be_bytes();
    frame(SETTINGS, 0, 0, &[&[0, number][..], &value].concat())
}

fn wider(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

fn request(method: &str, stream: u32, target: &str) -> Vec<u8> {
    let fields = [&[(":method", method)], &DEFAULTS[1..3], &[(":path", target)]].concat();
    frame(HEADERS, WHOLE, stream, &block(&fields))
}

fn get(stream: u32, target: &str) -> Vec<u8> {
    request("GET", stream, target)
}

/// Reads bodies, and looks for bytes that should not have been sent.
struct Reader {
    frames: Frames,
    data: Vec<Frame>,
    /// The stream of the next request.
    next: u32,
}

impl Reader {
    /// Begins with these frames.
    async fn begin(stage: &Stage, begins: &[Vec<u8>]) -> Self {
        let mut wire = stage.client().open().await;
        wire.send([PREFACE, &begins.concat()].concat()).await;
        Self { frames: Frames::over(wire), data: Vec::new(), next: 101 }
    }

    async fn send(&mut self, frame: &[u8]) {
        self.frames.try_send(frame).await.expect("it listens");
    }

    /// Waits for so many bytes, and then for the answer to another request, before which whatever
    /// may be sent as well would come.
    async fn read(&mut self, wanted: usize) -> Vec<u8> {
        while self.bytes(1).len() + self.bytes(3).len() < wanted {
            let data = self.frames.next_of(&[DATA]).await.expect("more of a body");
            self.data.push(data);
        }
        let after = self.next;
        self.next += 2;
        self.send(&request("HEAD", after, "/bytes/1")).await;
        loop {
            let next = self.frames.next_of(&[DATA, HEADERS]).await.expect("an answer");
            match next.kind {
                HEADERS if next.stream == after => return self.bytes(1),
                DATA => self.data.push(next),
                _ => {}
            }
        }
    }

    /// What has come of a body.
    fn bytes(&self, stream: u32) -> Vec<u8> {
        let own = self.data.iter().filter(|it| it.stream == stream);
        own.flat_map(|it| it.payload.clone()).collect()
    }
}

const WINDOW: u8 = 4;
const FRAME_SIZE: u8 = 5;

/// §6.9.1.
#[tokio::test]
async fn no_more_is_sent_than_the_window_of_a_stream_lets_through() {
    let stage = open_to_all().await;
    let mut reader = Reader::begin(&stage, &[setting(WINDOW, 10), get(1, "/bytes/40")]).await;
    assert_eq!(reader.read(10).await, pattern(10));
    for (more, sum) in [(1, 11), (5, 16), (1_000, 40)] {
        reader.send(&wider(1, more)).await;
        assert_eq!(reader.read(sum).await, pattern(sum));
    }
    assert!(reader.data.last().is_some_and(|it| it.flags & END_STREAM != 0), "and that is all");
}

/// §6.9.1: the connection has a window of its own, of 65,535 bytes at first.
#[tokio::test]
async fn nor_than_that_of_the_connection() {
    let stage = open_to_all().await;
    let begins = [setting(WINDOW, 1_000_000), get(1, "/bytes/60000"), get(3, "/bytes/60000")];
    let mut reader = Reader::begin(&stage, &begins).await;
    for (more, sum) in [(1, 65_535), (54_464, 65_536), (1, 120_000)] {
        reader.read(sum).await;
        assert_eq!(reader.bytes(1).len() + reader.bytes(3).len(), sum);
        reader.send(&wider(0, more)).await;
    }
    for stream in [1, 3] {
        assert!(reader.bytes(stream) == pattern(60_000), "stream {stream}");
    }
}

/// §6.9.2: a window that shrinks below what was sent is negative, and is waited out.
#[tokio::test]
async fn a_window_that_is_made_smaller_is_waited_out() {
    let stage = open_to_all().await;
    let mut reader = Reader::begin(&stage, &[setting(WINDOW, 20), get(1, "/bytes/60")]).await;
    assert_eq!(reader.read(20).await, pattern(20));
    for (change, sum) in [
        // 5 - 20 = -15
        (setting(WINDOW, 5), 20),
        (wider(1, 15), 20),
        (wider(1, 3), 23),
        (setting(WINDOW, 0), 23),
        (wider(1, 5), 23),
        (wider(1, 2), 25),
        (setting(WINDOW, 1_000), 60),
    ] {
        reader.send(&change).await;
        assert_eq!(reader.read(sum).await, pattern(sum));
    }
}

/// §6.9: a window is for bodies; heads and answers without one go through all the same.
#[tokio::test]
async fn a_closed_window_holds_no_head_back() {
    let stage = open_to_all().await;
    let begins = [setting(WINDOW, 0), get(1, "/bytes/3"), get(5, "/status/204")];
    let mut reader = Reader::begin(&stage, &begins).await;
    for _ in 0..2 {
        assert!(reader.frames.next_of(&[HEADERS]).await.is_some());
    }
    assert!(reader.read(0).await.is_empty());
    reader.send(&wider(1, 3)).await;
    assert_eq!(reader.read(3).await, pattern(3));
}

/// §4.2, §6.5.2: a frame is never longer than the client takes.
#[tokio::test]
async fn frames_are_as_long_as_the_client_takes_them() {
    let stage = open_to_all().await;
    for (more, most) in [(vec![], 16_384), (setting(FRAME_SIZE, 20_000), 20_000)] {
        let begins = [setting(WINDOW, 60_000), more, get(1, "/bytes/50000")];
        let mut reader = Reader::begin(&stage, &begins).await;
        assert!(reader.read(50_000).await == pattern(50_000));
        assert!(reader.data.iter().all(|it| it.payload.len() <= most), "{most}");
    }
}

/// §6.9.1: who sends more than the window lets through is told so, and it reaches nobody.
#[tokio::test]
async fn a_client_that_overruns_a_window_is_stopped() {
    let stage = open_to_all().await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let post = [&[(":method", "POST")], &DEFAULTS[1..3], &[(":path", "/hang")]].concat();
    let body = frame(DATA, 0, 1, &[b'x'; 16_384]);
    let mut all = frame(HEADERS, OPEN, 1, &block(&post));
    all.extend(body.repeat(2_000_000 / 16_384));
    // The proxy may have hung up.
    let _ = frames.try_send(&all).await;
    let told = frames.next_of(&[RST_STREAM, super::GOAWAY]).await.expect("a complaint");
    assert_eq!(told.error(), super::FLOW_CONTROL_ERROR);
}

/// §6.9: bytes that nobody will read are given back, or the connection would run dry.
#[tokio::test]
async fn bodies_that_nobody_reads_do_not_run_the_connection_dry() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[]");
    })
    .await;
    let mut frames = Frames::begin(stage.client().open().await).await;
    let post = block(&[&[(":method", "POST")], &DEFAULTS[1..]].concat());
    let mut room = 65_535_i64;
    // Three times as much as the connection's window can ever be.
    for stream in (1..400).step_by(2) {
        frames.send(HEADERS, OPEN, stream, &post).await;
        frames.send(DATA, END_STREAM, stream, &[b'x'; 16_384]).await;
        room -= 16_384;
        let mut answered = false;
        while !answered || room < 16_384 {
            let next = frames.next_of(&[HEADERS, WINDOW_UPDATE]).await.expect("it lives");
            answered |= next.kind == HEADERS && next.stream == stream;
            if (next.kind, next.stream) == (WINDOW_UPDATE, 0) {
                room += i64::from(u32::from_be_bytes(next.payload[..4].try_into().expect("4")));
            }
        }
    }
}
