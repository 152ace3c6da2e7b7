//! One request and its answer on a stream.
//!
//! No task stands behind it: whoever waits for the head, and later whoever reads the body, moves
//! the upload on as well. Dropped before its end, it resets the stream at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::{Method, Request, Response};
use http_body::{Body, Frame};

use super::connection::Place;
use super::error::StreamError;
use super::upload::Sending;
use crate::forward::body::RequestBody;
use crate::forward::h1::exchange::ExchangeError;
use crate::forward::h1::framing::{Framing, Said};
use crate::forward::trailers;

/// Informational answers before the final one (RFC 9110 §15.2).
const MOST_INTERIM: u8 = 16;

pub struct Exchange {
    // Before `place`: the stream is over before another may take its room.
    sending: Sending,
    reading: Reading,
    method: Method,
    interim: u8,
    /// A head has come, the final one or one before it.
    has_received: bool,
    /// Bytes that the answer's body still has, where that is known.
    length: Option<u64>,
    /// What ended the body early, still to be told.
    fault: Option<ExchangeError>,
    _place: Place,
}

enum Reading {
    Head(ResponseFuture),
    Body(RecvStream),
    Trailers(RecvStream),
    Ended,
}

impl Exchange {
    /// Sends the head, and the body as the exchange is polled. Should it fail, the first poll
    /// tells.
    pub fn begin(place: Place, head: Request<()>, body: RequestBody) -> Self {
        let method = head.method().clone();
        let is_empty = body.is_end_stream();
        let (reading, sending, fault) = match place.open(head, is_empty) {
            Ok((answer, _)) if is_empty => (Reading::Head(answer), Sending::Done, None),
            Ok((answer, stream)) => (Reading::Head(answer), Sending::new(stream, body), None),
            Err(error) => (Reading::Ended, Sending::GivenUp, Some(StreamError::from(error).into())),
        };
        let (interim, has_received, length) = (0, false, None);
        Self { sending, reading, method, interim, has_received, length, fault, _place: place }
    }

    /// Whether a head of an answer has come.
    pub fn has_received(&self) -> bool {
        self.has_received
    }

    /// Waits for the head of the final answer, and meanwhile sends the request.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, ExchangeError>> {
        if let Poll::Ready(sent) = self.poll_upload(cx) {
            sent?;
        }
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Err(fault));
        }
        let Reading::Head(response) = &mut self.reading else {
            return Poll::Pending;
        };
        while let Some(interim) = ready!(response.poll_informational(cx)) {
            interim.map_err(StreamError::from)?;
            self.has_received = true;
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(ExchangeError::Interim));
            }
        }
        let (head, stream) =
            ready!(Pin::new(response).poll(cx)).map_err(StreamError::from)?.into_parts();
        self.has_received = true;
        Poll::Ready(self.receive(Response::from_parts(head, ()), stream))
    }

    fn receive(
        &mut self,
        mut response: Response<()>,
        stream: RecvStream,
    ) -> Result<Response<()>, ExchangeError> {
        let said = Said::new(response.version(), response.headers())?;
        said.say_length_once(response.headers_mut());
        let framing = said.framing(&self.method, response.status());
        self.length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
        };
        self.reading = Reading::Body(stream);
        self.end_if_all_came();
        Ok(response)
    }

    /// Sends as much as has come and `CodeScan` takes. Ready when nothing is left to send.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let sent = ready!(self.sending.poll(cx)).map_err(|_| ExchangeError::Upload);
        if sent.is_err() {
            // Its client has left, so nobody takes the answer either.
            self.fault = Some(ExchangeError::Upload);
        }
        Poll::Ready(sent)
    }

    /// The answer's body, piece by piece; moves the upload on as well.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ExchangeError>>> {
        if self.sending.goes_on() {
            // Should it fail, that is told next.
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
                self.fault = Some(fault.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<Bytes>>, StreamError>> {
        loop {
            match &mut self.reading {
                Reading::Head(_) | Reading::Ended => return Poll::Ready(Ok(None)),
                Reading::Body(stream) => {
                    if let Some(data) = ready!(stream.poll_data(cx)).transpose()? {
                        if !data.is_empty() {
                            return Poll::Ready(Ok(Some(self.take(data))));
                        }
                    } else {
                        self.expect_trailers();
                    }
                }
                Reading::Trailers(stream) => {
                    let fields = ready!(stream.poll_trailers(cx))?;
                    self.reading = Reading::Ended;
                    let fields = fields.map(|fields| trailers::for_client(&fields));
                    let fields = fields.filter(|fields| !fields.is_empty());
                    return Poll::Ready(Ok(fields.map(Frame::trailers)));
                }
            }
        }
    }

    /// A piece that the client takes makes room for another one in the window.
    fn take(&mut self, data: Bytes) -> Frame<Bytes> {
        if let Reading::Body(stream) = &mut self.reading {
            // Fails for a stream that is over, which needs no room.
            let _ = stream.flow_control().release_capacity(data.len());
        }
        self.length = self.length.map(|length| length.saturating_sub(data.len() as u64));
        self.end_if_all_came();
        Frame::data(data)
    }

    fn expect_trailers(&mut self) {
        if let Reading::Body(stream) = std::mem::replace(&mut self.reading, Reading::Ended) {
            self.reading = Reading::Trailers(stream);
        }
    }

    fn end_if_all_came(&mut self) {
        if matches!(&self.reading, Reading::Body(stream) if stream.is_end_stream()) {
            self.reading = Reading::Ended;
        }
    }

    /// Whether the answer has been read to its end.
    pub fn has_ended(&self) -> bool {
        matches!(self.reading, Reading::Ended)
    }

    /// Bytes that the answer's body still has, where that is known.
    pub fn length_left(&self) -> Option<u64> {
        if self.has_ended() { Some(0) } else { self.length }
    }

    /// Whether some of the request is still to be sent.
    pub fn uploads(&self) -> bool {
        self.sending.goes_on()
    }
}
