//! Whether `CodeScan` answers at all, asked now and then from outside the request path.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::connect::{self, Protocol, Stream, Target};

/// Answered by `SonarQube` and `CodeScan` without a login.
const STATUS_PATH: &str = "/api/system/status";

/// Why `CodeScan` is taken for down, in words that name no address.
pub type Down = &'static str;

/// Asks one question on a connection of its own. May be dropped at any time.
pub async fn ask(
    target: &Target,
    host: &str,
    prefix: &str,
    connect_timeout: Duration,
) -> Result<(), Down> {
    let connected = timeout(connect_timeout, connect::connect(target, false)).await;
    let connected = connected.map_err(|_| "no connection in time")?;
    let (stream, protocol) = connected.map_err(|_| "no connection")?;
    let path = format!("{prefix}{STATUS_PATH}");
    judge(match protocol {
        Protocol::Http1 => ask_alone(stream, host, &path).await?,
        Protocol::Http2 => ask_shared(stream, target.scheme(), host, &path).await?,
    })
}

async fn ask_alone(stream: Stream, host: &str, path: &str) -> Result<StatusCode, Down> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| "no HTTP connection")?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().map_err(|_| "no address to ask")?;
    let host = HeaderValue::from_str(host).map_err(|_| "no host to ask")?;
    request.headers_mut().insert(HOST, host);
    tokio::select! {
        answer = sender.send_request(request) => Ok(answer.map_err(|_| "no answer")?.status()),
        _ = connection => Err("the connection was closed"),
    }
}

async fn ask_shared(
    stream: Stream,
    scheme: Scheme,
    host: &str,
    path: &str,
) -> Result<StatusCode, Down> {
    let (mut sender, connection) =
        h2::client::handshake(stream).await.map_err(|_| "no HTTP connection")?;
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
    let mut request = Request::new(());
    *request.uri_mut() = uri.map_err(|_| "no address to ask")?;
    let (answer, _) = sender.send_request(request, true).map_err(|_| "no HTTP connection")?;
    tokio::select! {
        answer = answer => Ok(answer.map_err(|_| "no answer")?.status()),
        _ = connection => Err("the connection was closed"),
    }
}

/// Whatever is below 500 was answered by something at work.
fn judge(status: StatusCode) -> Result<(), Down> {
    if status.is_server_error() { Err("it answers with an error of its own") } else { Ok(()) }
}
