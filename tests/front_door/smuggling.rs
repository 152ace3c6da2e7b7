//! Requests that could be read in two ways, each with another one behind it whose fate tells.
//!
//! `tests/corpus/smuggling/*.txt` holds the requests byte by byte. A case begins with a line
//! `=== answers | name`, where the answers are the statuses that the client gets before the
//! connection ends, and after `"` the body that the upstream gets, or `cut` if it gets some of a
//! request and sees that it is not whole. The last 200 is the answer to the request behind; with
//! `?` it may be missing, as where an unread body may be skipped or not. All other lines are bytes of the request: line ends are written out as `\r\n`, `{session}` is a
//! line with the cookie of a session, and `{200*x}` is 200 times `x`.

use std::time::Duration;

use crate::harness::Stage;
use crate::harness::recorder::{Recorded, Recorder};
use crate::harness::wire::{Wire, head};

const CORPUS: &[&str] = &[
    include_str!("../corpus/smuggling/chunks.txt"),
    include_str!("../corpus/smuggling/codings.txt"),
    include_str!("../corpus/smuggling/expectations.txt"),
    include_str!("../corpus/smuggling/fields.txt"),
    include_str!("../corpus/smuggling/hosts.txt"),
    include_str!("../corpus/smuggling/lengths.txt"),
    include_str!("../corpus/smuggling/lines.txt"),
    include_str!("../corpus/smuggling/requests.txt"),
    include_str!("../corpus/smuggling/targets.txt"),
];

/// Sent behind each; closes the connection, so that all answers have come when it ends.
const MARKER: &str =
    "GET /marker HTTP/1.1\r\nHost: codescan.test\r\n{session}Connection: close\r\n\r\n";

/// Tells which case a request belongs to.
const NUMBER: &str = "x-case";

/// How long to wait for an answer that should not come.
const SILENCE: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Case {
    name: &'static str,
    statuses: Vec<u16>,
    body: String,
    is_cut: bool,
    may_end_early: bool,
    lines: String,
}

fn corpus() -> Vec<Case> {
    let cases = CORPUS.iter().flat_map(|file| file.split("\n=== ").skip(1));
    cases.map(Case::parse).collect()
}

impl Case {
    fn parse(text: &'static str) -> Self {
        let (title, lines) = text.split_once('\n').expect("a title and bytes");
        let (expected, name) = title.split_once(" | ").expect("answers | name");
        let (answers, body) = expected.split_once('"').unwrap_or((expected, ""));
        let words = answers.split_whitespace();
        Self {
            name,
            statuses: words.filter_map(|word| word.trim_end_matches('?').parse().ok()).collect(),
            may_end_early: answers.contains('?'),
            body: body.trim_end_matches('"').to_owned(),
            is_cut: answers.contains("cut"),
            lines: lines.lines().collect(),
        }
    }

    fn bytes(&self, session: &str) -> Vec<u8> {
        let request = unescape(&repeat(&self.lines.replace("{session}", session)));
        [request, MARKER.replace("{session}", session).into_bytes()].concat()
    }
}

/// `{200*x}` is 200 times `x`.
fn repeat(text: &str) -> String {
    let mut parts = text.split('{');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inner, rest) = part.split_once('}').expect("a closing brace");
        let (times, what) = inner.split_once('*').expect("how often, and what");
        all += &what.repeat(times.parse().expect("a number"));
        all += rest;
    }
    all
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, used) = match after.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&after[1..3], 16).expect("two digits"), 3),
            other => panic!("an unknown escape: {other}"),
        };
        bytes.push(byte);
        rest = &after[used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn the_corpus_is_large_and_says_nothing_twice() {
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    let names: std::collections::BTreeSet<_> = corpus.iter().map(|case| case.name).collect();
    let bytes: std::collections::BTreeSet<_> = corpus.iter().map(|case| &case.lines).collect();
    assert_eq!((names.len(), bytes.len()), (corpus.len(), corpus.len()));
}

#[tokio::test]
async fn sent_at_once_none_has_two_readings() {
    none_has_two_readings(usize::MAX).await;
}

#[tokio::test]
async fn sent_in_small_pieces_none_has_two_readings() {
    none_has_two_readings(11).await;
}

#[tokio::test]
async fn the_refusal_is_the_proxys_own() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for (line, words) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "a length and a transfer coding"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "several lengths"),
        ("X-A: 1\n", "does not end as a line of HTTP should"),
    ] {
        let mut wire = session.open().await;
        wire.send(head("POST", "/api/x", &format!("{}{line}", session.lines()))).await;
        let answer = wire.answer().await;
        assert_eq!(answer.error_code().as_deref(), Some("invalid_request"), "{line}");
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("x-request-id").is_some());
    }
}

