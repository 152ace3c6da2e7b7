//! One connection to the proxy, written and read byte by byte: for what no HTTP library sends.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::client::Answer;
use super::evidence::Evidence;
use super::{PATIENCE, patiently};

/// TCP or a unix socket.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub struct Wire {
    stream: Box<dyn Duplex>,
    unread: Vec<u8>,
    /// `None` for what the proxy says to `CodeScan`: tokens belong there.
    evidence: Option<Evidence>,
}

impl Wire {
    pub fn new(stream: Box<dyn Duplex>, evidence: impl Into<Option<Evidence>>) -> Self {
        Self { stream, unread: Vec::new(), evidence: evidence.into() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the proxy takes the bytes");
    }

    /// The proxy may have hung up.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let sending = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        patiently("to send", sending).await
    }

    /// Sends a request without a body, and reads the answer.
    pub async fn get(&mut self, target: &str, headers: &str) -> Answer {
        self.send(get(target, headers)).await;
        self.answer().await
    }

    /// The next answer, read to the end that its head tells.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        answer.body = match (answer.header("content-length"), answer.header("transfer-encoding")) {
            (_, Some("chunked")) => self.chunked().await,
            (Some(length), _) => self.take(length.parse().expect("a length")).await,
            (None, _) => Bytes::new(),
        };
        answer
    }

    /// The next answer's head.
    pub async fn head(&mut self) -> Answer {
        let head = self.until(b"\r\n\r\n").await;
        if let Some(evidence) = &self.evidence {
            evidence.said(&head);
        }
        let head = String::from_utf8(head).expect("a head of text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value.trim()).expect("a value"));
        }
        let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
        Answer { status, headers, body: Bytes::new() }
    }

    /// All up to and including `end`.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.unread.drain(..at + end.len()).collect();
            }
            let what = String::from_utf8_lossy(end).into_owned();
            let so_far = String::from_utf8_lossy(&self.unread).into_owned();
            assert!(self.read().await, "ended before {what:?}: {so_far:?}");
        }
    }

    pub async fn take(&mut self, length: usize) -> Bytes {
        while self.unread.len() < length {
            assert!(self.read().await, "ended after {} of {length} bytes", self.unread.len());
        }
        self.unread.drain(..length).collect::<Vec<u8>>().into()
    }

    /// The same; `None` if the other side closes before.
    pub async fn try_take(&mut self, length: usize) -> Option<Bytes> {
        while self.unread.len() < length {
            if !self.read().await {
                return None;
            }
        }
        Some(self.unread.drain(..length).collect::<Vec<u8>>().into())
    }

    /// All that comes until the other side closes, by an end or a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read().await {}
        std::mem::take(&mut self.unread)
    }

    /// All that comes until the other side closes, or `limit` has passed.
    pub async fn rest_within(&mut self, limit: Duration) -> Vec<u8> {
        let reading =
            async { while matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(limit, reading).await;
        std::mem::take(&mut self.unread)
    }

    /// A chunked body.
    pub async fn chunked(&mut self) -> Bytes {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await).expect("a chunk's length");
            let length = usize::from_str_radix(line.trim_end(), 16).expect("a hexadecimal length");
            body.extend_from_slice(&self.take(length).await);
            self.until(b"\r\n").await;
            if length == 0 {
                return body.into();
            }
        }
    }

    /// Reads some more; false at the end.
    async fn read(&mut self) -> bool {
        let read = patiently("to read", self.stream.read_buf(&mut self.unread)).await;
        read.is_ok_and(|length| length > 0)
    }

    /// Whether the other side has closed, or does within [`PATIENCE`], without another byte.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await;
        self.unread.is_empty() && matches!(read, Ok(Ok(0) | Err(_)))
    }

    pub fn into_stream(self) -> Box<dyn Duplex> {
        self.stream
    }
}

/// A request without a body as bytes; `headers` are whole lines, each with its end.
pub fn get(target: &str, headers: &str) -> String {
    head("GET", target, headers)
}

pub fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: codescan.test\r\n{headers}\r\n")
}
