//! Programs that run beside a test, and what they print.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen. The demo may have to be built first.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Ends with the test.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Lines up to the first that holds `part`, that one included.
    pub fn lines_until(&self, part: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {part:?} ({error}); there were {seen:#?}"),
            }
            if seen.last().unwrap().contains(part) {
                return seen;
            }
        }
    }

    /// As Ctrl-C does; waits for the end and says how long that took.
    pub fn interrupt(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal("INT");
        let status = self.child.wait().unwrap();
        (status, began.elapsed())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
