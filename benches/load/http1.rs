//! One exchange at a time on one HTTP/1.1 connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Result;
use crate::dial::Stream;
use crate::plan::Plan;

const BUFFER: usize = 256 * 1024;

pub struct Connection {
    stream: Stream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self { stream, request: Vec::new(), buffer: vec![0; BUFFER] }
    }

    /// Sends a request with a cookie of the plan; the bytes of the answer's body.
    pub async fn exchange(&mut self, plan: &Plan) -> Result<u64> {
        write_head(&mut self.request, plan);
        self.stream.write_all(&self.request).await?;
        self.upload(plan.body).await?;
        let (announced, received) = self.head().await?;
        self.discard(announced.checked_sub(received).ok_or("more bytes than announced")?).await?;
        Ok(announced)
    }

    async fn upload(&mut self, mut left: u64) -> Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        while left > 0 {
            let now = left.min(ZEROS.len() as u64);
            self.stream.write_all(&ZEROS[..usize::try_from(now)?]).await?;
            left -= now;
        }
        Ok(self.stream.flush().await?)
    }

    /// Bytes of the body that are announced, and those that came with the head.
    async fn head(&mut self) -> Result<(u64, u64)> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err("closed before an answer".into());
            }
            filled += read;
            if let Some((head, body)) = parse(&self.buffer[..filled])? {
                return Ok((body, (filled - head) as u64));
            }
        }
    }

    async fn discard(&mut self, mut left: u64) -> Result<()> {
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await? as u64;
            if read == 0 {
                return Err("closed within an answer".into());
            }
            left = left.checked_sub(read).ok_or("more bytes than announced")?;
        }
        Ok(())
    }
}

fn write_head(request: &mut Vec<u8>, plan: &Plan) {
    request.clear();
    let mut add = |part: &str| request.extend_from_slice(part.as_bytes());
    add(if plan.body > 0 { "POST " } else { "GET " });
    add(&plan.path);
    add(" HTTP/1.1\r\nHost: ");
    add(plan.authority());
    add("\r\nSec-Fetch-Site: same-origin\r\nCookie: theirs=1; ");
    add(plan.cookie());
    if plan.body > 0 {
        add("\r\nContent-Length: ");
        add(&plan.body.to_string());
    }
    add(if plan.each_new { "\r\nConnection: close\r\n\r\n" } else { "\r\n\r\n" });
}

/// Length of a complete head and of the body that it announces.
fn parse(bytes: &[u8]) -> Result<Option<(usize, u64)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else { return Ok(None) };
    let status = answer.code.unwrap_or(0);
    if !(200..300).contains(&status) {
        return Err(format!("answered {}", String::from_utf8_lossy(bytes)).into());
    }
    if status == 204 {
        return Ok(Some((head, 0)));
    }
    let length = answer.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let length = length.ok_or("an answer without Content-Length")?;
    Ok(Some((head, std::str::from_utf8(length.value)?.parse()?)))
}
