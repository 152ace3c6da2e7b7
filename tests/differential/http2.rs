//! HTTP/2 for both ends, through the h2 crate.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};

use crate::harness::wire::Duplex;
use crate::message::{Answer, Body, Fields, Framing, Request, Seen};

pub struct Client(SendRequest<Bytes>);

impl Client {
    pub async fn new(stream: Box<dyn Duplex>) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn exchange(&mut self, request: &Request, scheme: &str) -> Result<Seen, h2::Error> {
        let uri = Uri::builder().scheme(scheme).authority(request.host);
        let uri = uri.path_and_query(&request.target).build().expect("a URI");
        let mut head = http::Request::builder().method(request.method).uri(uri);
        let headers = head.headers_mut().expect("good so far");
        *headers = map(&request.fields);
        if request.body.framing == Framing::Length {
            headers.insert("content-length", request.body.bytes.len().into());
        }
        let is_bare = request.body.framing == Framing::None;
        self.0 = self.0.clone().ready().await?;
        let (answer, stream) = self.0.send_request(head.body(()).expect("a head"), is_bare)?;
        if !is_bare {
            send(stream, &request.body)?;
        }
        let (head, body) = answer.await?.into_parts();
        let mut seen = Seen {
            line: head.status.as_str().to_owned(),
            fields: fields(&head.headers),
            ..Seen::default()
        };
        receive(body, &mut seen).await?;
        Ok(seen)
    }
}

/// A request as a server gets it: `:authority` stands for `Host`.
pub async fn receive_request(request: http::Request<RecvStream>) -> Result<Seen, h2::Error> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let mut seen = Seen {
        line: format!("{} {target}", head.method),
        fields: fields(&head.headers),
        ..Seen::default()
    };
    if let Some(authority) = head.uri.authority() {
        seen.fields.push(("host".to_owned(), authority.as_str().into()));
    }
    receive(body, &mut seen).await?;
    Ok(seen)
}

pub fn answer(
    mut respond: SendResponse<Bytes>,
    method: &str,
    answer: &Answer,
) -> Result<(), h2::Error> {
    let head = |status: u16, fields: &Fields| {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).expect("a status");
        *head.headers_mut() = map(fields);
        head
    };
    if answer.hints {
        let link = Fields::from([("link".to_owned(), b"</x>".to_vec())]);
        respond.send_informational(head(103, &link))?;
    }
    let mut head = head(answer.status, &answer.fields);
    if answer.body.framing == Framing::Length {
        head.headers_mut().insert("content-length", answer.body.bytes.len().into());
    }
    let is_bare = method == "HEAD" || answer.body.framing == Framing::None;
    let stream = respond.send_response(head, is_bare)?;
    if is_bare { Ok(()) } else { send(stream, &answer.body) }
}

/// What the window does not hold yet waits in h2.
fn send(mut stream: SendStream<Bytes>, body: &Body) -> Result<(), h2::Error> {
    let whole = [body.bytes.len().max(1)];
    let sizes = if let Framing::Chunks(sizes) = &body.framing { &sizes[..] } else { &whole };
    let mut rest = Bytes::from(body.bytes.clone());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        stream.send_data(rest.split_to(rest.len().min(*size)), false)?;
    }
    if body.trailers.is_empty() {
        return stream.send_data(Bytes::new(), true);
    }
    stream.send_trailers(map(&body.trailers))
}

async fn receive(mut body: RecvStream, seen: &mut Seen) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        seen.body.extend_from_slice(&piece);
    }
    if let Some(trailers) = body.trailers().await? {
        seen.trailers = fields(&trailers);
    }
    Ok(())
}

fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        map.append(name, HeaderValue::from_bytes(value).expect("a value"));
    }
    map
}

fn fields(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
