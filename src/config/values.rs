//! Values as they are written in settings: durations, sizes, numbers, choices.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::faults::{nearest, quoted};
use super::settings::{ClientTokens, LogFormat, ReadyNeed};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Longest wait for one thing.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(DAY);
/// Longest a pod is let linger.
const LONGEST_PAUSE: Duration = Duration::from_millis(HOUR);
/// Browsers keep no cookie longer than 400 days (RFC 6265bis §5.5).
const LONGEST_LIFETIME: Duration = Duration::from_millis(400 * DAY);

/// `500ms`, `30s`, `15m`, `8h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(SECOND),
        "m" => Some(MINUTE),
        "h" => Some(HOUR),
        "d" => Some(DAY),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    let milliseconds = number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    milliseconds.map(Duration::from_millis).ok_or_else(|| {
        format!("is not a duration ({}); write 500ms, 30s, 15m, 8h or 7d", quoted(text))
    })
}

/// How long to wait for something: not for nothing, and not for ever.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    bounded(duration(text)?, LONGEST_TIMEOUT, "24h").and_then(not_zero)
}

/// As [`timeout`], but no pause at all is one too.
pub(super) fn pause(text: &str) -> Result<Duration, String> {
    bounded(duration(text)?, LONGEST_PAUSE, "1h")
}

/// How long something is kept.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    bounded(duration(text)?, LONGEST_LIFETIME, "400d").and_then(not_zero)
}

fn not_zero(duration: Duration) -> Result<Duration, String> {
    if duration.is_zero() { Err("must be more than nothing".into()) } else { Ok(duration) }
}

fn bounded(duration: Duration, longest: Duration, shown: &str) -> Result<Duration, String> {
    if duration > longest { Err(format!("must be at most {shown}")) } else { Ok(duration) }
}

/// `16KiB`, `10MiB`, or plain bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    let bytes = number.zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| {
        format!("is not a size ({}); write 16KiB, 10MiB, 1GiB or a number of bytes", quoted(text))
    })
}

/// `server.max_header_size`.
pub(super) fn header_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(size(text)?).unwrap_or(usize::MAX);
    if (4 << 10..=1 << 20).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("must be from 4KiB to 1MiB".into())
    }
}

/// `server.max_body_size`: 0 is no limit.
pub(super) fn body_size(text: &str) -> Result<Option<u64>, String> {
    size(text).map(|bytes| (bytes > 0).then_some(bytes))
}

/// A whole number within bounds.
pub(super) fn count<T>(text: &str, range: &RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse::<T>().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        format!("must be a whole number from {least} to {most}, not {}", quoted(text))
    })
}

/// `server.workers`.
pub(super) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let number = count(text, &(1..=1024))?;
    NonZeroUsize::new(number).ok_or_else(|| "must be at least 1".into())
}

/// `server.max_connections`.
pub(super) fn max_connections(text: &str) -> Result<usize, String> {
    count(text, &(1..=1_000_000))
}

/// `server.socket_mode`: `0660`, `660` or `0o660`.
pub(super) fn socket_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| plain && *mode <= 0o777);
    mode.ok_or_else(|| format!("is not an octal mode ({}); write 0660", quoted(text)))
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    one_of(text, &[("true", true), ("false", false)])
}

pub(super) fn ready_need(text: &str) -> Result<ReadyNeed, String> {
    one_of(text, &[("codescan", ReadyNeed::Codescan), ("store", ReadyNeed::Store)])
}

pub(super) fn client_tokens(text: &str) -> Result<ClientTokens, String> {
    one_of(text, &[("deny", ClientTokens::Deny), ("pass", ClientTokens::Pass)])
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    one_of(text, &[("json", LogFormat::Json), ("text", LogFormat::Text)])
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("must be {}, not {}", names.join(" or "), quoted(text))
    })
}

/// A path; whether the file can be read is asked elsewhere.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.contains('\0') { Err("is not a path".into()) } else { Ok(PathBuf::from(text)) }
}

/// `log.level`. To `tracing` a bare word that is no level is the name of a module, so a mistyped
/// level would silence everything.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const CURE: &str = "write off, error, warn, info, debug or trace, or a filter such as \
                        info,hyper=debug";
    let words = text.split(',').map(str::trim);
    let bare = words.filter(|word| !word.contains(['=', ':', '[', ']', '{', '}']));
    if let Some(word) =
        bare.into_iter().find(|word| !LEVELS.contains(&word.to_ascii_lowercase().as_str()))
    {
        return Err(match nearest(word, LEVELS) {
            Some(near) => format!("has no such level as {}; did you mean {near}?", quoted(word)),
            None => format!("has no such level as {}; {CURE}", quoted(word)),
        });
    }
    let filter = EnvFilter::builder().parse(text);
    filter.map(|_| text.to_owned()).map_err(|error| format!("is not a filter ({error}); {CURE}"))
}

/// The digits at the start, and the rest.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
