//! HTTP/2 as a client, through the h2 crate.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::harness::wire::Duplex;
use crate::message::{Fields, Framing, Request, Seen};

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
            send(stream, request)?;
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

/// What the window does not hold yet waits in h2.
fn send(mut stream: SendStream<Bytes>, request: &Request) -> Result<(), h2::Error> {
    let body = &request.body;
    let size = if let Framing::Chunks(sizes) = &body.framing { sizes[0] } else { usize::MAX };
    for piece in body.bytes.chunks(size) {
        stream.send_data(Bytes::copy_from_slice(piece), false)?;
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
