//! `healthcheck`: asks the running program's own `/readyz`, for images with no shell.

use std::io;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::config::Settings;

/// For the whole of it. Container platforms give up on a check after a few seconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 4 * 1024;

/// Asks, prints one line, and says how to exit: 0 ready, 1 not.
pub fn run(settings: &Settings) -> u8 {
    let (line, code) = match ask(reachable(settings.admin.listen), TIMEOUT) {
        Ok(()) => ("ready".to_owned(), 0),
        Err(why) => (why, 1),
    };
    // Where nobody reads the line, the exit code still tells.
    let _ = writeln!(io::stdout(), "{line}");
    code
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
        .map_err(|error| format!("no answer from admin.listen {address}: {error}"))?;
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
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
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

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
