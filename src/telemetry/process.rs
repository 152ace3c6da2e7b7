//! What the kernel says about this process, from `/proc/self`. Where there is none (not Linux),
//! nothing is told.

use std::fmt;
use std::fs;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

/// Ticks a second of the times in `/proc/self/stat`: `USER_HZ`, 100 on every Linux that Rust
/// supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes memory, CPU and open files. Reads files: not for a worker.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if let Some(seconds) = read("stat").as_deref().and_then(cpu_seconds) {
        let help = "User and system CPU time spent";
        let unit = Unit::Seconds;
        let metric =
            encoder.encode_descriptor("process_cpu", help, Some(&unit), MetricType::Counter)?;
        ConstCounter::new(seconds).encode(metric)?;
    }
    let status = read("status").unwrap_or_default();
    let bytes = |key| number_after(&status, key).map(|kib| kib * 1024);
    let unit = Unit::Bytes;
    let memory = "process_resident_memory";
    gauge(encoder, memory, "Resident memory", Some(&unit), bytes("VmRSS:"))?;
    gauge(encoder, "process_virtual_memory", "Virtual memory", Some(&unit), bytes("VmSize:"))?;
    let threads = number_after(&status, "Threads:");
    gauge(encoder, "process_threads", "Operating system threads", None, threads)?;
    gauge(encoder, "process_open_fds", "Open file descriptors", None, open_files())?;
    let limit = read("limits").and_then(|limits| number_after(&limits, "Max open files"));
    gauge(encoder, "process_max_fds", "Limit of open file descriptors", None, limit)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: Option<u64>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// The first word after `key`, where it is a number.
fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime`, fields 14 and 15 of `stat`. Counted from the last parenthesis: the
/// program's name stands in a pair of them and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// Entries of `/proc/self/fd`, but for the one by which they are counted.
fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(entries).ok().map(|entries| entries.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_hostile_name() {
        let stat = "7 (a) 1 2) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(cpu_seconds(stat), Some(3.0));
    }

    #[test]
    fn limits_and_status_are_read() {
        let limits = "Max open files            1024                 4096      files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("VmRSS:\t  5120 kB\n", "VmRSS:"), Some(5120));
        assert_eq!(number_after("Max open files  unlimited", "Max open files"), None);
    }
}
