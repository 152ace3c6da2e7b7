//! A WebSocket client.

use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Answer, Client};
use super::patiently;
use super::wire::Duplex;

pub struct WebSocket(WebSocketStream<Box<dyn Duplex>>);

impl WebSocket {
    /// Shakes hands; the answer, should it be anything but a 101.
    pub async fn open(
        client: &Client,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<Answer>> {
        let mut request = Request::get(format!("ws://codescan.test{target}"))
            .header("host", "codescan.test")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        for (name, value) in client.fields().chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let stream = client.open().await.into_stream();
        let request = request.body(()).expect("a handshake");
        let handshake = tokio_tungstenite::client_async(request, stream);
        match patiently("the handshake", handshake).await {
            Ok((stream, _)) => Ok(Self(stream)),
            Err(Error::Http(response)) => {
                let (head, body) = response.into_parts();
                let body = body.unwrap_or_default().into();
                Err(Box::new(Answer { status: head.status, headers: head.headers, body }))
            }
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    pub async fn send(&mut self, message: Message) {
        patiently("to send", self.0.send(message)).await.expect("the other side listens");
    }

    /// The next message; `None` when the connection has ended, well or badly.
    pub async fn next(&mut self) -> Option<Message> {
        patiently("a message", self.0.next()).await.and_then(Result::ok)
    }

    /// For both directions at once.
    pub fn into_stream(self) -> WebSocketStream<Box<dyn Duplex>> {
        self.0
    }
}
