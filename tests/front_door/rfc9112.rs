//! What RFC 9112 and RFC 9110 ask of a gateway, row by row: bytes in, bytes out, both ways.
//!
//! Compared are first lines, fields in any order, and bodies. Fields that the proxy adds of
//! itself are left out: their subject is elsewhere.

use crate::harness::Stage;
use crate::harness::upstream::Upstream;
use crate::harness::wire::head;

struct Row {
    cites: &'static str,
    sent: &'static str,
    /// What the upstream gets; nothing if the request is not to be forwarded.
    arrives: &'static str,
    answered: &'static str,
    /// What the client gets; without an empty line, only how it begins.
    returned: &'static str,
}

const fn row(cites: &'static str, [sent, arrives, answered, returned]: [&'static str; 4]) -> Row {
    Row { cites, sent, arrives, answered, returned }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
const GOT: &str = "GET /x HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\n";
const LOST: &str = "HTTP/1.1 502 Bad Gateway\r\n";

/// Requests, answered plainly.
#[rustfmt::skip] // A row a line.
const REQUESTS: &[Row] = &[
    row("9112 §2.2: an empty line before a request is ignored", ["\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", GOT, OK, OK]),
    row("9112 §2.2: a bare carriage return is an error", ["GET /x HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", "", "", REFUSED]),
    row("9112 §2.2: white space before the first field is an error", ["GET /x HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n", "", "", REFUSED]),
    row("9112 §2.3: the version is one's own", ["GET /x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", GOT, OK, "HTTP/1.0 200 OK\r\n"]),
    row("9112 §3.1: methods are told apart by case", ["get /x HTTP/1.1\r\nHost: h\r\n\r\n", "get /x HTTP/1.1\r\nhost: h\r\n\r\n", OK, OK]),
    row("9112 §3.2: a target with white space is an error", ["GET /x y HTTP/1.1\r\nHost: h\r\n\r\n", "", "", REFUSED]),
    row("9112 §3.2: no Host is an error", ["GET /x HTTP/1.1\r\n\r\n", "", "", REFUSED]),
    row("9112 §3.2: two Hosts are an error", ["GET /x HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "", "", REFUSED]),
    row("9112 §3.2: a Host that is none is an error", ["GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", "", "", REFUSED]),
    row("9112 §3.2.1: the origin form goes out as it came", ["GET /x~y?a=%41&&b%|c? HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x~y?a=%41&&b%|c? HTTP/1.1\r\nhost: h\r\n\r\n", OK, OK]),
    row("9112 §3.2.2: the absolute form is taken, and wins over Host", ["GET http://other:81/x?y HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x?y HTTP/1.1\r\nhost: other:81\r\n\r\n", OK, OK]),
    row("9112 §3.2.4: the asterisk is for OPTIONS alone", ["GET * HTTP/1.1\r\nHost: h\r\n\r\n", "", "", REFUSED]),
    row("9112 §5: white space around a value is no part of it", ["GET /x HTTP/1.1\r\nHost: h\r\nX: \t a b \t\r\n\r\n", "GET /x HTTP/1.1\r\nhost: h\r\nx: a b\r\n\r\n", OK, OK]),
    row("9112 §5.1: white space before a colon is an error", ["GET /x HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n", "", "", REFUSED]),
    row("9112 §5.2: a folded line is an error", ["GET /x HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "", "", REFUSED]),
    row("9110 §5.2: fields of one name keep their order", ["GET /x HTTP/1.1\r\nHost: h\r\nX: 2\r\nX: 1\r\n\r\n", "GET /x HTTP/1.1\r\nhost: h\r\nx: 2\r\nx: 1\r\n\r\n", OK, OK]),
    row("9110 §5.5: NUL in a value is an error", ["GET /x HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", "", "", REFUSED]),
    row("9112 §6: a length", ["POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello", OK, OK]),
    row("9112 §6: a body has nothing to do with the method", ["GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "GET /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello", OK, OK]),
    row("9112 §6.1: chunks, one coding", ["POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", OK, OK]),
    row("9112 §6.1: a coding in HTTP/1.0 is a fault", ["POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "", "HTTP/1."]),
    row("9112 §6.1: a length and a coding", ["POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "", REFUSED]),
    row("9112 §6.3: chunked is not the last coding", ["POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "", "", REFUSED]),
    row("9112 §6.3: a length that is none", ["POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5a\r\n\r\nhello", "", "", REFUSED]),
    row("9112 §6.3: lengths that differ", ["POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "", "", REFUSED]),
    row("9112 §7.1: a coding is told without regard to case", ["POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", "POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", OK, OK]),
    row("9112 §7.1.1: unknown extensions are ignored", ["POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n", "POST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", OK, OK]),
    row("9112 §9.6: close is heeded", ["GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", GOT, OK, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"]),
    row("9110 §7.6.1: what Connection names goes no further", ["GET /x HTTP/1.1\r\nHost: h\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n", "GET /x HTTP/1.1\r\nhost: h\r\nx-end: 2\r\n\r\n", OK, OK]),
    row("9110 §7.6.1: nor what is for one connection by its nature", ["GET /x HTTP/1.1\r\nHost: h\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: foo\r\n\r\n", GOT, OK, OK]),
    row("9110 §7.8: an upgrade that is not wanted is ignored", ["GET /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n", GOT, OK, OK]),
    row("9110 §8.6: no body is said where one is expected", ["POST /x HTTP/1.1\r\nHost: h\r\n\r\n", "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", OK, OK]),
    row("9110 §9.3.2: HEAD has no body", ["HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /x HTTP/1.1\r\nhost: h\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]),
    row("9110 §10.1.1: 100-continue is answered where a body is waited for", ["POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello", OK, "HTTP/1.1 100 Continue\r\n"]),
    row("9110 §10.1.1: and not to HTTP/1.0", ["POST /x HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello", OK, "HTTP/1.0 200 OK\r\n"]),
    row("9110 §9.3.8: TRACE is not let through", ["TRACE /x HTTP/1.1\r\nHost: h\r\n\r\n", "", "", "HTTP/1.1 405 Method Not Allowed\r\n"]),
];

/// Answers, to plain requests.
#[rustfmt::skip] // A row a line.
const ANSWERS: &[Row] = &[
    row("9112 §2.3: the version is one's own", [GET, GOT, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", OK]),
    row("9112 §5.2: a folded line is not passed on", [GET, GOT, "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok", LOST]),
    row("9112 §6.1: chunks pass as chunks", [GET, GOT, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]),
    row("9112 §6.1: but not to HTTP/1.0", ["GET /x HTTP/1.0\r\nHost: h\r\n\r\n", GOT, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nok"]),
    row("9112 §6.1: a length and a coding", [GET, GOT, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", LOST]),
    row("9112 §6.3: lengths that differ", [GET, GOT, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", LOST]),
    row("9112 §6.3: a list of equal lengths counts once", [GET, GOT, "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", OK]),
    row("9112 §6.3: 204 has no body", [GET, GOT, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"]),
    row("9112 §6.3: 304 has no body, whatever length it tells", [GET, GOT, "HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\netag: \"a\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n"]),
    row("9110 §8.6: 204 tells no length", [GET, GOT, "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"]),
    row("9112 §9.6: close is between neighbours", [GET, GOT, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", OK]),
    row("9110 §7.6.1: what Connection names goes no further", [GET, GOT, "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: a\r\nx-end: 2\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nx-end: 2\r\ncontent-length: 2\r\n\r\nok"]),
    row("9110 §7.8: a switch that nobody asked for", [GET, GOT, "HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n", LOST]),
    row("9110 §15: an unknown status passes", [GET, GOT, "HTTP/1.1 299 Odd\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 299 "]),
    row("9110 §15.2: interim answers are read before the last", [GET, GOT, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", OK]),
    row("9110 §5.3: fields of one name keep their order", [GET, GOT, "HTTP/1.1 200 OK\r\nset-cookie: b=1\r\nset-cookie: a=2\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nset-cookie: b=1\r\nset-cookie: a=2\r\ncontent-length: 2\r\n\r\nok"]),
];

#[tokio::test]
async fn requests_go_out_as_they_should() {
    rows_hold(REQUESTS).await;
}

#[tokio::test]
async fn answers_come_back_as_they_should() {
    rows_hold(ANSWERS).await;
}

/// RFC 9112 §9.3.2.
#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (upstream, stage) = before().await;
    let mut wire = stage.client().open().await;
    let all: String = (0..5).map(|number| head("GET", &format!("/{number}"), "")).collect();
    wire.send(all).await;
    let mut call = upstream.call().await;
    for number in 0..5 {
        assert!(call.head.starts_with(&format!("GET /{number} ")), "{}", call.head);
        let length = number + 1;
        let body = number.to_string().repeat(length);
        call.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        assert_eq!(wire.answer().await.text(), body);
        if number < 4 {
            call.next_head().await.expect("the same connection");
        }
    }
}

/// RFC 9110 §6.6.1.
#[tokio::test]
async fn an_answer_without_a_date_is_given_one_and_another_keeps_its_own() {
    let (upstream, stage) = before().await;
    let dated = "Tue, 15 Nov 1994 08:12:31 GMT";
    for (field, date) in [(String::new(), None), (format!("date: {dated}\r\n"), Some(dated))] {
        let mut wire = stage.client().open().await;
        wire.send(GET).await;
        let mut call = upstream.call().await;
        call.answer(format!("HTTP/1.1 200 OK\r\n{field}content-length: 0\r\n\r\n")).await;
        let answer = wire.answer().await;
        assert_eq!(answer.headers.get_all("date").iter().count(), 1);
        assert!(date.is_none() || answer.header("date") == date);
    }
}

async fn before() -> (Upstream, Stage) {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
        settings.set("server.workers", "1");
    })
    .await;
    (upstream, stage)
}

async fn rows_hold(rows: &[Row]) {
    let (upstream, stage) = before().await;
    for row in rows {
        let mut wire = stage.client().open().await;
        // Ends the connection without being forwarded.
        wire.send(format!("{}TRACE / HTTP/1.1\r\nHost: the-end\r\n\r\n", row.sent)).await;
        if row.arrives.is_empty() {
            assert_returned(row, &wire.rest().await);
            assert!(upstream.is_left_alone().await, "{}", row.cites);
            continue;
        }
        let mut call = upstream.call().await;
        let (_, body) = row.arrives.split_once("\r\n\r\n").expect("a head");
        let body = call.body_until(body.as_bytes()).await;
        assert_eq!(plain(&(call.head.clone() + &body)), plain(row.arrives), "{}", row.cites);
        call.answer(row.answered).await;
        assert_returned(row, &wire.rest().await);
    }
}

fn assert_returned(row: &Row, said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    let last = said.rfind("HTTP/1.1 405 ").filter(|at| *at > 0).unwrap_or(said.len());
    let said = &said[..last];
    if row.returned.contains("\r\n\r\n") {
        assert_eq!(plain(said), plain(row.returned), "{}", row.cites);
    } else {
        assert!(said.starts_with(row.returned), "{}: {said}", row.cites);
    }
}

/// The first line, the other fields, and what follows.
fn plain(message: &str) -> (String, Vec<String>, String) {
    const OWN: &[&str] = &[
        "x-forwarded",
        "forwarded",
        "x-request-id",
        "traceparent",
        "via: 1.0 codescan-oauth-proxy",
        "via: 1.1 codescan-oauth-proxy",
        "date",
    ];
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let mut fields: Vec<String> = lines
        .filter(|line| !OWN.iter().any(|own| line.starts_with(own)))
        .map(str::to_owned)
        .collect();
    // Stable, so that those of one name keep their order.
    fields.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    (first, fields, body.to_owned())
}
