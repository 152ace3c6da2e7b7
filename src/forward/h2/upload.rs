//! The client's body on its way to `CodeScan`, as fast as the windows let it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::forward::body::{BodyError, RequestBody};

/// Pieces are gathered to at least so much, if more has come. A client chooses how small its
/// chunks are, and a server may end a connection that brings thousands of tiny frames, with the
/// requests of all others on it.
const SMALL: usize = 4 * 1024;

pub enum Sending {
    Body(Box<Going>),
    /// All of it has been handed over.
    Done,
    /// Nobody reads the rest. The stream is left without an end, so that it never looks whole.
    GivenUp,
}

/// A body that is being sent.
pub struct Going {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// What came and finds no room yet.
    waiting: Bytes,
    /// What waits is the end of it.
    is_last: bool,
    /// Small pieces in a row.
    gathered: BytesMut,
    /// More of them had a turn to come.
    gave_turn: bool,
    /// What follows the last piece, once that has come.
    trailers: Option<HeaderMap>,
}

/// How it ended.
enum End {
    HandedOver,
    /// Nobody takes the rest: why, the answer will tell.
    Refused,
}

impl Sending {
    /// For a body that is not empty.
    pub fn new(stream: SendStream<Bytes>, body: RequestBody) -> Self {
        Self::Body(Box::new(Going {
            stream,
            body,
            waiting: Bytes::new(),
            is_last: false,
            gathered: BytesMut::new(),
            gave_turn: false,
            trailers: None,
        }))
    }

    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// Takes in and hands over. Ready when all is handed over, or nobody takes it.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Self::Body(going) = self else { return Poll::Ready(Ok(())) };
        let ended = ready!(going.poll(cx));
        // Asked once more, a broken body could seem to have ended.
        *self = if matches!(ended, Ok(End::HandedOver)) { Self::Done } else { Self::GivenUp };
        Poll::Ready(ended.map(drop))
    }
}

impl Going {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<End, BodyError>> {
        loop {
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(End::Refused));
            }
            let before = self.waiting.len();
            let handed_over = self.poll_hand_over(cx);
            self.body.note_stuck(handed_over.is_pending(), self.waiting.len() < before);
            if let Some(end) = ready!(handed_over) {
                return Poll::Ready(Ok(end));
            }
            if let Some(end) = ready!(self.poll_take_in(cx))? {
                return Poll::Ready(Ok(end));
            }
        }
    }

    /// Ready when nothing waits.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        while !self.waiting.is_empty() {
            // Asked for only when there is something to send: room that one stream holds is taken
            // from all others of the connection.
            self.stream.reserve_capacity(self.waiting.len());
            let room = match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(Some(End::Refused)),
                },
                room => room,
            };
            let piece = self.waiting.split_to(room.min(self.waiting.len()));
            let ends = self.waiting.is_empty() && self.is_last;
            let sent = self.stream.send_data(piece, ends);
            if sent.is_err() || ends {
                return Poll::Ready(Some(how(&sent)));
            }
        }
        Poll::Ready(None)
    }

    /// Ready with what came, or when that was the end.
    fn poll_take_in(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<End>, BodyError>> {
        ready!(self.poll_gather(cx))?;
        if !self.waiting.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let trailers = self.trailers.take().unwrap_or_default();
        let sent = if trailers.is_empty() {
            self.stream.send_data(Bytes::new(), true)
        } else {
            self.stream.send_trailers(trailers)
        };
        Poll::Ready(Ok(Some(how(&sent))))
    }

    /// Ready with what waits from now on, or if only trailers are left. Behind a small piece there
    /// is one turn of the runtime: of the chunks that have been read the client's connection
    /// hands over one in each.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.trailers.is_none() && self.gathered.len() < SMALL && !self.is_over() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                if self.gathered.is_empty() {
                    return Poll::Pending;
                }
                if self.gave_turn {
                    break;
                }
                self.gave_turn = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            };
            let Some(data) = self.data_of(frame.transpose()?) else { break };
            self.gave_turn = false;
            if self.gathered.is_empty() && data.len() >= SMALL {
                return self.wait_with(data);
            }
            self.gathered.extend_from_slice(&data);
        }
        let gathered = self.gathered.split().freeze();
        self.wait_with(gathered)
    }

    fn wait_with(&mut self, data: Bytes) -> Poll<Result<(), BodyError>> {
        self.is_last = self.is_over() && !data.is_empty();
        self.waiting = data;
        Poll::Ready(Ok(()))
    }

    /// Whether nothing follows the data that has come, not even trailers.
    fn is_over(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }

    /// Data, or nothing but [`Self::trailers`] are left.
    fn data_of(&mut self, frame: Option<Frame<Bytes>>) -> Option<Bytes> {
        let last = match frame.map(Frame::into_data) {
            Some(Ok(data)) => return Some(data),
            Some(Err(last)) => last.into_trailers().ok(),
            None => None,
        };
        self.trailers = Some(last.unwrap_or_default());
        None
    }
}

fn how(sent: &Result<(), h2::Error>) -> End {
    if sent.is_ok() { End::HandedOver } else { End::Refused }
}
