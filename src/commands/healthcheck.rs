//! `healthcheck`: asks the running program's own `/readyz`, for images with no shell.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::check::{self, Report};
use crate::config::{self, Sources};

/// For the whole of it. Container platforms give up on a check after a few seconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 4 * 1024;

/// Asks, and says in one line what came of it: exit code 0 ready, 1 not, 78 wrong settings.
pub fn run(sources: &Sources) -> Report {
    let settings = match config::load(sources) {
        Ok(loaded) => loaded.settings,
        Err(faults) => return Report::failed(check::explain(&faults), check::WRONG_SETTINGS),
    };
    let (line, code) = match ask(reachable(settings.admin.listen), TIMEOUT) {
        Ok(()) => ("ready".to_owned(), 0),
        Err(why) => (why, 1),
    };
    Report { stdout: format!("{line}\n"), stderr: String::new(), code }
}

/// An address to listen on as one to connect to: "all addresses" is loopback for us.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let answer = exchange(address, deadline)
        .map_err(|error| format!("no answer from admin.listen {address}: {}", plain(&error)))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") if head.starts_with("HTTP/1.") => Ok(()),
        Some("503") => Err(body.lines().next().unwrap_or("not ready").to_owned()),
        _ => Err(format!("what answers at admin.listen {address} is not this program")),
    }
}

fn exchange(address: SocketAddr, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while answer.len() < MAX_ANSWER {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(answer)
}

/// A socket's timeout shows as "would block", which tells nobody anything.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "timed out".to_owned(),
        _ => error.to_string(),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Listens, and answers one connection so.
    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            assert!(request[..n].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    fn asked(answer: &'static str) -> Result<(), String> {
        ask(answering(answer), TIMEOUT)
    }

    #[test]
    fn tells_ready_from_not_ready() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"), Ok(()));
        let unready = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: draining\n";
        assert_eq!(asked(unready), Err("not ready: draining".to_owned()));
    }

    #[test]
    fn anything_else_is_not_ready() {
        for answer in ["HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0 200 x\r\n", ""] {
            assert!(asked(answer).unwrap_err().ends_with("is not this program"), "{answer:?}");
        }
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let why = ask(address, TIMEOUT).unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let why = ask(address, Duration::from_millis(50)).unwrap_err();
        assert!(why.ends_with("timed out"), "{why}");
    }

    #[test]
    fn all_addresses_are_asked_on_loopback() {
        let cases = [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("192.0.2.1:9", "192.0.2.1:9"),
        ];
        for (listen, expected) in cases {
            assert_eq!(reachable(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
