//! HTTP/1.1 and HTTP/2, each with TLS and without, behind one face: bodies that a test reads and
//! writes piece by piece.

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::StatusCode;

use super::http2::Http2;
use super::tls::Certificate;
use super::wire::{Wire, head};
use super::{Client, Settings, Stage, patiently};

/// One way of asking the proxy.
pub struct Way {
    /// For failures.
    pub name: &'static str,
    client: Client,
    http2: bool,
}

/// Sets a stage that is open to all, and runs a test each way.
pub async fn every_way(change: impl Fn(&mut Settings), test: impl AsyncFn(&Stage, &Way)) {
    for certificate in [None, Some(Certificate::new())] {
        let stage = Stage::with(|settings| {
            settings.set("access.public", "[\"/**\"]").text("log.level", "warn");
            if let Some(certificate) = &certificate {
                certificate.in_settings(settings);
            }
            change(settings);
        })
        .await;
        for way in Way::both(&stage, certificate.as_ref()) {
            test(&stage, &way).await;
        }
    }
}

/// A request under way.
pub enum Exchange {
    Http1 { wire: Wire, ends_by_chunk: bool },
    Http2(Box<Streams>),
}

pub struct Streams {
    _connection: Http2,
    upload: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
    unread: Vec<u8>,
}

impl Way {
    /// The ways to a stage with this certificate, or without one.
    pub fn both(stage: &Stage, certificate: Option<&Certificate>) -> [Self; 2] {
        let plain = stage.client();
        let client = certificate.map_or(plain.clone(), |it| plain.over_tls(&it.trusted()));
        let names = match certificate {
            None => ["HTTP/1.1", "HTTP/2"],
            Some(_) => ["HTTP/1.1 over TLS", "HTTP/2 over TLS"],
        };
        let way = |at: usize| Self { name: names[at], client: client.clone(), http2: at == 1 };
        [way(0), way(1)]
    }

    /// Sends a request without a body, and reads the head of the answer, a 200.
    pub async fn get(&self, target: &str) -> Exchange {
        let mut exchange = self.begin("GET", target, None).await;
        assert_eq!(exchange.head().await, StatusCode::OK, "{}", self.name);
        exchange
    }

    /// Sends a head, behind which a body of this length is to come.
    pub async fn post(&self, target: &str, length: usize) -> Exchange {
        self.begin("POST", target, Some(length)).await
    }

    async fn begin(&self, method: &str, target: &str, length: Option<usize>) -> Exchange {
        if !self.http2 {
            let field = length.map_or_else(String::new, |it| format!("Content-Length: {it}\r\n"));
            let mut wire = self.client.open().await;
            wire.send(head(method, target, &field)).await;
            return Exchange::Http1 { wire, ends_by_chunk: false };
        }
        let mut connection = Http2::open(&self.client).await;
        let mut request = connection.request(method, target);
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.into());
        }
        let (answer, upload) = connection.send(request, length.is_none()).await;
        Exchange::Http2(Box::new(Streams {
            _connection: connection,
            upload,
            answer: Some(answer),
            body: None,
            unread: Vec::new(),
        }))
    }
}

impl Exchange {
    /// The status of the answer, whose body can be read then.
    pub async fn head(&mut self) -> StatusCode {
        match self {
            Self::Http1 { wire, ends_by_chunk } => {
                let head = wire.head().await;
                *ends_by_chunk = head.header("transfer-encoding").is_some();
                head.status
            }
            Self::Http2(streams) => {
                let answer = streams.answer.take().expect("it is read once");
                let answer = patiently("an answer", answer).await.expect("an answer");
                let status = answer.status();
                streams.body = Some(answer.into_body());
                status
            }
        }
    }

    /// Writes a piece of the body, as fast as it is taken.
    pub async fn send(&mut self, piece: &[u8]) {
        match self {
            Self::Http1 { wire, .. } => wire.send(piece).await,
            Self::Http2(streams) => streams.send(piece).await,
        }
    }

    /// So many bytes of the answer's body, which has a length.
    pub async fn take(&mut self, length: usize) -> Bytes {
        match self {
            Self::Http1 { wire, .. } => wire.take(length).await,
            Self::Http2(streams) => {
                while streams.unread.len() < length {
                    assert!(streams.read().await, "broke off");
                }
                streams.unread.drain(..length).collect::<Vec<u8>>().into()
            }
        }
    }

    /// Reads on until these bytes have come.
    pub async fn until(&mut self, end: &[u8]) {
        match self {
            Self::Http1 { wire, .. } => drop(wire.until(end).await),
            Self::Http2(streams) => {
                while !streams.unread.windows(end.len()).any(|window| window == end) {
                    assert!(streams.read().await, "broke off");
                }
                streams.unread.clear();
            }
        }
    }

    /// Whether the body comes to a clean end. Nothing of it is kept.
    pub async fn ends_well(&mut self) -> bool {
        match self {
            Self::Http1 { wire, ends_by_chunk: true } => {
                let mut rest = Vec::new();
                while !rest.ends_with(b"0\r\n\r\n") {
                    let Some(byte) = wire.try_take(1).await else { return false };
                    rest.extend_from_slice(&byte);
                }
                true
            }
            Self::Http1 { .. } => panic!("told by the length"),
            Self::Http2(streams) => {
                while streams.read().await {}
                streams.body.as_ref().is_some_and(RecvStream::is_end_stream)
            }
        }
    }
}

impl Streams {
    async fn send(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            self.upload.reserve_capacity(piece.len());
            let room = std::future::poll_fn(|cx| self.upload.poll_capacity(cx));
            let room = patiently("room in the window", room).await;
            let room = room.expect("an open stream").expect("an open stream").min(piece.len());
            let (now, later) = piece.split_at(room);
            self.upload.send_data(Bytes::copy_from_slice(now), false).expect("an open stream");
            piece = later;
        }
    }

    /// Reads some more; false at the end, good or bad.
    async fn read(&mut self) -> bool {
        let body = self.body.as_mut().expect("the head is read");
        let Some(Ok(piece)) = patiently("a piece", body.data()).await else { return false };
        body.flow_control().release_capacity(piece.len()).expect("it came");
        self.unread.extend_from_slice(&piece);
        true
    }
}
