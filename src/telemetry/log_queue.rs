//! From any thread to the one thread that writes: a bounded queue of finished lines.
//!
//! Handing a line over never waits. Where the reader of our output is too slow, lines are lost
//! and counted, those of the access log first.

use std::fmt;
use std::io;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

use super::escape;

/// Bytes that may wait. Small entries count as [`LEAST_COST`], which bounds their number too.
const CAPACITY: usize = 4 * 1024 * 1024;

/// The share of [`CAPACITY`] that the access log may fill: the rest is kept for what is rarer and
/// matters more.
const CAPACITY_FOR_ACCESS: usize = 3 * 1024 * 1024;

const LEAST_COST: usize = 4 * 1024;

/// How long the writing thread rests when the output is non-blocking and full.
const FULL_OUTPUT_REST: Duration = Duration::from_millis(5);

/// What an entry is, in the order in which entries are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Access,
    Event,
}

/// The sending end.
#[derive(Clone)]
pub(super) struct LogQueue {
    sender: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Cost of all entries that are not written yet.
    waiting: AtomicUsize,
    dropped: Counter,
    idle_lock: Mutex<()>,
    idle: Condvar,
}

impl LogQueue {
    /// Starts the thread that writes to `output`; it ends when the last sending end is dropped.
    pub(super) fn start(output: Box<dyn Write + Send>, dropped: Counter) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CAPACITY / LEAST_COST);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            dropped,
            idle_lock: Mutex::new(()),
            idle: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_entries(&receiver, output, &for_thread))?;
        Ok(Self { sender, shared })
    }

    /// Hands over whole lines, or counts them as lost. Never waits.
    pub(super) fn send(&self, entry: Entry, lines: Vec<u8>) {
        let capacity = match entry {
            Entry::Access => CAPACITY_FOR_ACCESS,
            Entry::Event => CAPACITY,
        };
        let cost = cost(&lines);
        let waiting = self.shared.waiting.fetch_add(cost, Ordering::Relaxed) + cost;
        if waiting > capacity {
            self.shared.lost(&lines);
        } else if let Err(error) = self.sender.try_send(lines) {
            let (TrySendError::Full(lines) | TrySendError::Disconnected(lines)) = error;
            self.shared.lost(&lines);
        }
    }

    /// Waits until nothing is waiting to be written; false if that takes too long. Not for a
    /// worker.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let shared = &*self.shared;
        let guard = shared.idle_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let (_guard, waited) = shared
            .idle
            .wait_timeout_while(guard, timeout, |()| shared.waiting.load(Ordering::Acquire) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogQueue").field("waiting", &self.shared.waiting).finish_non_exhaustive()
    }
}

impl Shared {
    fn lost(&self, lines: &[u8]) {
        self.count_lost(lines);
        self.finished(cost(lines));
    }

    fn count_lost(&self, lines: &[u8]) {
        self.dropped.inc_by(memchr::memchr_iter(b'\n', lines).count() as u64);
    }

    /// The last one out wakes those who wait in [`LogQueue::flush`]. The lock is theirs alone, so
    /// nobody who sends waits for it but while the program ends.
    fn finished(&self, cost: usize) {
        if self.waiting.fetch_sub(cost, Ordering::Release) == cost {
            drop(self.idle_lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.idle.notify_all();
        }
    }
}

fn cost(lines: &[u8]) -> usize {
    lines.len().max(LEAST_COST)
}

fn write_entries(receiver: &Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>, shared: &Shared) {
    while let Ok(lines) = receiver.recv() {
        if let Err(rest) = write_patiently(&mut output, &lines) {
            shared.count_lost(rest);
        }
        shared.finished(cost(&lines));
    }
}

/// Like `write_all`, but also for an output that somebody who shares it made non-blocking.
/// The error is what could not be written.
fn write_patiently<'a>(output: &mut dyn Write, lines: &'a [u8]) -> Result<(), &'a [u8]> {
    let mut rest = lines;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => return Err(rest),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_OUTPUT_REST),
            Err(_) => return Err(rest),
        }
    }
    output.flush().map_err(|_| rest)
}

/// Where `tracing` writes its lines: each arrives whole, in one call.
impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = EventWriter<'a>;

    fn make_writer(&'a self) -> EventWriter<'a> {
        EventWriter(self)
    }
}

/// Takes one formatted event.
pub(super) struct EventWriter<'a>(&'a LogQueue);

impl Write for EventWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = Vec::with_capacity(line.len() + 16);
        escape::push_controls_escaped(&mut escaped, text);
        escaped.push(b'\n');
        self.0.send(Entry::Event, escaped);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::MutexGuard;

    use super::*;

    /// An output that tests can read, and stop up by holding its lock.
    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Output(Arc<Mutex<Vec<u8>>>);

    impl Output {
        pub(in crate::telemetry) fn stop_up(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().unwrap()
        }

        pub(in crate::telemetry) fn text(&self) -> String {
            String::from_utf8(self.stop_up().clone()).unwrap()
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.stop_up().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    fn start(output: impl Write + Send + 'static) -> (LogQueue, Counter) {
        let dropped = Counter::default();
        (LogQueue::start(Box::new(output), dropped.clone()).unwrap(), dropped)
    }

    #[test]
    fn lines_are_written_in_order() {
        let output = Output::default();
        let (queue, dropped) = start(output.clone());
        let lines: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        for line in &lines {
            queue.send(Entry::Event, format!("{line}\n").into_bytes());
        }
        assert!(queue.flush(LONG));
        assert_eq!(output.text().lines().collect::<Vec<_>>(), lines);
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_stopped_up_output_costs_access_lines_first_and_every_loss_is_counted() {
        let output = Output::default();
        let (queue, dropped) = start(output.clone());
        let stopped_up = output.stop_up();
        let block = b"access\naccess\n".repeat(4096);
        let blocks = CAPACITY_FOR_ACCESS / block.len() + 5;
        for _ in 0..blocks {
            queue.send(Entry::Access, block.clone());
        }
        let lost = dropped.get();
        assert!(lost >= 4 * 8192, "{lost} lines lost");

        queue.send(Entry::Event, b"event\n".to_vec());
        assert_eq!(dropped.get(), lost);
        assert!(!queue.flush(Duration::from_millis(1)));

        drop(stopped_up);
        assert!(queue.flush(LONG));
        let text = output.text();
        assert!(text.ends_with("access\nevent\n"));
        let written = text.lines().filter(|line| *line == "access").count() as u64;
        assert_eq!(written + dropped.get(), blocks as u64 * 8192);
    }

    #[test]
    fn an_output_that_fails_is_counted_and_does_not_stop_the_thread() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (queue, dropped) = start(Closed);
        queue.send(Entry::Access, b"a\nb\n".to_vec());
        assert!(queue.flush(LONG));
        queue.send(Entry::Event, b"c\n".to_vec());
        assert!(queue.flush(LONG));
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn a_full_non_blocking_output_is_tried_again() {
        struct Grudging(Output, bool);
        impl Write for Grudging {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 { Err(ErrorKind::WouldBlock.into()) } else { self.0.write(&bytes[..1]) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let output = Output::default();
        let (queue, dropped) = start(Grudging(output.clone(), false));
        queue.send(Entry::Event, b"abc\n".to_vec());
        assert!(queue.flush(LONG));
        assert_eq!(output.text(), "abc\n");
        assert_eq!(dropped.get(), 0);
    }
}
