//! `chromedriver`, a process of its own for each browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the browser may take to go.
const GOODBYE: Duration = Duration::from_secs(10);

/// The two programs that are needed.
pub struct Programs {
    pub chromium: PathBuf,
    chromedriver: PathBuf,
}

impl Programs {
    /// Looks for them in `PATH`; `Err` names the one that is missing.
    pub fn find() -> Result<Self, &'static str> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(find);
        Ok(Self {
            chromium: chromium.ok_or("chromium")?,
            chromedriver: find("chromedriver").ok_or("chromedriver")?,
        })
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A running `chromedriver`. It and its browser end with this.
pub struct Driver {
    child: Child,
    port: u16,
    /// Open as long as it runs: it may have more to say.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts it on a port that it chooses itself.
    pub fn start(programs: &Programs, home: &Path) -> Self {
        let mut child = Command::new(&programs.chromedriver)
            .arg("--port=0")
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let port = announced_port(&mut output);
        Self { child, port, _output: output }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends its browser, then itself.
    fn shut_down(&self) -> std::io::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, GOODBYE)?;
        stream.set_read_timeout(Some(GOODBYE))?;
        stream
            .write_all(b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

/// "… was started successfully on port 40123."
fn announced_port(output: &mut impl BufRead) -> u16 {
    let mut lines = output.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("successfully on port"));
    let line = line.expect("chromedriver says on which port it listens");
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a port")
}

impl Drop for Driver {
    fn drop(&mut self) {
        let asked = self.shut_down();
        let end = Instant::now() + GOODBYE;
        while asked.is_ok() && Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
