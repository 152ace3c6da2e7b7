//! Makes sessions through the front door: a Bitbucket simulator, and as many logins as are asked
//! for, each with a cookie of its own. `benches/compare` starts it and says what to do.
//!
//! ```text
//! sessions <people> <certificate>
//!     prints the simulator's URL, client id and client secret and the bytes of one session's
//!     tokens, then reads lines:
//!   login <proxy's origin> <number> <file>    logs in so often and writes "name=value" lines
//!   life <seconds>                            of the access tokens from now on
//! ```
//!
//! The certificate is the one to trust of a proxy with `https`. The simulator runs until the input
//! ends.
#![allow(clippy::print_stdout, reason = "its output is read by the script that starts it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simulator::bitbucket::Person;
use simulator::{Bitbucket, BitbucketOptions};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Logins at a time: fewer than the proxy lets exchange codes at once.
const AT_A_TIME: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(people) = arguments.next() else {
        println!("this is started by benches/compare");
        return Ok(());
    };
    let people = people.parse()?;
    let tls = connector(&arguments.next().ok_or("no certificate")?)?;
    let bitbucket = Bitbucket::start(BitbucketOptions::default()).await?;
    bitbucket.people(|all| {
        all.extend((0..people).map(|number: u64| {
            let name = format!("person{number}");
            Person::new(100_000 + number, &name, &name)
        }));
    });
    // An access and a refresh token, which are made alike.
    let tokens = 2 * bitbucket.issue_token("person0").len();
    let (id, secret) = (bitbucket.client_id(), bitbucket.client_secret());
    println!("{} {id} {secret} {tokens}", bitbucket.url());
    io::stdout().flush()?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["login", origin, number, file] => {
                let cookies = log_in(&bitbucket, &tls, origin, number.parse()?, people).await?;
                fs::write(file, cookies.join("\n") + "\n")?;
            }
            ["life", seconds] => {
                let seconds = Duration::from_secs(seconds.parse()?);
                bitbucket.faults(|it| it.access_token_lifetime = seconds);
            }
            _ => return Err("not understood".into()),
        }
        println!("done");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Trusts this certificate, a PEM file, and nothing else.
fn connector(certificate: &str) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn log_in(
    bitbucket: &Bitbucket,
    tls: &TlsConnector,
    origin: &str,
    number: usize,
    people: u64,
) -> Result<Vec<String>> {
    let origin = Url::parse(origin)?;
    bitbucket.register_redirect_url(origin.join("/_codescan/oauth2/authorize")?.as_str());
    let next = Arc::new(AtomicUsize::new(0));
    let cookies = Arc::new(Mutex::new(Vec::with_capacity(number)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (next, cookies) = (Arc::clone(&next), Arc::clone(&cookies));
        let (bitbucket, tls, origin) = (bitbucket.clone(), tls.clone(), origin.clone());
        tasks.spawn(async move {
            let mut browser = Browser::new(&tls, &origin).await?;
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= number {
                    return Ok::<_, Box<dyn Error + Send + Sync>>(());
                }
                let slug = format!("person{}", turn as u64 % people);
                let cookie = browser.log_in(&bitbucket, &slug).await?;
                cookies.lock().expect("nobody panicked").push(cookie);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let cookies = std::mem::take(&mut *cookies.lock().expect("nobody panicked"));
    Ok(cookies)
}

/// One connection, and none of the cookies of the login before.
struct Browser {
    host: String,
    sender: SendRequest<Empty<Bytes>>,
}

impl Browser {
    async fn new(tls: &TlsConnector, origin: &Url) -> Result<Self> {
        let host = origin[Position::BeforeHost..Position::AfterPort].to_owned();
        let stream = TcpStream::connect(&host).await?;
        if origin.scheme() == "http" {
            return Self::over(host, stream).await;
        }
        let name = ServerName::from(stream.peer_addr()?.ip());
        let stream = tls.connect(name, stream).await?;
        Self::over(host, stream).await
    }

    async fn over<S>(host: String, stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { host, sender })
    }

    /// The whole way; the session's cookie.
    async fn log_in(&mut self, bitbucket: &Bitbucket, slug: &str) -> Result<String> {
        let mut cookies = BTreeMap::new();
        let sent = self.get("/", &mut cookies).await?;
        let to = sent.get(LOCATION).ok_or("not sent to Bitbucket")?.to_str()?;
        let back = Url::parse(&bitbucket.approve(slug, to)?)?;
        self.get(&back[Position::BeforePath..Position::AfterQuery], &mut cookies).await?;
        let session = cookies.into_iter().find(|(name, _)| name.ends_with("_session"));
        let (name, value) = session.ok_or("no session")?;
        Ok(format!("{name}={value}"))
    }

    async fn get(
        &mut self,
        target: &str,
        cookies: &mut BTreeMap<String, String>,
    ) -> Result<HeaderMap> {
        let sent: Vec<String> =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::get(target)
            .header(HOST, &self.host)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header(COOKIE, sent.join("; "))
            .body(Empty::new())?;
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status != StatusCode::FOUND {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(format!("{target}: {} {body}", head.status).into());
        }
        for line in head.headers.get_all(SET_COOKIE) {
            let cookie = cookie::Cookie::parse(line.to_str()?.to_owned())?;
            if cookie.value().is_empty() {
                cookies.remove(cookie.name());
            } else {
                cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        Ok(head.headers)
    }
}
