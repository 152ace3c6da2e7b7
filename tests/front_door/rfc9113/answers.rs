//! What `CodeScan` says in HTTP/1.1, as frames.

use http::{HeaderMap, StatusCode};

use crate::harness::Stage;
use crate::harness::http2::{Http2, body};
use crate::harness::patiently;
use crate::harness::upstream::Upstream;

/// How an answer ends for the client.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// This is its body.
    Whole(&'static str),
    /// The stream is reset: it never looks whole.
    Broken,
}

use End::{Broken, Whole};

struct Row {
    cites: &'static str,
    method: &'static str,
    /// Sent by `CodeScan`, which then hangs up.
    said: &'static str,
    status: u16,
    /// Fields that arrive, of those that are not ours.
    fields: &'static [(&'static str, &'static str)],
    end: End,
}

const fn row(
    cites: &'static str,
    [method, said]: [&'static str; 2],
    status: u16,
    fields: &'static [(&'static str, &'static str)],
    end: End,
) -> Row {
    Row { cites, method, said, status, fields, end }
}

#[rustfmt::skip] // A row a line.
const ROWS: &[Row] = &[
    row("§8.1: a length", ["GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], 200, &[("content-length", "2")], Whole("ok")),
    row("§8.1: chunks end here", ["GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"], 200, &[], Whole("ok")),
    row("§8.1: neither", ["GET", "HTTP/1.1 200 OK\r\n\r\nok"], 200, &[], Whole("ok")),
    row("§8.1.1: a body shorter than its length", ["GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"], 200, &[("content-length", "3")], Broken),
    row("§8.1.1: chunks without their end", ["GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"], 200, &[], Broken),
    row("§8.1.1: a chunk that is none", ["GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nx\r\n"], 200, &[], Broken),
    row("§8.1.1: lengths that differ", ["GET", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"], 502, &[], Broken),
    row("§8.1: HEAD has a length and no body", ["HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"], 200, &[("content-length", "5")], Whole("")),
    row("§8.1: 204 has neither", ["GET", "HTTP/1.1 204 No Content\r\n\r\n"], 204, &[], Whole("")),
    row("§8.1: 304 has no body", ["GET", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"], 304, &[("etag", "\"a\"")], Whole("")),
    row("§8.2: names are in small letters", ["GET", "HTTP/1.1 200 OK\r\nX-Some: A\r\nContent-Length: 2\r\n\r\nok"], 200, &[("x-some", "A"), ("content-length", "2")], Whole("ok")),
    row("§8.2.2: nothing of a connection", ["GET", "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nproxy-connection: a\r\nupgrade: h2c\r\nte: trailers\r\ncontent-length: 2\r\n\r\nok"], 200, &[("content-length", "2")], Whole("ok")),
    row("§8.3.2: the reason goes nowhere", ["GET", "HTTP/1.1 299 :status: 500\r\ncontent-length: 2\r\n\r\nok"], 299, &[("content-length", "2")], Whole("ok")),
    row("§8.1: interim answers come before", ["GET", "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], 200, &[("content-length", "2")], Whole("ok")),
    row("§8.6: there is no 101", ["GET", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"], 502, &[], Broken),
    row("§8.2.1: a name that is none", ["GET", "HTTP/1.1 200 OK\r\nx y: 1\r\ncontent-length: 2\r\n\r\nok"], 502, &[], Broken),
    row("§8.2.1: a value that is none", ["GET", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok"], 502, &[], Broken),
    row("§8.3: a pseudo field as a field", ["GET", "HTTP/1.1 200 OK\r\n:status: 204\r\ncontent-length: 2\r\n\r\nok"], 502, &[], Broken),
];

#[tokio::test]
async fn answers_arrive_as_http2_has_them() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url()).text("log.level", "error");
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    for row in ROWS {
        let mut client = Http2::open(&stage.client()).await;
        let (answer, _) = client.send(client.request(row.method, "/x"), true).await;
        let mut call = upstream.call().await;
        call.answer(row.said).await;
        drop(call);
        let answer = patiently(row.cites, answer).await.expect("a head");
        assert_eq!(answer.status().as_u16(), row.status, "{}", row.cites);
        if answer.status() == StatusCode::BAD_GATEWAY {
            continue;
        }
        let wanted: HeaderMap = row
            .fields
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect();
        let mut fields = answer.headers().clone();
        for ours in ["x-request-id", "date", "via"] {
            fields.remove(ours);
        }
        assert_eq!(fields, wanted, "{}", row.cites);
        let read = body(answer.into_body()).await.ok();
        let wanted = match row.end {
            Whole(text) => Some(text.as_bytes().to_vec()),
            Broken => None,
        };
        assert_eq!(read, wanted, "{}", row.cites);
    }
}
