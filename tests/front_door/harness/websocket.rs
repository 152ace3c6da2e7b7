//! A WebSocket client.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;
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

    /// The same by an extended CONNECT of HTTP/2 (RFC 8441), whose `:protocol` this is.
    pub async fn connect(
        client: &Client,
        protocol: &'static str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<Answer>> {
        let stream = TokioIo::new(client.over_http2().dial().await.expect("a connection"));
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.expect("a connection of HTTP/2");
        tokio::spawn(connection);
        // Only after its settings does a server's word count that it knows extended CONNECT.
        let first = Request::get("http://codescan.test/_codescan/oauth2/userinfo");
        let first = sender.send_request(first.body(Empty::<Bytes>::new()).expect("a request"));
        drop(patiently("settings", first).await.expect("an answer"));
        let mut request = Request::connect(format!("http://codescan.test{target}"))
            .extension(Protocol::from_static(protocol))
            .header("sec-websocket-version", "13");
        for (name, value) in client.fields().chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).expect("a handshake");
        let response =
            patiently("an answer", sender.send_request(request)).await.expect("an answer");
        if response.status() == StatusCode::OK {
            let stream = hyper::upgrade::on(response).await.expect("a tunnel");
            let stream: Box<dyn Duplex> = Box::new(TokioIo::new(stream));
            return Ok(Self(WebSocketStream::from_raw_socket(stream, Role::Client, None).await));
        }
        let (head, body) = response.into_parts();
        let body = patiently("a body", body.collect()).await.expect("a body").to_bytes();
        Err(Box::new(Answer { status: head.status, headers: head.headers, body }))
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
