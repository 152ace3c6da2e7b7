//! Which path is answered how.

use super::session::{self, Who};
use super::state::State;
use super::{ill, pages, streams, websocket};
use crate::answer::{self, Answer, Body};
use crate::form::Form;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, SET_COOKIE, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A request that has been read whole.
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) who: Who,
}

/// Answers one request, and counts it as open until its answer has been sent.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let open = state.requests.enter();
    let response = respond(state, request).await?;
    Ok(response.map(|body| answer::guarded(body, open)))
}

async fn respond(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let number = state.journal.note(&request);
    let path = request.uri().path().strip_prefix(&state.context_path).map(str::to_owned);
    let path = path.unwrap_or_default();
    if let Some(answer) = ill::before_reading(&path, request.uri()).await {
        return answer;
    }
    if path == "/ws" && request.headers().contains_key(UPGRADE) {
        return Ok(websocket::accept(&state, request));
    }
    let (head, body) = request.into_parts();
    state.bodies_may_be_read().await;
    let body = state.journal.read(number, body).await;
    let who = session::who(&state, &head);
    let asked = Asked { number, head, body, who };
    if state.unauthorized_this_time() {
        return Ok(answer::empty(StatusCode::UNAUTHORIZED));
    }
    if !open_to_all(&path) && !session::lets_in(&state, &asked.who) {
        return Ok(refuse(&state, &asked, &path));
    }
    let mut response = route(&state, &asked, &path).await;
    session::cookies_of_header_login(&state, &asked, &mut response);
    Ok(response)
}

/// As `SonarQube` and the service beside it have it.
fn open_to_all(path: &str) -> bool {
    const OPEN: [&str; 5] = [
        "/api/system/status",
        "/api/server/version",
        "/_codescan/actuator/health",
        "/_codescan/audit/logs",
        "/ws-refused",
    ];
    let below = ["/sessions/", "/api/authentication/", "/_codescan/login/", "/_codescan/analysis/"];
    OPEN.contains(&path) || below.iter().any(|prefix| path.starts_with(prefix))
}

/// 401 with an empty body and no challenge on the API, the own login page elsewhere.
fn refuse(state: &State, asked: &Asked, path: &str) -> Response<Body> {
    let api = ["/api/", "/batch/", "/_codescan/"].iter().any(|prefix| path.starts_with(prefix));
    if api {
        return answer::empty(StatusCode::UNAUTHORIZED);
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", asked.head.uri.path());
    answer::found(&format!("{}/sessions/new?{}", state.context_path, query.finish()))
}

async fn route(state: &Arc<State>, asked: &Asked, path: &str) -> Response<Body> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (asked.head.method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", ["api", "push", "sonarlint_events"]) => streams::events(state),
        ("POST", ["api", "ce", "submit"]) => submitted(state, asked),
        (_, ["bytes", count]) => streams::bytes(count, &asked.head.uri),
        (_, ["chunked"]) => streams::chunked(&asked.head.uri),
        (_, ["trailers"]) => streams::trailers(),
        (_, ["status", code]) => status(code, &asked.head),
        (_, ["slow"]) => slow(asked).await,
        (_, ["set-cookie"]) => set_cookies(&asked.head),
        (_, ["ws-refused"]) => answer::text(StatusCode::FORBIDDEN, "No upgrade here.\n"),
        (method, ["api", "authentication", what]) => authentication(state, asked, method, what),
        (method, ["_codescan", rest @ ..]) => codescan(state, asked, method, rest),
        ("GET" | "HEAD", ["api", "system", "status"]) => system_status(state),
        ("GET" | "HEAD", ["api", "server", "version"]) => answer::text(StatusCode::OK, "10.1.0"),
        (_, ["echo"] | ["api" | "batch", ..]) => echo(asked),
        ("GET" | "HEAD", ["sessions", "logout"]) => pages::logout(state),
        ("GET" | "HEAD", ["sessions", "new"]) => pages::own_login(state, &asked.head.uri),
        ("POST", ["form"]) => pages::posted(state, asked),
        ("GET" | "HEAD", _) => pages::any(state, asked),
        _ => echo(asked),
    }
}

