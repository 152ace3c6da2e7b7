//! Whether `CodeScan` answers at all, asked now and then from outside the request path.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::{self, ConnectError, Target};
use std::time::Duration;

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
    let connected = connect::connect(target, true, connect_timeout).await;
    let (stream, _) = connected.map_err(|error| match error {
        ConnectError::Io(_) | ConnectError::Name | ConnectError::Http(_) => "no connection",
        ConnectError::Timeout(_) => "no connection in time",
    })?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| "no HTTP connection")?;
    let mut request = Request::new(Empty::<Bytes>::new());
    let path = format!("{prefix}{STATUS_PATH}");
    *request.uri_mut() = path.parse().map_err(|_| "no address to ask")?;
    let host = HeaderValue::from_str(host).map_err(|_| "no host to ask")?;
    request.headers_mut().insert(HOST, host);
    let status = tokio::select! {
        answer = sender.send_request(request) => answer.map_err(|_| "no answer")?.status(),
        _ = connection => return Err("the connection was closed"),
    };
    judge(status)
}

/// Whatever is below 500 was answered by something at work.
fn judge(status: StatusCode) -> Result<(), Down> {
    if status.is_server_error() { Err("it answers with an error of its own") } else { Ok(()) }
}
