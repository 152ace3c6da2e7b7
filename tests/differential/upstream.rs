//! The double of `CodeScan`: it gives the answer that it was handed for an exchange, and keeps
//! what it got, byte for byte.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::wire::Duplex;
use crate::http1::{Connection, expects};
use crate::http2;
use crate::message::{Answer, Body, Framing, Seen};

/// Names the exchange that a request belongs to.
pub const EXCHANGE: &str = "x-exchange";

#[derive(Clone, Default)]
pub struct Upstream {
    scripts: Arc<Mutex<HashMap<String, Answer>>>,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

impl Upstream {
    /// Listens; its port.
    pub async fn start(&self, tls: Option<TlsAcceptor>, http2: bool) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (this, tls) = (this.clone(), tls.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true)?;
                    let stream: Box<dyn Duplex> = match tls {
                        Some(tls) => Box::new(tls.accept(stream).await?),
                        None => Box::new(stream),
                    };
                    if http2 {
                        return this.serve_http2(stream).await.map_err(io::Error::other);
                    }
                    this.serve(Connection::new(stream)).await
                });
            }
        });
        port
    }

    /// What to answer in this exchange from now on.
    pub fn will_answer(&self, exchange: &str, answer: &Answer) {
        lock(&self.scripts).insert(exchange.to_owned(), answer.clone());
    }

    /// What came in this exchange since it was asked last.
    pub fn take(&self, exchange: &str) -> Option<Seen> {
        lock(&self.seen).remove(exchange)
    }

    async fn serve(self, mut connection: Connection) -> io::Result<()> {
        while let Some(mut seen) = connection.request_head().await? {
            if expects(&seen) {
                connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            connection.read_framed(&mut seen).await?;
            let method = seen.line.split(' ').next().unwrap_or_default().to_owned();
            let answer = self.keep(seen);
            let closes = answer.body.framing == Framing::UntilClose;
            connection.answer(&method, &answer).await?;
            if closes {
                return connection.close().await;
            }
        }
        Ok(())
    }

    async fn serve_http2(self, stream: Box<dyn Duplex>) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(came) = connection.accept().await {
            let (request, respond) = came?;
            tokio::spawn(self.clone().serve_stream(request, respond));
        }
        Ok(())
    }

    async fn serve_stream(
        self,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let method = request.method().clone();
        let answer = self.keep(http2::receive_request(request).await?);
        http2::answer(respond, method.as_str(), &answer)
    }

    /// Keeps what came, and returns what to answer.
    fn keep(&self, seen: Seen) -> Answer {
        let exchange = seen.value(EXCHANGE).unwrap_or_default().to_owned();
        let answer = lock(&self.scripts).get(&exchange).cloned().unwrap_or_else(ready);
        lock(&self.seen).insert(exchange, seen);
        answer
    }
}

/// To the proxy's own question.
fn ready() -> Answer {
    let body = Body { bytes: Vec::new(), framing: Framing::Length, trailers: Vec::new() };
    Answer { status: 200, fields: Vec::new(), body, hints: false }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
