//! One request and its answer on one connection.
//!
//! No task stands behind it: whoever waits for the head, and later whoever reads the body, moves
//! the upload on as well. Dropped before its end, it takes the connection with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use super::chunked::{ChunkError, Decoder, Piece};
use super::connection::Connection;
use super::framing::{Framing, FramingError, Said};
use super::head::{self, HeadError};
use super::upload::Sending;
use crate::forward::body::RequestBody;
use crate::forward::h2::error::StreamError;
use crate::forward::trailers;

/// Informational answers before the final one (RFC 9110 §15.2).
const MOST_INTERIM: u8 = 16;

/// How long the client's body may be held back for a 100 (Continue) of `CodeScan`, which need not
/// send one (RFC 9110 §10.1.1).
const CONTINUE_WITHIN: Duration = Duration::from_secs(1);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the connection was closed before the answer was complete")]
    Closed,
    #[error("{0}")]
    Head(#[from] HeadError),
    #[error("the answer could be read in two ways: {0}")]
    Framing(#[from] FramingError),
    #[error("the answer's body is broken: {0}")]
    Chunk(#[from] ChunkError),
    #[error("it switched protocols unasked")]
    Switched,
    #[error("it sent informational answers without end")]
    Interim,
    /// The same over HTTP/2, where one stream can end without the others.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The client's body broke off; nothing is wrong with `CodeScan`.
    #[error("the request body broke off")]
    Upload,
}

pub struct Exchange {
    connection: Box<Connection>,
    sending: Sending,
    reading: Reading,
    method: Method,
    /// The request asked for another protocol.
    upgrades: bool,
    /// The body is held back, as `CodeScan` may not want it; not for ever.
    held: Option<Pin<Box<Sleep>>>,
    interim: u8,
    /// The server keeps the connection open after this answer.
    kept: bool,
    /// A byte of an answer has come.
    has_received: bool,
    /// What ended the body early, still to be told.
    fault: Option<ExchangeError>,
}

enum Reading {
    Head,
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    Ended,
}

/// What a request asks for besides its answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asks {
    /// Another protocol.
    pub upgrades: bool,
    /// A 100 (Continue) before its body.
    pub expects: bool,
}

/// What the bytes of a body that are there amount to.
enum Step {
    Frame(Frame<Bytes>),
    End,
    ReadOn,
}

impl Exchange {
    /// `write_head` writes the request line and all fields but those that frame the body.
    pub fn new(
        mut connection: Box<Connection>,
        method: Method,
        asks: Asks,
        body: RequestBody,
        write_head: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let head = connection.outbox.begin();
        write_head(head);
        let sending = Sending::begin(body, &method, head);
        Self {
            connection,
            sending,
            reading: Reading::Head,
            method,
            upgrades: asks.upgrades,
            held: asks.expects.then(|| Box::pin(sleep(CONTINUE_WITHIN))),
            interim: 0,
            kept: false,
            has_received: false,
            fault: None,
        }
    }

    /// Whether a byte of an answer has come.
    pub fn has_received(&self) -> bool {
        self.has_received
    }

    /// Waits for the head of the final answer, and meanwhile sends the request.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, ExchangeError>> {
        if let Poll::Ready(sent) = self.poll_upload(cx) {
            sent?;
        }
        loop {
            while let Some(mut response) = head::take(&mut self.connection.incoming)? {
                if self.is_final(&mut response)? {
                    return Poll::Ready(Ok(response));
                }
                if let Poll::Ready(sent) = self.poll_upload(cx) {
                    sent?;
                }
            }
            if ready!(self.connection.poll_read_head(cx))? == 0 {
                return Poll::Ready(Err(ExchangeError::Closed));
            }
            self.has_received = true;
        }
    }

    /// Sends as much as has come and `CodeScan` takes. Ready when nothing is left to send.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let connection = &mut *self.connection;
        if let Some(held) = &mut self.held {
            if held.as_mut().poll(cx).is_pending() {
                // Should it fail, there is no answer either.
                let _ = connection.outbox.poll_send(&mut connection.stream, cx);
                return Poll::Pending;
            }
            self.held = None;
        }
        let sent = self.sending.poll(&mut connection.outbox, &mut connection.stream, cx);
        sent.map_err(|_| ExchangeError::Upload)
    }

    /// The answer's body, piece by piece; moves the upload on as well.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if self.sending.goes_on() {
            // Should it fail, the answer is whole all the same; only the connection is not.
            let _ = self.poll_upload(cx);
        }
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        match ready!(self.poll_frame(cx)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(fault) => {
                // A turn later, so that what came before it is sent on and not thrown away with
                // the connection.
                self.fault = Some(fault);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, ExchangeError>> {
        loop {
            match self.step()? {
                Step::Frame(frame) => return Poll::Ready(Ok(Some(frame))),
                Step::End => return Poll::Ready(Ok(None)),
                Step::ReadOn => {}
            }
            let left = match self.reading {
                Reading::Length(left) => left,
                Reading::Head | Reading::Chunked(_) | Reading::UntilClose | Reading::Ended => {
                    u64::MAX
                }
            };
            if ready!(self.connection.poll_read_body(left, cx))? == 0 {
                if matches!(self.reading, Reading::UntilClose) {
                    self.reading = Reading::Ended;
                    return Poll::Ready(Ok(None));
                }
                // Never a clean end for a body cut short.
                return Poll::Ready(Err(ExchangeError::Closed));
            }
        }
    }

    /// What can be made of the bytes that are there.
    fn step(&mut self) -> Result<Step, ExchangeError> {
        let incoming = &mut self.connection.incoming;
        let data = match &mut self.reading {
            Reading::Ended | Reading::Head => return Ok(Step::End),
            Reading::Length(_) | Reading::UntilClose if incoming.is_empty() => {
                return Ok(Step::ReadOn);
            }
            Reading::UntilClose => incoming.split(),
            Reading::Length(left) => {
                let there = incoming.len();
                let length = usize::try_from(*left).map_or(there, |left| left.min(there));
                *left -= length as u64;
                if *left == 0 {
                    self.reading = Reading::Ended;
                }
                incoming.split_to(length)
            }
            Reading::Chunked(_) => return self.step_chunked(),
        };
        Ok(Step::Frame(Frame::data(data.freeze())))
    }

    fn step_chunked(&mut self) -> Result<Step, ExchangeError> {
        let Reading::Chunked(decoder) = &mut self.reading else { return Ok(Step::End) };
        Ok(match decoder.decode(&mut self.connection.incoming)? {
            Piece::Nothing => Step::ReadOn,
            Piece::Data(data) => Step::Frame(Frame::data(data)),
            Piece::End(trailers) => {
                self.reading = Reading::Ended;
                let trailers = trailers::for_client(&trailers);
                if trailers.is_empty() { Step::End } else { Step::Frame(Frame::trailers(trailers)) }
            }
        })
    }

    /// Whether the answer has been read to its end.
    pub fn has_ended(&self) -> bool {
        matches!(self.reading, Reading::Ended)
    }

    /// Bytes that the answer's body still has, where that is known.
    pub fn length_left(&self) -> Option<u64> {
        match self.reading {
            Reading::Length(left) => Some(left),
            Reading::Ended => Some(0),
            Reading::Head | Reading::Chunked(_) | Reading::UntilClose => None,
        }
    }

    /// Whether some of the request is still to be sent.
    pub fn uploads(&self) -> bool {
        self.sending.goes_on()
    }

    /// The connection, if another exchange may follow: both sides ended cleanly, and no byte is
    /// left over.
    pub fn into_connection(self) -> Option<Box<Connection>> {
        let is_clean = self.has_ended()
            && self.kept
            && self.sending.is_done()
            && self.connection.incoming.is_empty();
        is_clean.then_some(self.connection)
    }

    /// After a 101: the connection, with the bytes of the new protocol that have come already.
    pub fn into_upgraded(self) -> Box<Connection> {
        self.connection
    }

    fn is_final(&mut self, response: &mut Response<()>) -> Result<bool, ExchangeError> {
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return if self.upgrades { Ok(true) } else { Err(ExchangeError::Switched) };
        }
        let version = response.version();
        // Checked even where there can be no body: an intermediary before us may think otherwise.
        let said = Said::new(version, response.headers())?;
        if status.is_informational() {
            if status == StatusCode::CONTINUE {
                self.held = None;
            }
            self.interim += 1;
            return if self.interim > MOST_INTERIM {
                Err(ExchangeError::Interim)
            } else {
                Ok(false)
            };
        }
        if self.held.take().is_some() {
            self.sending = Sending::GivenUp;
        }
        said.say_length_once(response.headers_mut());
        let framing = said.framing(&self.method, status);
        self.kept = said.is_kept(version, framing);
        self.reading = match framing {
            Framing::Empty => Reading::Ended,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked(Decoder::default()),
            Framing::UntilClose => Reading::UntilClose,
        };
        Ok(true)
    }
}
