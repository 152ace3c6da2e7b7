//! An HTTP/2 client with its streams and windows in a test's hands.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tokio::task::JoinHandle;

use super::client::Client;
use super::patiently;

pub struct Http2 {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    fields: Vec<(String, String)>,
}

impl Http2 {
    /// By prior knowledge, or by ALPN if the client speaks TLS.
    pub async fn open(client: &Client) -> Self {
        let stream = client.over_http2().dial().await.expect("a connection");
        let (sender, connection) = patiently("a preface", h2::client::handshake(stream))
            .await
            .expect("a connection of HTTP/2");
        let fields = client.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { sender, fields: fields.collect(), connection: tokio::spawn(connection) }
    }

    /// A request with the client's fields, still to be sent.
    pub fn request(&self, method: &str, target: &str) -> Request<()> {
        let mut request =
            Request::builder().method(method).uri(format!("http://codescan.test{target}"));
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        request.body(()).expect("a request")
    }

    pub async fn ready(&mut self) -> SendRequest<Bytes> {
        patiently("room for a stream", self.sender.clone().ready()).await.expect("an open one")
    }

    /// Sends it, and leaves the body to be sent, if there is one.
    pub async fn send(
        &mut self,
        request: Request<()>,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.ready().await.send_request(request, ends).expect("it is sent")
    }

    /// A GET; the answer's head, its body to be read.
    pub async fn get(&mut self, target: &str) -> Response<RecvStream> {
        let request = self.request("GET", target);
        let (answer, _) = self.send(request, true).await;
        patiently("an answer", answer).await.expect("an answer")
    }

    pub async fn status(&mut self, request: Request<()>) -> Result<StatusCode, h2::Error> {
        let (answer, _) = self.send(request, true).await;
        Ok(patiently("an answer", answer).await?.status())
    }

    /// Closes the connection without a word.
    pub fn hang_up(self) {
        self.connection.abort();
    }

    /// How the connection ended.
    pub async fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        patiently("the end of the connection", self.connection).await.expect("no panic")
    }

    /// Whether the server has ended it.
    pub fn is_over(&self) -> bool {
        self.connection.is_finished()
    }
}

/// The whole body, read as fast as it comes.
pub async fn body(mut stream: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = patiently("a piece of the body", stream.data()).await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len()).expect("it came");
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
