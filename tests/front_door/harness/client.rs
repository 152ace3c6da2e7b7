//! A plain client: one request a connection, nothing added but `Host`. HTTP/1.1 without TLS,
//! unless it is told otherwise.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use url::Url;

use super::PATIENCE;
use super::evidence::Evidence;
use super::tls::Tls;
use super::wire::{Duplex, Wire};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Speaks to one origin.
#[derive(Clone)]
pub struct Client {
    address: Address,
    host: String,
    /// Sent with each request.
    standing: Vec<(String, String)>,
    evidence: Evidence,
    /// Sent before everything else.
    prelude: Vec<u8>,
    tls: Option<Tls>,
    http2: bool,
}

#[derive(Clone)]
enum Address {
    Tcp(String),
    Unix(PathBuf),
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    pub fn new(origin: &str, evidence: Evidence) -> Self {
        let url = Url::parse(origin).expect("an origin");
        let host = url.host_str().expect("a host");
        let address = format!("{host}:{}", url.port_or_known_default().expect("a port"));
        Self {
            host: address.clone(),
            address: Address::Tcp(address),
            standing: Vec::new(),
            evidence,
            prelude: Vec::new(),
            tls: None,
            http2: false,
        }
    }

    /// The same place under another name in `Host`.
    pub fn called(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// The same, with one more field in each request.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.standing.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The fields of each request.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.standing.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same as lines, for a [`Wire`].
    pub fn lines(&self) -> String {
        self.fields().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    /// The same by a socket file.
    pub fn over(&self, socket: &Path) -> Self {
        Self { address: Address::Unix(socket.to_owned()), ..self.clone() }
    }

    /// The same over TLS.
    pub fn over_tls(&self, tls: &Tls) -> Self {
        Self { tls: Some(tls.clone()), ..self.clone() }
    }

    /// The same over HTTP/2: by ALPN over TLS, by prior knowledge without.
    pub fn over_http2(&self) -> Self {
        Self { http2: true, ..self.clone() }
    }

    /// The same through a proxy that sends this first.
    pub fn behind(&self, prelude: impl AsRef<[u8]>) -> Self {
        Self { prelude: prelude.as_ref().to_vec(), ..self.clone() }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, &[], "").await
    }

    pub async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, target, headers, "").await
    }

    pub async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.try_send(method, target, headers, body.into()).await.expect("the proxy answers")
    }

    pub async fn try_get(&self, target: &str) -> Result<Answer, Error> {
        self.try_send(Method::GET, target, &[], Bytes::new()).await
    }

    pub async fn try_send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.parse()?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(&self.host)?);
        for (name, value) in self.fields().chain(headers.iter().copied()) {
            let name = http::HeaderName::from_bytes(name.as_bytes())?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes())?);
        }
        if self.http2 {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            *request.uri_mut() = format!("{scheme}://{}{target}", self.host).parse()?;
            request.headers_mut().remove(HOST);
            return tokio::time::timeout(PATIENCE, self.exchange_http2(request)).await?;
        }
        tokio::time::timeout(PATIENCE, self.exchange(request)).await?
    }

    async fn exchange_http2(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let stream = TokioIo::new(self.dial().await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        let answer = Answer { status: head.status, headers: head.headers, body };
        self.evidence.said(&answer.as_evidence());
        Ok(answer)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let stream = self.dial().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        let answer = Answer { status: head.status, headers: head.headers, body };
        self.evidence.said(&answer.as_evidence());
        Ok(answer)
    }

    /// Sends bytes as they are and returns all that comes back until the other side closes.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut wire = self.open().await;
        wire.send(bytes).await;
        let answer = wire.rest().await;
        self.evidence.said(&answer);
        answer
    }

    /// A connection of its own, for more than one request or for odd ones.
    pub async fn open(&self) -> Wire {
        let stream = self.dial().await.expect("the proxy takes the connection");
        Wire::new(stream, self.evidence.clone())
    }

    /// A bare connection, for whoever speaks another way.
    pub async fn dial(&self) -> std::io::Result<Box<dyn Duplex>> {
        let mut stream: Box<dyn Duplex> = match &self.address {
            Address::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        stream.write_all(&self.prelude).await?;
        match &self.tls {
            Some(tls) => {
                let alpn: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
                Ok(Box::new(tls.shake_hands(stream, &[alpn]).await?))
            }
            None => Ok(stream),
        }
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str()).expect("a Location")
    }

    /// Each `Set-Cookie` line.
    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The proxy's error code, in JSON or on a page.
    pub fn error_code(&self) -> Option<String> {
        if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&self.body) {
            return json["error"].as_str().map(str::to_owned);
        }
        let text = self.text();
        let after = text.split_once("<dt>Error</dt><dd><code>")?.1;
        Some(after.split_once('<')?.0.to_owned())
    }

    /// The cookie of this name that the answer sets or removes, with its attributes.
    pub fn sets(&self, name: &str) -> Option<cookie::Cookie<'_>> {
        let cookies = self.set_cookies().into_iter().map(cookie::Cookie::parse);
        cookies.map(|cookie| cookie.expect("a cookie")).find(|cookie| cookie.name() == name)
    }

    /// Where the one link of a page of ours leads.
    pub fn link(&self) -> String {
        let text = self.text();
        let (_, after) = text.split_once("<a class=\"button\" href=\"").expect("a link");
        after.split_once('"').expect("its end").0.replace("&#38;", "&")
    }

    /// What is kept to look for secrets in. Cookies belong to the browser, which they are set in.
    fn as_evidence(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n", self.status).into_bytes();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != SET_COOKIE) {
            // The state is sealed, and the address is Bitbucket's.
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(&self.body[..self.body.len().min(256 * 1024)]);
        bytes
    }
}
