//! A client as plain as can be: one connection for each request, no redirects, no cookies.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use simulator::{Bitbucket, BitbucketOptions};
use tokio::net::TcpStream;
use url::Url;

pub const REDIRECT_URL: &str = "http://127.0.0.1:8080/_codescan/oauth2/authorize";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of [`VERIFIER`] (RFC 7636, appendix B).
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// Sends one request; `Err` if the connection breaks before the answer is whole.
pub async fn send(request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
    let url = Url::parse(&request.uri().to_string()).expect("an absolute address");
    let port = url.port_or_known_default().expect("a port");
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a listener");
    exchange(stream, request).await
}

/// The same over a connection that is there already.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    let target = head.uri.path_and_query().expect("a path").as_str().parse().expect("a target");
    head.headers.entry("host").or_insert(http::HeaderValue::from_static("localhost"));
    head.uri = target;
    let response = sender.send_request(Request::from_parts(head, body)).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: head.status, headers: head.headers, body })
}

/// GET with these headers.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> Reply {
    send(request("GET", url, headers, "")).await.expect("an answer")
}

/// POST of a form.
pub async fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    send(request("POST", url, &[headers, &form].concat(), body)).await.expect("an answer")
}

pub fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(Bytes::from(body.to_owned()))).expect("a request")
}

/// A Bitbucket that knows our redirect URL.
pub async fn bitbucket() -> Bitbucket {
    let context_path = "/bitbucket".to_owned();
    let options = BitbucketOptions { context_path, ..BitbucketOptions::default() };
    let bitbucket = Bitbucket::start(options).await.expect("a port");
    bitbucket.register_redirect_url(REDIRECT_URL);
    bitbucket
}

/// The address of a good authorization request.
pub fn authorize_url(bitbucket: &Bitbucket) -> String {
    let mut url = Url::parse(&bitbucket.url()).expect("a URL");
    url.set_path("/bitbucket/rest/oauth2/latest/authorize");
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", bitbucket.client_id())
        .append_pair("redirect_uri", REDIRECT_URL)
        .append_pair("scope", "REPO_ADMIN")
        .append_pair("state", "st-1")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256");
    url.into()
}

/// A code of Jane's.
pub fn code(bitbucket: &Bitbucket) -> String {
    let location = bitbucket.approve("jcitizen", &authorize_url(bitbucket)).expect("a redirect");
    parameter(&location, "code").expect("a code")
}

/// A parameter of an address.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).expect("a URL");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The body of a good exchange.
pub fn exchange_form(bitbucket: &Bitbucket, code: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("client_id", bitbucket.client_id())
        .append_pair("client_secret", bitbucket.client_secret())
        .append_pair("code", code)
        .append_pair("redirect_uri", REDIRECT_URL)
        .append_pair("code_verifier", VERIFIER);
    form.finish()
}

/// The body of a good refresh.
pub fn refresh_form(bitbucket: &Bitbucket, token: &str) -> String {
    let (id, secret) = (bitbucket.client_id(), bitbucket.client_secret());
    format!("grant_type=refresh_token&client_id={id}&client_secret={secret}&refresh_token={token}")
}

pub fn token_url(bitbucket: &Bitbucket) -> String {
    format!("{}/rest/oauth2/latest/token", bitbucket.url())
}

/// Posts to the token endpoint.
pub async fn token(bitbucket: &Bitbucket, form: &str) -> Reply {
    post(&token_url(bitbucket), &[], form).await
}

/// Logs Jane in: access and refresh token.
pub async fn log_in(bitbucket: &Bitbucket) -> (String, String) {
    let reply = token(bitbucket, &exchange_form(bitbucket, &code(bitbucket))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    pair(&reply)
}

pub fn pair(reply: &Reply) -> (String, String) {
    let value = reply.json();
    let text = |name: &str| value[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

/// Who does Bitbucket say it is?
pub async fn whoami(bitbucket: &Bitbucket, token: &str) -> Reply {
    rest(bitbucket, "application-properties", token).await
}

/// A REST call with this token.
pub async fn rest(bitbucket: &Bitbucket, path: &str, token: &str) -> Reply {
    let url = format!("{}/rest/api/latest/{path}", bitbucket.url());
    get(&url, &[("authorization", &format!("Bearer {token}"))]).await
}
