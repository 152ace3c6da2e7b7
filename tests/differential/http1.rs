//! HTTP/1.1 by the letter, for both ends: nothing is added, merged or put in order.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::harness::wire::Duplex;
use crate::message::{Answer, Body, Fields, Framing, Request, Seen, is};

pub struct Connection(BufReader<Box<dyn Duplex>>);

impl Connection {
    pub fn new(stream: Box<dyn Duplex>) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends a request and reads the answer; whether the connection can serve again.
    pub async fn exchange(&mut self, request: &Request) -> io::Result<(Seen, bool)> {
        self.write(&request_head(request)).await?;
        if request.expects {
            let interim = self.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            assert!(interim.line.starts_with("HTTP/1.1 100 "), "{}", interim.line);
        }
        self.write_body(&request.body).await?;
        let mut seen = self.final_head().await?;
        let until_close = self.read_answer_body(request.method, &mut seen).await?;
        let closes = crate::message::all(&seen.fields, "connection").any(|it| it == b"close");
        let kept_open = seen.line.starts_with("HTTP/1.1") && !request.is_old;
        seen.line = seen.line.get(9..12).unwrap_or_default().to_owned();
        Ok((seen, kept_open && !closes && !until_close))
    }

    async fn final_head(&mut self) -> io::Result<Seen> {
        loop {
            let head = self.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if head.line.as_bytes().get(9) != Some(&b'1') {
                return Ok(head);
            }
        }
    }

    /// Whether the body ended with the connection.
    async fn read_answer_body(&mut self, method: &str, seen: &mut Seen) -> io::Result<bool> {
        let status = seen.line.split(' ').nth(1).unwrap_or_default();
        if method == "HEAD" || matches!(status, "204" | "304") {
            return Ok(false);
        }
        let framed =
            ["content-length", "transfer-encoding"].iter().any(|it| seen.value(it).is_some());
        if framed {
            self.read_framed(seen).await?;
        } else {
            self.0.read_to_end(&mut seen.body).await?;
        }
        Ok(!framed)
    }

    /// The next request, its head only; `None` at the end of the connection.
    pub async fn request_head(&mut self) -> io::Result<Option<Seen>> {
        let Some(mut seen) = self.head().await? else { return Ok(None) };
        seen.line = seen.line.rsplit_once(' ').unwrap_or_default().0.to_owned();
        Ok(Some(seen))
    }

    pub async fn answer(&mut self, method: &str, answer: &Answer) -> io::Result<()> {
        if answer.hints {
            self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await?;
        }
        let mut head = format!("HTTP/1.1 {} Any Words\r\n", answer.status).into_bytes();
        push_fields(&mut head, &answer.fields);
        push_framing(&mut head, &answer.body);
        self.write(&head).await?;
        if method == "HEAD" { Ok(()) } else { self.write_body(&answer.body).await }
    }

    /// Reads a body that its head tells the length of, if any.
    pub async fn read_framed(&mut self, seen: &mut Seen) -> io::Result<()> {
        if seen.value("transfer-encoding").is_some() {
            return self.read_chunks(seen).await;
        }
        let length = seen.value("content-length").map_or(0, |it| it.parse().expect("a length"));
        seen.body.resize(length, 0);
        self.0.read_exact(&mut seen.body).await?;
        Ok(())
    }

    async fn read_chunks(&mut self, seen: &mut Seen) -> io::Result<()> {
        loop {
            let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let line = String::from_utf8(line).expect("a size");
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).expect("hexadecimal digits");
            if size == 0 {
                seen.trailers = self.fields().await?;
                return Ok(());
            }
            let start = seen.body.len();
            seen.body.resize(start + size, 0);
            self.0.read_exact(&mut seen.body[start..]).await?;
            assert_eq!(self.line().await?.as_deref(), Some(&b""[..]), "behind a chunk");
        }
    }

    async fn head(&mut self) -> io::Result<Option<Seen>> {
        let Some(line) = self.line().await? else { return Ok(None) };
        let line = String::from_utf8(line).expect("a first line of text");
        Ok(Some(Seen { line, fields: self.fields().await?, ..Seen::default() }))
    }

    async fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Fields::new();
        loop {
            let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
            let name = String::from_utf8(line[..colon].to_vec()).expect("a name");
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    /// Without its end, which must be a whole one.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if self.0.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Some(line.to_vec()))
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Ends it as TLS has it: otherwise a body until then would be cut short.
    pub async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }

    async fn write_body(&mut self, body: &Body) -> io::Result<()> {
        let Framing::Chunks(sizes) = &body.framing else { return self.write(&body.bytes).await };
        let (mut wire, mut rest) = (Vec::new(), &body.bytes[..]);
        for (number, size) in sizes.iter().cycle().enumerate() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            // A few: hyper has a bound for all of a body together.
            let extension = if number % 5 == 1 && number < 50 { ";x=\"y\"" } else { "" };
            wire.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
            rest = after;
            // Some chunks together, some apart.
            if number % 3 == 0 {
                self.write(&std::mem::take(&mut wire)).await?;
            }
        }
        wire.extend_from_slice(b"0\r\n");
        push_fields(&mut wire, &body.trailers);
        wire.extend_from_slice(b"\r\n");
        self.write(&wire).await
    }
}

fn request_head(request: &Request) -> Vec<u8> {
    let version = if request.is_old { "1.0" } else { "1.1" };
    let mut head = format!("{} {} HTTP/{version}\r\n", request.method, request.target).into_bytes();
    // Not always the first.
    let (before, after) = request.fields.split_at(request.fields.len() / 2);
    push_fields(&mut head, before);
    head.extend_from_slice(format!("Host: {}\r\n", request.host).as_bytes());
    push_fields(&mut head, after);
    push_framing(&mut head, &request.body);
    head
}

fn push_framing(head: &mut Vec<u8>, body: &Body) {
    let line = match &body.framing {
        Framing::Length => format!("Content-Length: {}\r\n", body.bytes.len()),
        Framing::Chunks(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::None | Framing::UntilClose => String::new(),
    };
    head.extend_from_slice(line.as_bytes());
    head.extend_from_slice(b"\r\n");
}

fn push_fields(head: &mut Vec<u8>, fields: &[(String, Vec<u8>)]) {
    for (number, (name, value)) in fields.iter().enumerate() {
        let (before, after) = [(" ", ""), ("", ""), ("\t ", "  "), (" ", "\t")][number % 4];
        for part in [name.as_bytes(), b":", before.as_bytes(), value, after.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
}

/// Whether a request's body waits.
pub fn expects(seen: &Seen) -> bool {
    seen.value("expect").is_some_and(|it| is(it, "100-continue"))
}
