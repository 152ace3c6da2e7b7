//! A machine that slept: the clock that all deadlines go by stood still, Bitbucket's did not.

use std::time::Duration;

/// Shorter is taken for no sleep.
const NOTICED: Duration = Duration::from_secs(1);

/// Notices sleeps since it was made.
pub struct Sleeps {
    known: Duration,
}

impl Sleeps {
    pub fn from_now_on() -> Self {
        Self { known: asleep() }
    }

    /// How long the machine has slept since this was asked last, if it has.
    pub fn noticed(&mut self) -> Option<Duration> {
        self.compare(asleep())
    }

    fn compare(&mut self, asleep: Duration) -> Option<Duration> {
        let slept = asleep.saturating_sub(self.known);
        if slept < NOTICED {
            return None;
        }
        self.known = asleep;
        Some(slept)
    }
}

/// How long the machine has slept since it was started.
#[cfg(target_os = "linux")]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

#[cfg(not(target_os = "linux"))]
fn asleep() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_noticed_once() {
        let mut sleeps = Sleeps { known: Duration::from_secs(100) };
        let at = |seconds: f64| Duration::from_secs_f64(seconds);
        assert_eq!(sleeps.compare(at(100.9)), None, "clocks are read one after the other");
        assert_eq!(sleeps.compare(at(160.0)), Some(at(60.0)));
        assert_eq!(sleeps.compare(at(160.1)), None);
        assert_eq!(Sleeps::from_now_on().noticed(), None);
    }
}
