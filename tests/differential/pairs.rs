//! The protocols on both sides, and the place where a pair of them meets.

use std::fs;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use url::Url;

use crate::certificate::Certificate;
use crate::harness::wire::Duplex;
use crate::harness::{AUTHORIZE, Stage, patiently};
use crate::http1::Connection;
use crate::http2;
use crate::message::{Request, Seen, all};
use crate::upstream::Upstream;

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
}

pub const FRONTS: &[Front] = &[Front::Http1, Front::Http1Tls, Front::Http2, Front::Http2Tls];

impl Front {
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    pub fn scheme(self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }
}

/// How the proxy goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
}

pub const BACKS: &[Back] = &[Back::Http1, Back::Http1Tls, Back::Http2, Back::Http2Tls];

impl Back {
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }
}

/// The name that browsers know.
pub const HOST: &str = "codescan.test";

/// A proxy before a double, and the cookie of a session at it.
pub struct Place {
    pub stage: Stage,
    pub upstream: Upstream,
    pub back: Back,
    /// `name=value`.
    pub cookie: String,
    certificate: Certificate,
    /// Where the double can be reached without the proxy.
    direct: u16,
    _folder: TempDir,
}

impl Place {
    pub async fn set(back: Back, encrypted: bool) -> Self {
        let certificate = Certificate::new();
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let (chain, key) =
            (file("certificate", &certificate.pem), file("key", &certificate.key_pem));
        let upstream = Upstream::default();
        let direct = upstream.start(None, false).await;
        let alpn: &[u8] = if back.is_http2() { b"h2" } else { b"http/1.1" };
        let tls = back.is_encrypted().then(|| TlsAcceptor::from(certificate.server(alpn)));
        let scheme = if back.is_encrypted() { "https" } else { "http" };
        let port = upstream.start(tls, back.is_http2()).await;
        let url = format!("{scheme}://127.0.0.1:{port}");
        let stage = Stage::with(|settings| {
            settings.text("codescan.url", &url);
            settings.set("access.public", "[\"/public/**\", \"OPTIONS /**\"]");
            settings.text("log.level", "warn");
            settings.set("codescan.http2", &back.is_http2().to_string());
            if back.is_encrypted() {
                settings.text("codescan.ca_file", &chain);
            }
            let scheme = if encrypted { "https" } else { "http" };
            settings.text("server.public_url", &format!("{scheme}://{HOST}"));
            if encrypted {
                settings.text("server.tls_certificate_file", &chain);
                settings.text("server.tls_key_file", &key);
            }
        })
        .await;
        let cookie = String::new();
        let mut place =
            Self { stage, upstream, back, cookie, certificate, direct, _folder: folder };
        let front = if encrypted { Front::Http1Tls } else { Front::Http1 };
        place.cookie = place.log_in(front).await;
        place
    }

    /// A connection to the proxy.
    pub async fn client(&self, front: Front) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.stage.proxy.port())).await;
        let stream = stream.expect("the proxy takes the connection");
        stream.set_nodelay(true).expect("an option that every system has");
        let stream: Box<dyn Duplex> = if front.is_encrypted() {
            let alpn: &[u8] = if front.is_http2() { b"h2" } else { b"http/1.1" };
            let connector = TlsConnector::from(Arc::clone(&self.certificate.client(alpn)));
            let name = ServerName::try_from("127.0.0.1").expect("an address");
            Box::new(connector.connect(name, stream).await.expect("a handshake"))
        } else {
            Box::new(stream)
        };
        if front.is_http2() {
            Client::Http2(http2::Client::new(stream).await)
        } else {
            Client::Http1(Connection::new(stream))
        }
    }

    /// A connection to the double itself.
    pub async fn direct(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.direct)).await.expect("it listens");
        Connection::new(Box::new(stream))
    }

    /// A person logs in, and the session's cookie remains.
    async fn log_in(&self, front: Front) -> String {
        let sent = self.navigate(front, "/", "").await;
        let authorize = sent.value("location").expect("to Bitbucket").to_owned();
        let callback = self.stage.bitbucket.approve("jcitizen", &authorize).expect("a way back");
        let callback = Url::parse(&callback).expect("an address");
        assert_eq!(callback.path(), AUTHORIZE);
        let target = format!("{AUTHORIZE}?{}", callback.query().expect("a code"));
        let back = self.navigate(front, &target, &cookies(&sent)).await;
        let session = cookies(&back);
        let session = session.split("; ").find(|it| it.contains("codescan_session="));
        session.unwrap_or_else(|| panic!("no session: {:?}", back.fields)).to_owned()
    }

    async fn navigate(&self, front: Front, target: &str, cookies: &str) -> Seen {
        let fields = [
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("cookie", cookies),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let request = Request::get(target, fields.into());
        let mut client = self.client(front).await;
        client.exchange(self, front, &request).await.expect("an answer")
    }
}

/// `name=value; …` of what an answer sets.
fn cookies(seen: &Seen) -> String {
    let set = all(&seen.fields, "set-cookie").map(String::from_utf8_lossy);
    let pairs = set.map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned());
    pairs.collect::<Vec<_>>().join("; ")
}

/// A connection to the proxy, opened again when it was closed.
pub enum Client {
    Http1(Connection),
    Http2(http2::Client),
}

impl Client {
    pub async fn exchange(
        &mut self,
        place: &Place,
        front: Front,
        request: &Request,
    ) -> Result<Seen, String> {
        let came = patiently("an answer through the proxy", async {
            match self {
                Self::Http1(connection) => {
                    connection.exchange(request).await.map_err(|error| error.to_string())
                }
                Self::Http2(client) => {
                    let came = client.exchange(request, front.scheme()).await;
                    came.map(|seen| (seen, true)).map_err(|error| error.to_string())
                }
            }
        });
        let (seen, is_kept) = came.await?;
        if !is_kept {
            *self = place.client(front).await;
        }
        Ok(seen)
    }
}
