//! An upstream of which a test writes every byte: for answers that no server should give.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use super::patiently;

/// Takes connections; what the proxy asks for its readiness is answered at once.
#[derive(Clone)]
pub struct Upstream {
    url: String,
    connections: Arc<Mutex<mpsc::UnboundedReceiver<Call>>>,
}

/// One connection, with the head of its first request.
pub struct Call {
    pub head: String,
    stream: TcpStream,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, sender.clone()));
            }
        });
        Self { url, connections: Arc::new(Mutex::new(connections)) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next connection with a request on it.
    pub async fn call(&self) -> Call {
        let mut connections = self.connections.lock().await;
        patiently("a connection", connections.recv()).await.expect("the listener lives")
    }

    /// Whether no further connection has brought a request.
    pub async fn is_left_alone(&self) -> bool {
        self.connections.lock().await.try_recv().is_err()
    }
}

async fn take(stream: TcpStream, sender: mpsc::UnboundedSender<Call>) {
    let mut call = Call { head: String::new(), stream };
    if call.next_head().await.is_none() {
        return;
    }
    if call.head.starts_with("GET /api/system/status ") {
        call.answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        return;
    }
    // The test may be over.
    let _ = sender.send(call);
}

impl Call {
    /// The next request's head on this connection; `None` when it was closed instead.
    pub async fn next_head(&mut self) -> Option<&str> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(patiently("a request", self.stream.read_u8()).await.ok()?);
        }
        self.head = String::from_utf8(head).expect("a head of text");
        Some(&self.head)
    }

    pub async fn answer(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_answer(bytes).await.expect("the proxy reads");
    }

    /// The proxy may have hung up.
    pub async fn try_answer(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        patiently("the proxy to read", self.stream.write_all(bytes.as_ref())).await
    }

    /// What follows the head, up to and including `end`.
    pub async fn body_until(&mut self, end: &[u8]) -> String {
        let mut body = Vec::new();
        while !body.ends_with(end) {
            body.push(patiently("a body", self.stream.read_u8()).await.expect("it goes on"));
        }
        String::from_utf8(body).expect("a body of text")
    }

    /// Reads `length` bytes of what follows, and throws them away.
    pub async fn take(&mut self, length: usize) {
        let mut some = vec![0; length];
        patiently("a body", self.stream.read_exact(&mut some)).await.expect("it goes on");
    }

    /// All that comes until the proxy hangs up, or `limit` has passed.
    pub async fn rest_within(&mut self, limit: Duration) -> String {
        let mut rest = Vec::new();
        let reading = async { while matches!(self.stream.read_buf(&mut rest).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(limit, reading).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Waits until the proxy has closed the connection.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = patiently("the proxy to hang up", self.stream.read_to_end(&mut rest)).await;
    }
}