async fn none_has_two_readings(step: usize) {
    let recorder = Recorder::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", recorder.url());
        // A line for each read would be most of the work.
        settings.text("log.level", "warn");
    })
    .await;
    let session = stage.session_of("jcitizen").await;
    recorder.take();
    let mut wrong = Vec::new();
    let corpus = corpus();
    for (number, case) in corpus.iter().enumerate() {
        let number = number.to_string();
        let mut wire = session.open().await;
        let lines = format!("{}{NUMBER}: {number}\r\n", session.lines());
        let said = say(&mut wire, &case.bytes(&lines), step, case).await;
        let is_this_cases = |it: &Recorded| it.header(NUMBER).is_none_or(|other| other == number);
        let (came, late): (Vec<_>, Vec<_>) = recorder.take().into_iter().partition(is_this_cases);
        if let Err(what) = judge(case, &said, &came) {
            wrong.push(format!("{}: {what}", case.name));
        }
        // What broke off may be seen only after its answer.
        let may_be_cut = |it: &Recorded| {
            let number = it.header(NUMBER).and_then(|number| number.parse::<usize>().ok());
            !it.is_whole && number.is_some_and(|number| corpus[number].is_cut)
        };
        assert!(late.iter().all(may_be_cut), "before {}: {late:?}", case.name);
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the proxy says to a case and the request behind it, before it hangs up.
async fn say(wire: &mut Wire, bytes: &[u8], step: usize, case: &Case) -> Vec<u8> {
    // What is large goes in larger pieces.
    for piece in bytes.chunks(step.max(bytes.len() / 200)) {
        if wire.try_send(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if case.statuses.is_empty() { wire.rest_within(SILENCE).await } else { wire.rest().await }
}

fn judge(case: &Case, said: &[u8], arrived: &[Recorded]) -> Result<(), String> {
    let (statuses, rest) = statuses(said, case.lines.starts_with("HEAD"));
    let shown: Vec<_> = arrived.iter().map(|it| (&it.head, it.is_whole)).collect();
    let expect = |good: bool, what: &str| {
        if good { Ok(()) } else { Err(format!("{what}; answers {statuses:?}, upstream {shown:?}")) }
    };
    let ends_early = case.may_end_early && case.statuses.starts_with(&statuses);
    let expected = statuses == case.statuses || ends_early;
    expect(expected, &format!("answers are not {:?}", case.statuses))?;
    expect(rest.is_empty(), "something follows the last answer")?;
    let whole: Vec<_> = arrived.iter().filter(|it| it.is_whole).collect();
    let answered = statuses.iter().filter(|status| **status == 200).count();
    expect(whole.len() == answered, "another number of requests reached the upstream")?;
    expect(case.is_cut || whole.len() == arrived.len(), "a request reached the upstream in part")?;
    let finals = statuses.iter().filter(|status| **status >= 200).count();
    let lets_on = finals > 1 && statuses.last() == Some(&200);
    for request in arrived {
        expect(request.is_plain(), "the upstream got what can be read in two ways")?;
        expect(!request.target().contains("smuggled"), "a body became a request")?;
        let is_marker = request.target() == "/marker";
        expect(!is_marker || lets_on, "the request behind got through")?;
        let body = if is_marker { "" } else { &case.body };
        let same = !request.is_whole || request.body == unescape(body);
        expect(same, &format!("the body is {:?}", String::from_utf8_lossy(&request.body)))?;
        expect(request.header("x-forwarded-login").is_none(), "a field of ours was set")?;
        let trailers = request.trailers.to_ascii_lowercase();
        let mut names = trailers.lines().filter_map(|line| line.split(':').next());
        let harmless = |name: &str| name.starts_with("x-sum");
        expect(names.all(harmless), &format!("trailers {trailers:?}"))?;
    }
    Ok(())
}

/// The statuses of all answers, and what is left behind the last.
fn statuses(said: &[u8], first_has_no_body: bool) -> (Vec<u16>, &[u8]) {
    let (mut statuses, mut rest) = (Vec::new(), said);
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length: ").map_or("0", |(_, after)| after);
        let length = length.split("\r\n").next().and_then(|it| it.parse().ok()).unwrap_or(0);
        let bodiless = first_has_no_body && statuses.is_empty();
        rest = &rest[if bodiless { 0 } else { rest.len().min(length) }..];
        statuses.push(status);
    }
    (statuses, rest)
}
