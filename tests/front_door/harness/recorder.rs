//! An upstream that keeps every byte it gets and reads it by the letter, so that whatever the
//! proxy lets through in a second reading stands out.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it stood on the wire.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    pub head: String,
    /// As it was framed, chunks taken apart.
    pub body: Vec<u8>,
    /// Lines.
    pub trailers: String,
    /// The body came to its end.
    pub is_whole: bool,
}

impl Recorded {
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of the field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it.trim())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Framed once, for one host, and every line a line.
    pub fn is_plain(&self) -> bool {
        let framings = self.all("content-length").count() + self.all("transfer-encoding").count();
        let lines = self.head.replace("\r\n", "");
        framings <= 1 && self.all("host").count() == 1 && !lines.contains(['\r', '\n', '\0'])
    }
}

/// Answers everything with 200 and two bytes.
#[derive(Clone)]
pub struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let this = Self { url, seen: Arc::default() };
        let recorder = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(recorder.clone().serve(stream));
            }
        });
        this
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has come since the last time, but for the proxy's own question about readiness.
    pub fn take(&self) -> Vec<Recorded> {
        let mut seen = std::mem::take(&mut *self.lock());
        seen.retain(|request| !request.head.starts_with("GET /api/system/status "));
        seen
    }

    /// Whether one like this has come.
    pub fn has(&self, like: impl Fn(&Recorded) -> bool) -> bool {
        self.lock().iter().any(like)
    }

    async fn serve(self, mut stream: TcpStream) {
        loop {
            let mut request = Recorded::default();
            let read = read(&mut stream, &mut request).await;
            if request.head.is_empty() {
                return;
            }
            request.is_whole = read.is_some();
            let body = if request.method() == "HEAD" { "" } else { "ok" };
            let is_whole = request.is_whole;
            // Before the answer, so that who has the answer can look.
            self.lock().push(request);
            let answer = [ANSWER, body.as_bytes()].concat();
            if !is_whole || stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one request; `None` if it broke off.
async fn read(stream: &mut TcpStream, request: &mut Recorded) -> Option<()> {
    request.head = until(stream, "\r\n\r\n").await?;
    if request.header("transfer-encoding").is_some() {
        loop {
            let line = until(stream, "\r\n").await?;
            let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
            if size == 0 {
                return read_trailers(stream, request).await;
            }
            take(stream, size, &mut request.body).await?;
            if until(stream, "\r\n").await? != "\r\n" {
                return None;
            }
        }
    }
    let length = request.header("content-length").unwrap_or("0").parse().ok()?;
    take(stream, length, &mut request.body).await
}

async fn read_trailers(stream: &mut TcpStream, request: &mut Recorded) -> Option<()> {
    loop {
        let line = until(stream, "\r\n").await?;
        if line == "\r\n" {
            return Some(());
        }
        request.trailers.push_str(&line);
    }
}

async fn until(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        bytes.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

async fn take(stream: &mut TcpStream, length: usize, body: &mut Vec<u8>) -> Option<()> {
    for _ in 0..length {
        body.push(stream.read_u8().await.ok()?);
    }
    Some(())
}
