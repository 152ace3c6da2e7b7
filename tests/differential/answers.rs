//! The client of our own towards `CodeScan` beside hyper's: both read the same answers, byte for
//! byte, whole, cut short, in pieces and mutated.
//!
//! Where ours refuses what hyper takes, it must be for one of the reasons in [`is_stricter`].
//! Never may it take what hyper refuses, end cleanly where something is missing, or keep a
//! connection that hyper would close.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use codescan_oauth_proxy::forward::body::{RequestBody, Upload};
use codescan_oauth_proxy::forward::connect::Stream;
use codescan_oauth_proxy::forward::h1::chunked::ChunkError;
use codescan_oauth_proxy::forward::h1::connection::Connection;
use codescan_oauth_proxy::forward::h1::exchange::{Asks, Exchange, ExchangeError};
use codescan_oauth_proxy::forward::h1::framing::FramingError;
use codescan_oauth_proxy::forward::h1::head::HeadError;
use fastrand::Rng;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::model::Heads;
use crate::model_trailers::may_trail;
use crate::setting;

/// Mutated answers.
const MUTATED: u64 = 6000;

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: y\r\nx:  z \r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: a\r\n\r\n00A\r\n0123456789\r\n000\r\na: b\r\na: c\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 500 \r\ncontent-length: 1\r\nserver: \t a\tb \r\n\r\nx",
];

/// What a client makes of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Made {
    /// Status, fields by name; `None` if the head was refused.
    head: Option<(u16, Heads)>,
    body: Vec<u8>,
    trailers: Heads,
    /// The body came to its end.
    is_whole: bool,
    /// Another request could follow.
    is_kept: bool,
}

impl Made {
    fn took(&self) -> bool {
        self.head.is_some() && self.is_whole
    }
}

#[tokio::test]
async fn every_answer_cut_short_and_in_pieces() {
    for answer in ANSWERS {
        for at in 0..=answer.len() {
            let (before, after) = answer.as_bytes().split_at(at);
            beside_hyper(&Method::GET, &[before]).await;
            beside_hyper(&Method::GET, &[before, after]).await;
            beside_hyper(&Method::HEAD, &[before]).await;
        }
    }
}

#[tokio::test]
async fn answers_with_something_changed() {
    let seed = setting("DIFFERENTIAL_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("DIFFERENTIAL_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..setting("DIFFERENTIAL_ANSWERS").unwrap_or(MUTATED) {
        let mut answer = any(&mut random).to_vec();
        for _ in 0..random.usize(1..=3) {
            change(&mut random, &mut answer);
        }
        let method = if random.u8(..6) == 0 { Method::HEAD } else { Method::GET };
        let (before, after) = answer.split_at(random.usize(..=answer.len()));
        beside_hyper(&method, &[before, after]).await;
    }
}

fn any(random: &mut Rng) -> &'static [u8] {
    ANSWERS[random.usize(..ANSWERS.len())].as_bytes()
}

fn change(random: &mut Rng, answer: &mut Vec<u8>) {
    const TELLING: &[u8] = b"\r\n\t :;,019afAF+-\"\0\x7f\x80";
    const LINES: &[&str] = &[
        "content-length: 5\r\n",
        "content-length: 3\r\n",
        "Content-Length: 5,5\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: x\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "x: y\n",
        " folded\r\n",
        "x : y\r\n",
        "\r\n",
    ];
    let at = random.usize(..=answer.len());
    let end = random.usize(at..=answer.len());
    match random.u8(..6) {
        0 => answer.insert(at, TELLING[random.usize(..TELLING.len())]),
        1 if at < answer.len() => answer[at] = TELLING[random.usize(..TELLING.len())],
        2 => drop(answer.drain(at..end.min(at + 4))),
        3 => answer.truncate(at),
        4 => {
            let line = LINES[random.usize(..LINES.len())].as_bytes();
            let ends = answer.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
            answer.splice(ends..ends, line.iter().copied());
        }
        _ => answer.extend_from_slice(any(random)),
    }
}

async fn beside_hyper(method: &Method, pieces: &[&[u8]]) {
    let (ours, error) = by_ours(method, pieces).await;
    let mut hypers = by_hyper(method, pieces).await;
    // Ours lets some not pass; it may not lose one that a rule lets.
    hypers.trailers.retain(|name, _| may_trail(name) || ours.trailers.contains_key(name));
    let shown = || {
        let wire = pieces.concat();
        let wire = wire.escape_ascii();
        format!("{method} b\"{wire}\"\nours {ours:?}\n{error:?}\nhyper's {hypers:?}")
    };
    if ours.took() && hypers.took() {
        assert_eq!(ours.head, hypers.head, "{}", shown());
        assert_eq!((&ours.body, &ours.trailers), (&hypers.body, &hypers.trailers), "{}", shown());
    } else if hypers.took() {
        assert!(error.as_ref().is_some_and(is_stricter), "refused without reason: {}", shown());
    } else {
        assert!(!ours.took(), "taken, and hyper refuses it: {}", shown());
    }
    let one_begins = ours.body.starts_with(&hypers.body) || hypers.body.starts_with(&ours.body);
    assert!(one_begins || ours.head.is_none() || hypers.head.is_none(), "{}", shown());
    assert!(!ours.is_kept || hypers.is_kept, "kept, and hyper closes it: {}", shown());
}