fn authentication(state: &State, asked: &Asked, method: &str, what: &str) -> Response<Body> {
    match (method, what) {
        ("GET", "validate") => session::validate(state, &asked.who),
        ("POST", "login") => session::log_in(state, asked),
        ("POST", "logout") => session::log_out(state, &asked.head),
        _ => answer::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The service beside the web server.
fn codescan(state: &State, asked: &Asked, method: &str, path: &[&str]) -> Response<Body> {
    match (method, path) {
        ("GET" | "HEAD", ["actuator", "health"]) => health(state),
        ("GET" | "HEAD", ["oauth2", "authorize"]) => pages::foreign_callback(asked),
        ("POST", ["audit", "logs"]) => {
            answer::json(StatusCode::OK, &json!({"content": [], "totalElements": 0}))
        }
        ("GET", ["analysis", "reports", id]) => report(asked, id),
        ("POST", ["login", "saml2", "sso", _]) => {
            answer::found(&format!("{}/", state.context_path))
        }
        _ => echo(asked),
    }
}

/// IDEs compare the body with exactly this text.
fn health(state: &State) -> Response<Body> {
    let word = state.now().health;
    let up = word == "UP";
    let status = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::full(status, "application/json", format!(r#"{{"status":"{word}"}}"#))
}

fn system_status(state: &State) -> Response<Body> {
    let status = state.now().system_status;
    let value = json!({"id": "2F9A4C1B", "version": "10.1.0", "status": status});
    answer::json(StatusCode::OK, &value)
}

/// Takes a token over Basic and nothing else.
fn report(asked: &Asked, id: &str) -> Response<Body> {
    let value = asked.head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Basic "));
    if token.and_then(|token| STANDARD.decode(token).ok()).is_none_or(|pair| !pair.contains(&b':'))
    {
        return answer::empty(StatusCode::UNAUTHORIZED);
    }
    answer::json(StatusCode::OK, &json!({"version": "2.1.0", "runs": [], "taskId": id}))
}

/// What has been received, to the byte.
fn submitted(state: &State, asked: &Asked) -> Response<Body> {
    let received = state.journal.get(asked.number).unwrap_or_default();
    let Some(sha256) = received.body_sha256 else { return answer::empty(StatusCode::BAD_REQUEST) };
    let value = json!({"taskId": format!("AX{}", asked.number), "bytes": received.body_length,
                       "sha256": sha256});
    answer::json(StatusCode::OK, &value)
}

/// The request as it came; a body above 64 KiB is cut.
fn echo(asked: &Asked) -> Response<Body> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = |asked: &Asked| -> Vec<Value> {
        let pairs = asked.head.headers.iter();
        pairs.map(|(name, value)| json!([name.as_str(), text(value.as_bytes())])).collect()
    };
    let head = asked.head.extensions.get::<crate::wire::Head>();
    let headers = head.map_or_else(
        || fields(asked),
        |head| head.headers.iter().map(|(name, value)| json!([name, value])).collect(),
    );
    let target = head.map_or_else(|| asked.head.uri.to_string(), |head| head.target.clone());
    let value = json!({"method": asked.head.method.as_str(), "target": target,
                       "headers": headers, "body": text(&asked.body)});
    let mut response = answer::json(StatusCode::OK, &value);
    answer::set(&mut response, CACHE_CONTROL, "no-cache");
    response
}

/// `/status/{code}?header=Name:value&body=…`, `header` as often as you like.
fn status(code: &str, head: &Parts) -> Response<Body> {
    let query = Form::of_query(&head.uri);
    let code = code.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    let body = query.one("body").unwrap_or_default().to_owned();
    let mut response = answer::full(code.unwrap_or(StatusCode::BAD_REQUEST), "", body);
    for (name, value) in query.all("header").filter_map(|line| line.split_once(':')) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            answer::add(&mut response, name, value.trim().as_bytes());
        }
    }
    response
}

async fn slow(asked: &Asked) -> Response<Body> {
    let time = Form::of_query(&asked.head.uri).number("ms", 1000) as u64;
    tokio::time::sleep(Duration::from_millis(time)).await;
    answer::text(StatusCode::OK, "At last.\n")
}

/// `/set-cookie?cookie=a%3Db%3B+Path%3D/`, `cookie` as often as you like.
fn set_cookies(head: &Parts) -> Response<Body> {
    let mut response = answer::text(StatusCode::OK, "Cookies are set.\n");
    let query = Form::of_query(&head.uri);
    query.all("cookie").for_each(|line| answer::add(&mut response, SET_COOKIE, line.as_bytes()));
    response
}
