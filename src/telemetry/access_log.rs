//! One line a request, built by hand: through `tracing` it would cost ten times as much.
//!
//! Each worker has its own [`AccessLog`]; what it gathers goes to the writing thread in blocks.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::escape;
use super::log_queue::{Entry, LogQueue};
use super::timestamp::{self, Timestamps};
use crate::config::settings::LogFormat;
use crate::digits::{push_address, push_number, push_padded};

/// Bytes gathered before they are handed over.
const BLOCK: usize = 64 * 1024;

/// More than the longest line, all of it escaped.
const LONGEST_LINE: usize = 12 * 1024;

/// Bytes of a path that are shown; a longer one is cut and its length told as `path_bytes`.
const LONGEST_PATH: usize = 1024;

/// Bytes of any other text that comes from outside.
const LONGEST_TEXT: usize = 128;

/// What is told about one request.
#[derive(Debug, Clone)]
pub struct AccessLine<'a> {
    /// When its head arrived.
    pub time: SystemTime,
    pub request_id: &'a str,
    /// The client's address as the trusted proxies tell it; `None` on a unix socket.
    pub client: Option<IpAddr>,
    pub method: &'a str,
    /// As it came, without the query: that may hold codes and secrets.
    pub path: &'a str,
    /// Such as `HTTP/1.1`.
    pub protocol: &'static str,
    pub status: u16,
    pub route: &'static str,
    /// Bitbucket user name.
    pub user: Option<&'a str>,
    /// Code of the error that the proxy answered with.
    pub error: Option<&'static str>,
    /// From the head's arrival to the response's end.
    pub total: Duration,
    /// How long `CodeScan` took to its response head.
    pub upstream: Option<Duration>,
    pub response_bytes: u64,
}

/// The access log of one worker.
#[derive(Debug)]
pub struct AccessLog {
    queue: LogQueue,
    format: LogFormat,
    buffer: Vec<u8>,
    timestamps: Timestamps,
}

impl AccessLog {
    pub(super) fn new(queue: LogQueue, format: LogFormat) -> Self {
        Self {
            queue,
            format,
            buffer: Vec::with_capacity(BLOCK + LONGEST_LINE),
            timestamps: Timestamps::new(),
        }
    }

    /// Adds a line. Allocates nothing but once a block.
    pub fn write(&mut self, line: &AccessLine<'_>) {
        let time = self.timestamps.render(line.time);
        match self.format {
            LogFormat::Json => Fields::<true>(&mut self.buffer).line(time, line),
            LogFormat::Text => Fields::<false>(&mut self.buffer).line(time, line),
        }
        if self.buffer.len() >= BLOCK {
            self.flush();
        }
    }

    /// Hands over what was gathered, without waiting. To be called at each tick, so that no line
    /// is more than about a second late. Dropping the log does it too.
    pub fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        // A copy of the right size: what waits in the queue then takes what it counts for, and
        // the buffer stays.
        self.queue.send(Entry::Access, self.buffer.as_slice().to_vec());
        self.buffer.clear();
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The name of a field, with what stands around it in either format.
#[derive(Clone, Copy)]
struct Key {
    json: &'static str,
    text: &'static str,
}

macro_rules! key {
    ($name:literal) => {
        Key { json: concat!(",\"", $name, "\":"), text: concat!(" ", $name, "=") }
    };
}

/// Writes the fields of a line, as JSON or as text: a format known beforehand makes each constant
/// a few moves.
struct Fields<'a, const JSON: bool>(&'a mut Vec<u8>);

