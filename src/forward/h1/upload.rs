//! The client's body on its way to `CodeScan`: as long as it says, or chunked.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Method};
use http_body::Body;

use super::outbox::Outbox;
use crate::forward::body::{BodyError, RequestBody};
use crate::forward::connect::Stream;
use crate::forward::sink::Sink;

pub enum Sending {
    Length(RequestBody),
    Chunked(RequestBody),
    /// The whole body has been taken in, and some of it may still wait to be written.
    Taken,
    /// Every byte has been written.
    Done,
    /// Nobody reads the rest.
    GivenUp,
}

/// How far the client's body has been taken in.
#[derive(PartialEq, Eq)]
enum Taken {
    All,
    /// As much as may wait.
    Enough,
    /// As much as has come.
    Waiting,
}

impl Sending {
    /// Ends the head with the field that frames the body (RFC 9112 §6).
    pub fn begin(body: RequestBody, method: &Method, head: &mut Vec<u8>) -> Self {
        let sending = match body.size_hint().exact() {
            Some(0) => {
                // RFC 9110 §8.6: where a body would be expected, its absence is said.
                if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
                    head.extend_from_slice(b"content-length: 0\r\n");
                }
                Self::Taken
            }
            Some(length) => {
                // Writing to a Vec does not fail.
                let _ = write!(head, "content-length: {length}\r\n");
                Self::Length(body)
            }
            None => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Self::Chunked(body)
            }
        };
        head.extend_from_slice(b"\r\n");
        sending
    }

    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_) | Self::Taken)
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes in and writes out. Ready when all is written, or nobody takes it.
    pub fn poll(
        &mut self,
        outbox: &mut Outbox,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        if !self.goes_on() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let taken = match self.take_in(outbox, cx) {
                Ok(taken) => taken,
                Err(error) => {
                    // Asked once more, a broken body could seem to have ended.
                    *self = Self::GivenUp;
                    return Poll::Ready(Err(error));
                }
            };
            let left = outbox.left();
            let sent = outbox.poll_send(stream, cx);
            self.note_stuck(sent.is_pending(), outbox.left() < left);
            if ready!(sent).is_err() {
                // It may have answered already and hung up; the answer will tell.
                *self = Self::GivenUp;
                return Poll::Ready(Ok(()));
            }
            match taken {
                Taken::All => {
                    *self = Self::Done;
                    return Poll::Ready(Ok(()));
                }
                Taken::Waiting => return Poll::Pending,
                Taken::Enough => {}
            }
        }
    }

    fn note_stuck(&self, waits: bool, took_some: bool) {
        if let Self::Length(body) | Self::Chunked(body) = self {
            body.note_stuck(waits, took_some);
        }
    }

    fn take_in(&mut self, outbox: &mut Outbox, cx: &mut Context<'_>) -> Result<Taken, BodyError> {
        while !outbox.is_full() {
            let (body, chunked) = match self {
                Self::Length(body) => (body, false),
                Self::Chunked(body) => (body, true),
                Self::Taken | Self::Done | Self::GivenUp => return Ok(Taken::All),
            };
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                return Ok(Taken::Waiting);
            };
            match frame.transpose()?.map(http_body::Frame::into_data) {
                Some(Ok(data)) if chunked => outbox.push_chunk(data),
                Some(Ok(data)) => outbox.push(data),
                Some(Err(last)) => {
                    self.end(outbox, chunked, &last.into_trailers().unwrap_or_default());
                }
                None => self.end(outbox, chunked, &HeaderMap::new()),
            }
        }
        Ok(Taken::Enough)
    }

    /// The last chunk, and the trailer section (RFC 9112 §7.1.2).
    fn end(&mut self, outbox: &mut Outbox, chunked: bool, trailers: &HeaderMap) {
        *self = Self::Taken;
        if !chunked {
            return;
        }
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers {
            end.field(name, value);
        }
        end.extend_from_slice(b"\r\n");
        outbox.push_slice(&end);
    }
}
