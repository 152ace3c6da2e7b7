//! Times in log lines: RFC 3339, UTC, milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// `2026-01-31T23:59:59.999Z`.
pub(super) const LENGTH: usize = 24;

/// The last second of the year 9999; later years would not fit.
const LAST_SECOND: u64 = 253_402_300_799;

/// Renders times, and remembers the last second: lines come many a second.
#[derive(Debug, Clone)]
pub(super) struct Timestamps {
    second: u64,
    text: [u8; LENGTH],
}

impl Timestamps {
    pub(super) fn new() -> Self {
        let mut text = *b"1970-01-01T00:00:00.000Z";
        put_second(&mut text, 0);
        Self { second: 0, text }
    }

    /// ASCII.
    pub(super) fn render(&mut self, time: SystemTime) -> &[u8; LENGTH] {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs().min(LAST_SECOND);
        if second != self.second {
            put_second(&mut self.text, second);
            self.second = second;
        }
        put_digits(&mut self.text[20..23], u64::from(since_epoch.subsec_millis()));
        &self.text
    }
}

fn put_second(text: &mut [u8; LENGTH], second: u64) {
    let (year, month, day) = date(second / 86_400);
    put_digits(&mut text[0..4], year);
    put_digits(&mut text[5..7], month);
    put_digits(&mut text[8..10], day);
    put_digits(&mut text[11..13], second / 3600 % 24);
    put_digits(&mut text[14..16], second / 60 % 60);
    put_digits(&mut text[17..19], second % 60);
}

/// Year, month and day of a count of days since 1970-01-01, by the proleptic Gregorian calendar.
/// Years are counted from March, so that the leap day is the last of its year.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    const DAYS_FROM_MARCH_0_TO_EPOCH: u64 = 719_468;
    let days = days_since_epoch + DAYS_FROM_MARCH_0_TO_EPOCH;
    let era = days / DAYS_IN_400_YEARS;
    let day_of_era = days % DAYS_IN_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn put_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The clock of the lines that `tracing` writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let mut timestamps = Timestamps::new();
        let text = timestamps.render(SystemTime::now());
        w.write_str(str::from_utf8(text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn renders_known_moments() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
            (1_767_225_599_120, "2025-12-31T23:59:59.120Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        let mut timestamps = Timestamps::new();
        for (millis, expected) in cases {
            let text = timestamps.render(UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(str::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn a_second_remembered_is_the_second_rendered() {
        let mut timestamps = Timestamps::new();
        for millis in [1_500, 1_999, 2_000, 1_000, 86_400_000] {
            let time = UNIX_EPOCH + Duration::from_millis(millis);
            let fresh = *Timestamps::new().render(time);
            assert_eq!(timestamps.render(time), &fresh);
        }
    }

    #[test]
    fn a_clock_before_1970_renders_1970() {
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Timestamps::new().render(before), b"1970-01-01T00:00:00.000Z");
    }
}
