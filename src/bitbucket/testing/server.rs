//! Tiny servers on loopback that do as they are told, well or badly, and keep what they were sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What becomes of one connection after its request has been read.
#[derive(Clone)]
pub enum Reply {
    /// These bytes, then the end.
    Bytes(String),
    /// These bytes, then nothing, until the client goes.
    Stall(String),
    /// The head, then the chunk again and again, until the client goes.
    Endless { head: String, chunk: String },
}

/// A whole answer with a body of JSON.
pub fn json(status: u16, fields: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Bytes(format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{fields}\r\n{body}"
    ))
}

type Requests = Arc<Mutex<Vec<String>>>;

/// Gives each connection the next reply; none after the last.
pub struct Server {
    pub address: SocketAddr,
    requests: Requests,
}

impl Server {
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::listen(replies, None).await
    }

    pub async fn start_tls(tls: TlsAcceptor, replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::listen(replies, Some(tls)).await
    }

    async fn listen(replies: impl IntoIterator<Item = Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Requests::default();
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, reply) = (Arc::clone(&kept), replies.next());
                tokio::spawn(serve(stream, tls.clone(), kept, reply));
            }
        });
        Self { address, requests }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// For TLS: certificates are made for a name.
    pub fn https_base(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Head and body of each request, in the order of arrival.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    kept: Requests,
    reply: Option<Reply>,
) -> Option<()> {
    match tls {
        Some(tls) => converse(tls.accept(stream).await.ok()?, kept, reply).await,
        None => converse(stream, kept, reply).await,
    }
}

async fn converse<S>(mut stream: S, kept: Requests, reply: Option<Reply>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = read_request(&mut stream).await?;
    kept.lock().expect("not poisoned").push(request);
    match reply? {
        Reply::Bytes(bytes) => {
            stream.write_all(bytes.as_bytes()).await.ok()?;
            stream.shutdown().await.ok()
        }
        Reply::Stall(bytes) => {
            stream.write_all(bytes.as_bytes()).await.ok()?;
            stream.read_u8().await.ok().map(drop)
        }
        Reply::Endless { head, chunk } => {
            stream.write_all(head.as_bytes()).await.ok()?;
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            Some(())
        }
    }
}

/// None if the client went before its request was complete.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(char::from(stream.read_u8().await.ok()?));
    }
    let length = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(request + &String::from_utf8(body).expect("text"))
}

/// An outbound proxy that answers each CONNECT with a status, and connects if that is 200.
pub struct Proxy {
    pub address: SocketAddr,
    requests: Requests,
}

impl Proxy {
    pub async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Requests::default();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, status, Arc::clone(&kept)));
            }
        });
        Self { address, requests }
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn carry(mut client: TcpStream, status: u16, kept: Requests) -> Option<()> {
    let request = read_request(&mut client).await?;
    let target = request.split(' ').nth(1)?.to_owned();
    kept.lock().expect("not poisoned").push(request);
    let answer = format!("HTTP/1.1 {status} Status\r\n\r\n");
    client.write_all(answer.as_bytes()).await.ok()?;
    if status != 200 {
        return None;
    }
    let mut server = TcpStream::connect(target).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}

/// A private certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS for a server of this name.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([name.to_owned()])
            .and_then(|params| params.signed_by(&key, &self.0))
            .expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a pair");
        TlsAcceptor::from(Arc::new(config))
    }
}