/// Why we may refuse what hyper takes: RFC 9112 lets it be read in two ways, or allows a bound.
fn is_stricter(error: &ExchangeError) -> bool {
    match error {
        // §6.3: a length beside a coding, a coding that is not chunked alone, lengths that differ.
        ExchangeError::Framing(
            FramingError::Both | FramingError::Coding | FramingError::Length,
        )
        // §7.1: white space and bare line feeds about a chunk's size, §7.1.2: its trailers.
        | ExchangeError::Chunk(ChunkError::Size | ChunkError::Trailers)
        // RFC 9110 §7.8: nobody asked.
        | ExchangeError::Switched
        // A bound.
        | ExchangeError::Interim
        | ExchangeError::Head(HeadError::TooLarge) => true,
        ExchangeError::Head(HeadError::Malformed(_) | HeadError::Invalid)
        | ExchangeError::Chunk(ChunkError::End)
        | ExchangeError::Io(_)
        | ExchangeError::Closed
        | ExchangeError::Stream(_)
        | ExchangeError::Upload => false,
    }
}

async fn by_ours(method: &Method, pieces: &[&[u8]]) -> (Made, Option<ExchangeError>) {
    let (near, far) = UnixStream::pair().expect("a pair");
    let body = RequestBody::new(None, Upload::new(None, None, http::Version::HTTP_11));
    let write_head = |head: &mut Vec<u8>| head.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let connection = Box::new(Connection::new(Stream::Unix(near)));
    let asks = Asks::default();
    let mut exchange = Exchange::new(connection, method.clone(), asks, body, write_head);
    let mut made = Made::default();
    let mut error = None;
    let far = {
        let reading = async {
            if let Err(fault) = read(&mut exchange, &mut made).await {
                error = Some(fault);
            }
        };
        fed(far, pieces, reading).await
    };
    if let Some(mut connection) = exchange.into_connection() {
        settle().await;
        made.is_kept = connection.is_quiet();
    }
    drop(far);
    (made, error)
}

async fn read(exchange: &mut Exchange, made: &mut Made) -> Result<(), ExchangeError> {
    let response = std::future::poll_fn(|cx| exchange.poll_head(cx)).await?;
    made.head = Some(head(&response));
    while let Some(frame) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {
        match frame?.into_data() {
            Ok(data) => made.body.extend_from_slice(&data),
            Err(frame) => made.trailers = frame.trailers_ref().map(fields).unwrap_or_default(),
        }
    }
    made.is_whole = true;
    Ok(())
}

async fn by_hyper(method: &Method, pieces: &[&[u8]]) -> Made {
    let (near, far) = UnixStream::pair().expect("a pair");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(near));
    let (mut sender, connection) = handshake.await.expect("a connection");
    let connection = tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method.clone();
    let mut made = Made::default();
    let far = {
        let reading = async {
            let Ok(mut response) = sender.send_request(request).await else { return };
            made.head = Some(head(&response));
            while let Some(frame) = response.frame().await {
                let Ok(frame) = frame else { return };
                match frame.into_data() {
                    Ok(data) => made.body.extend_from_slice(&data),
                    Err(frame) => {
                        made.trailers = frame.trailers_ref().map(fields).unwrap_or_default();
                    }
                }
            }
            made.is_whole = true;
        };
        fed(far, pieces, reading).await
    };
    settle().await;
    made.is_kept = made.is_whole && sender.is_ready() && !sender.is_closed();
    drop(far);
    connection.abort();
    made
}

/// Lets `reading` go on while the pieces come, and then the end if it waits for more.
async fn fed(
    mut far: UnixStream,
    pieces: &[&[u8]],
    reading: impl Future<Output = ()>,
) -> UnixStream {
    let feeding = async {
        for piece in pieces {
            // Who has seen enough hangs up.
            let _ = far.write_all(piece).await;
            settle().await;
        }
        far
    };
    tokio::pin!(reading);
    let mut reading = Some(reading);
    let feeding = Beside { feeding: Box::pin(feeding), reading: &mut reading };
    let mut far = feeding.await;
    if let Some(reading) = reading {
        let _ = far.shutdown().await;
        reading.await;
    }
    far
}

/// Resolves with the feeding, whether the reading has come to its end or not.
struct Beside<'r, 'p, F: Future, R: Future<Output = ()>> {
    feeding: Pin<Box<F>>,
    reading: &'r mut Option<Pin<&'p mut R>>,
}

impl<F: Future, R: Future<Output = ()>> Future for Beside<'_, '_, F, R> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        if this.reading.as_mut().is_some_and(|reading| reading.as_mut().poll(cx).is_ready()) {
            *this.reading = None;
        }
        this.feeding.as_mut().poll(cx)
    }
}

/// Until all that was written has been looked at: a yield lets the runtime ask for events.
async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

fn head<B>(response: &Response<B>) -> (u16, Heads) {
    (response.status().as_u16(), fields(response.headers()))
}

fn fields(map: &HeaderMap) -> Heads {
    let mut fields = Heads::new();
    for (name, value) in map {
        let value = value.as_bytes().to_vec();
        fields.entry(name.to_string()).or_default().push(value);
    }
    // Ours says once what was said several times.
    if let Some(lengths) = fields.get_mut("content-length") {
        let first = String::from_utf8_lossy(&lengths[0]).into_owned();
        let first = first.split(',').next().unwrap_or_default().trim().to_owned();
        *lengths = vec![first.trim_start_matches('0').as_bytes().to_vec()];
    }
    fields
}
