//! A fresh byte stream to Bitbucket: straight, or through an outbound proxy, with TLS where the
//! URL says so. Knows nothing of what is sent over it, but for the proxy's own credentials.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tower_service::Service as _;

use super::unreachable::{Cause, ProxyFault};

/// Makes streams. One for each client of Bitbucket, so that TLS sessions are resumed.
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
    proxies: Matcher,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that is ready for one request.
pub(super) struct Connection {
    pub stream: Box<dyn Stream>,
    /// Set if a proxy will read the request itself: the target must then be in absolute form
    /// (RFC 9112 §3.2.2).
    pub reader: Option<ForwardProxy>,
}

/// A proxy that forwards plain http.
pub(super) struct ForwardProxy {
    pub authorization: Option<HeaderValue>,
}

impl Connector {
    /// `timeout` is shared among the addresses of a host, so that one dead address does not
    /// use it up.
    pub fn new(tls: rustls::ClientConfig, proxies: Matcher, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, tls: TlsConnector::from(Arc::new(tls)), proxies }
    }

    /// Whether a proxy stands before `target`, and is of a kind that cannot be used.
    pub fn has_unusable_proxy(&self, target: &Uri) -> bool {
        self.proxies.intercept(target).is_some_and(|proxy| proxy.uri().scheme_str() != Some("http"))
    }

    pub async fn connect(&self, target: &Uri) -> Result<Connection, Cause> {
        let https = target.scheme_str() == Some("https");
        match self.proxies.intercept(target) {
            None if https => self.encrypt(self.dial(target).await?, target).await,
            None => Ok(Connection { stream: Box::new(self.dial(target).await?), reader: None }),
            Some(proxy) if https => self.encrypt(self.tunnel(&proxy, target).await?, target).await,
            Some(proxy) => self.forward_proxy(&proxy).await,
        }
    }

    async fn dial(&self, target: &Uri) -> Result<TcpStream, Cause> {
        // The service is always ready; a clone is the way to call one that is shared.
        let stream = self.tcp.clone().call(target.clone()).await;
        stream.map(TokioIo::into_inner).map_err(|error| match io_error(&error) {
            Some(found) => Cause::NoConnection(found.kind()),
            None => Cause::Unresolved,
        })
    }

    async fn dial_proxy(&self, proxy: &Intercept) -> Result<TcpStream, Cause> {
        self.dial(proxy.uri()).await.map_err(|cause| match cause {
            Cause::NoConnection(kind) => Cause::Proxy(ProxyFault::NoConnection(kind)),
            _ => Cause::Proxy(ProxyFault::Unresolved),
        })
    }

    async fn forward_proxy(&self, proxy: &Intercept) -> Result<Connection, Cause> {
        let reader = ForwardProxy { authorization: proxy.basic_auth().cloned() };
        Ok(Connection { stream: Box::new(self.dial_proxy(proxy).await?), reader: Some(reader) })
    }

    async fn tunnel(
        &self,
        proxy: &Intercept,
        target: &Uri,
    ) -> Result<impl Stream + 'static, Cause> {
        let stream = self.dial_proxy(proxy).await?;
        open_tunnel(stream, proxy, target).await.map_err(Cause::Proxy)
    }

    async fn encrypt<S>(&self, stream: S, target: &Uri) -> Result<Connection, Cause>
    where
        S: Stream + 'static,
    {
        let host = target.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Cause::Tls { why: "the host is neither a name nor an address".into() })?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| tls_cause(&error))?;
        Ok(Connection { stream: Box::new(stream), reader: None })
    }
}

/// CONNECT (RFC 9110 §9.3.6). By hand rather than by hyper-util's `Tunnel`, whose errors do not
/// let a refusal of our credentials be told from a proxy that is down.
async fn open_tunnel(
    stream: TcpStream,
    proxy: &Intercept,
    target: &Uri,
) -> Result<impl Stream + 'static, ProxyFault> {
    let broken = |_: hyper::Error| ProxyFault::Broken;
    let request = connect_request(proxy, target).map_err(|_| ProxyFault::Broken)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Aborts the connection if this call is given up half-way.
    let mut driver = JoinSet::new();
    driver.spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(broken)?;
    match response.status() {
        status if status.is_success() => {
            hyper::upgrade::on(response).await.map(TokioIo::new).map_err(broken)
        }
        http::StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(ProxyFault::Credentials),
        status => Err(ProxyFault::Refused(status)),
    }
}

fn connect_request(proxy: &Intercept, target: &Uri) -> http::Result<Request<Empty<Bytes>>> {
    let host = target.host().unwrap_or_default();
    let authority = format!("{host}:{}", target.port_u16().unwrap_or(443));
    let mut request = Request::connect(&authority).header(HOST, &authority);
    if let Some(credentials) = proxy.basic_auth() {
        request = request.header(PROXY_AUTHORIZATION, credentials);
    }
    request.body(Empty::new())
}

fn tls_cause(error: &io::Error) -> Cause {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return Cause::Tls { why: error.kind().to_string() };
    };
    match error {
        rustls::Error::InvalidCertificate(why) if speaks_of_trust(why) => {
            Cause::Untrusted { why: why.to_string() }
        }
        other => Cause::Tls { why: other.to_string() },
    }
}

/// Whether another trusted authority could help. It cannot against a wrong name or date.
fn speaks_of_trust(error: &rustls::CertificateError) -> bool {
    use rustls::CertificateError as E;
    matches!(error, E::UnknownIssuer | E::BadSignature | E::InvalidPurpose | E::Other(_))
}

/// The operating system's error in a chain; none if the name could not be resolved.
fn io_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Unresolved>() {
            return None;
        }
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The system's resolver, its failure marked: hyper-util's own error has no such mark.
#[derive(Clone)]
struct Resolver(GaiResolver);

#[derive(Debug, thiserror::Error)]
#[error("the host name could not be resolved")]
struct Unresolved;

impl tower_service::Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(|_| Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0.call(name);
        Box::pin(async { found.await.map_err(|_| Unresolved) })
    }
}
