//! The client's body on its way to `CodeScan`, as fast as the windows let it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::forward::body::{BodyError, RequestBody};

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
        Self::Body(Box::new(Going { stream, body, waiting: Bytes::new(), is_last: false }))
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
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()?;
        let trailers = match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                self.waiting = data;
                self.is_last = self.body.is_end_stream() && !self.waiting.is_empty();
                return Poll::Ready(Ok(None));
            }
            Some(Err(last)) => last.into_trailers().unwrap_or_default(),
            None => HeaderMap::new(),
        };
        let sent = if trailers.is_empty() {
            self.stream.send_data(Bytes::new(), true)
        } else {
            self.stream.send_trailers(trailers)
        };
        Poll::Ready(Ok(Some(how(&sent))))
    }
}

fn how(sent: &Result<(), h2::Error>) -> End {
    if sent.is_ok() { End::HandedOver } else { End::Refused }
}
