//! Request heads as they stood on the wire: the target byte for byte, names in the sender's
//! spelling, lines in the sender's order. HTTP libraries fold all three away, and a proxy is
//! judged by them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of what was read last is kept: more than any head that is accepted.
const KEPT: usize = 512 * 1024;

/// The bytes read last on one connection.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u8>>>);

/// A request head in the sender's own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Seen {
    fn push(&self, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() > KEPT {
            let half = seen.len() / 2;
            seen.drain(..half);
        }
        seen.extend_from_slice(bytes);
    }

    /// The head of the request that was read last; requests are not pipelined.
    pub(crate) fn take_head(&self, method: &str) -> Option<Head> {
        let seen = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let method = format!("{method} ");
        let starts = seen.windows(method.len()).enumerate().rev();
        let mut starts = starts.filter(|(_, window)| *window == method.as_bytes());
        starts.find_map(|(at, _)| parse(&seen[at + method.len()..]))
    }
}

/// Reads from after the method to the empty line; `None` if this is not a request head.
fn parse(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let (target, version) = lines.next()?.rsplit_once(' ')?;
    if !version.starts_with("HTTP/1.") || target.contains(' ') {
        return None;
    }
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
    };
    Some(Head { target: target.to_owned(), headers: lines.filter_map(pair).collect() })
}

/// A connection whose incoming bytes are also kept in [`Seen`].
pub(crate) struct Tap<S> {
    stream: S,
    seen: Seen,
}

impl<S> Tap<S> {
    pub(crate) fn new(stream: S, seen: Seen) -> Self {
        Self { stream, seen }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.seen.push(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_head_is_found_behind_the_body_of_the_request_before() {
        let seen = Seen::default();
        seen.push(b"a=1&b=GET GET /a//b?%7e=|  HTTP/1.1\r\n\r\nGET /x%2Fy?q HTTP/1.1\r\n");
        seen.push(b"Host: h\r\nX_Odd:  1 \r\nx-odd: 2\r\n\r\n");
        let head = seen.take_head("GET").expect("a head");
        assert_eq!(head.target, "/x%2Fy?q");
        let odd = [("Host", "h"), ("X_Odd", "1"), ("x-odd", "2")];
        assert_eq!(head.headers, odd.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