impl<const JSON: bool> Fields<'_, JSON> {
    fn line(&mut self, time: &[u8; timestamp::LENGTH], line: &AccessLine<'_>) {
        self.begin(time);
        self.all_of(line);
        if JSON {
            self.0.push(b'}');
        }
        self.0.push(b'\n');
    }

    /// The same beginning as the lines of `tracing` have.
    fn begin(&mut self, time: &[u8; timestamp::LENGTH]) {
        if JSON {
            self.0.extend_from_slice(b"{\"timestamp\":\"");
            self.0.extend_from_slice(time);
            self.0.extend_from_slice(b"\",\"level\":\"INFO\",\"target\":\"access\"");
        } else {
            self.0.extend_from_slice(time);
            self.0.extend_from_slice(b"  INFO access:");
        }
    }

    fn all_of(&mut self, line: &AccessLine<'_>) {
        self.text(key!("request_id"), line.request_id, LONGEST_TEXT);
        if let Some(client) = line.client {
            self.address(key!("client"), client);
        }
        self.text(key!("method"), line.method, LONGEST_TEXT);
        self.text(key!("path"), line.path, LONGEST_PATH);
        if line.path.len() > LONGEST_PATH {
            self.number(key!("path_bytes"), line.path.len() as u64);
        }
        self.word(key!("protocol"), line.protocol);
        self.number(key!("status"), u64::from(line.status));
        self.word(key!("route"), line.route);
        if let Some(user) = line.user {
            self.text(key!("user"), user, LONGEST_TEXT);
        }
        if let Some(error) = line.error {
            self.word(key!("error"), error);
        }
        self.millis(key!("duration_ms"), line.total);
        if let Some(upstream) = line.upstream {
            self.millis(key!("upstream_ms"), upstream);
        }
        self.number(key!("response_bytes"), line.response_bytes);
    }

    #[inline]
    fn key(&mut self, key: Key) {
        self.0.extend_from_slice(if JSON { key.json } else { key.text }.as_bytes());
    }

    /// A word of our own: nothing in it needs an escape.
    fn word(&mut self, key: Key, word: &'static str) {
        self.key(key);
        self.0.push(b'"');
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    /// A text that ends in `…` was cut.
    fn text(&mut self, key: Key, value: &str, longest: usize) {
        self.key(key);
        if value.len() <= longest {
            return escape::push_quoted(self.0, value);
        }
        escape::push_quoted(self.0, &value[..value.floor_char_boundary(longest)]);
        self.0.pop();
        self.0.extend_from_slice("…\"".as_bytes());
    }

    fn address(&mut self, key: Key, value: IpAddr) {
        self.key(key);
        self.0.push(b'"');
        push_address(self.0, value);
        self.0.push(b'"');
    }

    fn number(&mut self, key: Key, value: u64) {
        self.key(key);
        push_number(self.0, value);
    }

    /// Milliseconds with three decimals.
    fn millis(&mut self, key: Key, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.key(key);
        push_number(self.0, micros / 1000);
        self.0.push(b'.');
        push_padded(self.0, micros % 1000, 3);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::UNIX_EPOCH;

    use prometheus_client::metrics::counter::Counter;
    use serde_json::{Value, json};

    use super::super::log_queue::tests::Output;
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    pub(in crate::telemetry) fn line() -> AccessLine<'static> {
        AccessLine {
            time: UNIX_EPOCH + Duration::from_millis(1_767_225_600_042),
            request_id: "0198-r",
            client: Some(IpAddr::from([192, 0, 2, 7])),
            method: "GET",
            path: "/api/issues",
            protocol: "HTTP/1.1",
            status: 200,
            route: "app",
            user: Some("alice"),
            error: None,
            total: Duration::from_micros(12_034),
            upstream: Some(Duration::from_micros(11_500)),
            response_bytes: 5120,
        }
    }

    fn written(format: LogFormat, lines: &[AccessLine<'_>]) -> String {
        let output = Output::default();
        let queue = LogQueue::start(Box::new(output.clone()), Counter::default()).unwrap();
        let mut log = AccessLog::new(queue.clone(), format);
        for line in lines {
            log.write(line);
        }
        drop(log);
        assert!(queue.flush(LONG));
        output.text()
    }

    fn parsed(line: AccessLine<'_>) -> Value {
        let text = written(LogFormat::Json, &[line]);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_json_line_tells_all() {
        let expected = json!({
            "timestamp": "2026-01-01T00:00:00.042Z", "level": "INFO", "target": "access",
            "request_id": "0198-r", "client": "192.0.2.7", "method": "GET",
            "path": "/api/issues", "protocol": "HTTP/1.1", "status": 200, "route": "app",
            "user": "alice", "duration_ms": 12.034, "upstream_ms": 11.5, "response_bytes": 5120,
        });
        assert_eq!(parsed(line()), expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare = AccessLine { client: None, user: None, upstream: None, ..line() };
        let refused = AccessLine { error: Some("login_required"), status: 401, ..bare };
        let line = parsed(refused);
        assert_eq!(line["error"], "login_required");
        for key in ["client", "user", "upstream_ms", "path_bytes"] {
            assert!(line.get(key).is_none(), "{key}");
        }
    }

    #[test]
    fn a_text_line_is_one_line() {
        let hostile = AccessLine { user: Some("a\" status=200\n\u{1b}[2J"), ..line() };
        let expected = "2026-01-01T00:00:00.042Z  INFO access: request_id=\"0198-r\" \
            client=\"192.0.2.7\" method=\"GET\" path=\"/api/issues\" protocol=\"HTTP/1.1\" \
            status=200 route=\"app\" user=\"a\\\" status=200\\u000a\\u001b[2J\" \
            duration_ms=12.034 upstream_ms=11.500 response_bytes=5120\n";
        assert_eq!(written(LogFormat::Text, &[hostile]), expected);
    }

    #[test]
    fn hostile_paths_and_users_stay_in_their_strings() {
        let hostile =
            ["\"", "\\", "\"}\n{\"a\":\"", "\u{1b}]0;x\u{7}", "\u{9b}31m", "\0", "é\u{2028}"];
        for text in hostile {
            let line = parsed(AccessLine { path: text, user: Some(text), method: text, ..line() });
            assert_eq!(line["path"], text);
            assert_eq!(line["user"], text);
            assert_eq!(line["method"], text);
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_marked() {
        let path = format!("/{}", "é".repeat(2000));
        let user = "u".repeat(5000);
        let line = parsed(AccessLine { path: &path, user: Some(&user), ..line() });
        let shown = line["path"].as_str().unwrap();
        assert!(shown.len() <= LONGEST_PATH + '…'.len_utf8(), "{}", shown.len());
        assert!(shown.ends_with("é…"));
        assert_eq!(line["path_bytes"], 4001);
        assert_eq!(line["user"].as_str().unwrap().chars().count(), LONGEST_TEXT + 1);
    }

    #[test]
    fn the_longest_line_fits_the_reserve() {
        let worst = "\0".repeat(4096);
        let line = AccessLine {
            request_id: &worst,
            method: &worst,
            path: &worst,
            user: Some(&worst),
            response_bytes: u64::MAX,
            total: Duration::MAX,
            upstream: Some(Duration::MAX),
            ..line()
        };
        assert!(written(LogFormat::Json, &[line]).len() < LONGEST_LINE);
    }

    #[test]
    fn blocks_end_at_line_ends_and_lose_nothing() {
        let lines = vec![line(); 1000];
        let text = written(LogFormat::Json, &lines);
        assert_eq!(text.lines().count(), 1000);
        for line in text.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
    }

    #[test]
    fn the_buffer_never_grows() {
        let queue = LogQueue::start(Box::new(std::io::sink()), Counter::default()).unwrap();
        let mut log = AccessLog::new(queue, LogFormat::Json);
        let capacity = log.buffer.capacity();
        for _ in 0..1000 {
            log.write(&line());
        }
        assert_eq!(log.buffer.capacity(), capacity);
    }
}
