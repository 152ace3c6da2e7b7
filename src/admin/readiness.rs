//! Whether this process should be sent requests, told from cached results of checks.
//!
//! Knows nobody whom the checks ask: it is handed their results.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::config::settings::ReadyNeed;

/// Something that can answer or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    Codescan,
    Store,
    Bitbucket,
}

impl Check {
    const ALL: [Self; 3] = [Self::Codescan, Self::Store, Self::Bitbucket];

    const fn name(self) -> &'static str {
        match self {
            Self::Codescan => "codescan",
            Self::Store => "store",
            Self::Bitbucket => "bitbucket",
        }
    }
}

/// What a check found. A failure is a few plain words, fixed ones: so no address or secret of an
/// error message can come to stand in `/readyz`.
pub type CheckResult = Result<(), &'static str>;

/// When a check is made again, and how long its result counts.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From one check that went well to the next.
    pub period: Duration,
    /// From one that failed to the next.
    pub after_failure: Duration,
    /// For one check.
    pub timeout: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(2),
            after_failure: Duration::from_millis(500),
            timeout: Duration::from_secs(3),
        }
    }
}

impl Schedule {
    /// Twice what it takes at most until the next result: ten seconds by default.
    fn result_counts_for(&self) -> Duration {
        (self.period.max(self.after_failure) + self.timeout) * 2
    }
}

/// The state behind `/readyz`.
#[derive(Debug)]
pub struct Readiness {
    needs: Vec<Check>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// In the order of [`Check::ALL`].
    results: [Option<Stored>; Check::ALL.len()],
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    result: CheckResult,
    counts_until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Starting,
    Listening,
    Draining,
}

impl Readiness {
    /// Not ready: not listening, and nothing checked yet.
    pub fn new(needs: &[ReadyNeed]) -> Self {
        let needs = needs.iter().map(|need| match need {
            ReadyNeed::Codescan => Check::Codescan,
            ReadyNeed::Store => Check::Store,
        });
        let state = State { phase: Phase::Starting, results: [None; Check::ALL.len()] };
        Self { needs: needs.collect(), state: Mutex::new(state) }
    }

    /// Stores what a check found; it counts for ten seconds.
    pub fn set(&self, check: Check, result: CheckResult) {
        self.set_for(check, result, Schedule::default().result_counts_for());
    }

    /// Makes a check again and again, and stores what it finds. Never ends; may be dropped.
    pub async fn keep_checking<F>(&self, check: Check, schedule: Schedule, mut ask: F)
    where
        F: AsyncFnMut() -> CheckResult,
    {
        loop {
            let result = timeout(schedule.timeout, ask()).await.unwrap_or(Err("no answer in time"));
            self.set_for(check, result, schedule.result_counts_for());
            sleep(if result.is_ok() { schedule.period } else { schedule.after_failure }).await;
        }
    }

    /// The public listener takes connections.
    pub fn listening(&self) {
        self.enter(Phase::Listening);
    }

    /// No new requests, please. For good: there is no way back.
    pub fn draining(&self) {
        self.enter(Phase::Draining);
    }

    pub(super) fn report(&self) -> Report {
        let state = self.lock();
        let checks = Check::ALL.iter().zip(state.results).filter_map(|(check, stored)| {
            let needed = self.needs.contains(check);
            (needed || stored.is_some()).then(|| Line {
                check: *check,
                needed,
                result: stored.map_or(Err("not checked yet"), |stored| stored.now()),
            })
        });
        Report { phase: state.phase, checks: checks.collect() }
    }

    fn set_for(&self, check: Check, result: CheckResult, counts_for: Duration) {
        let stored = Stored { result, counts_until: Instant::now() + counts_for };
        self.lock().results[check as usize] = Some(stored);
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if phase > state.phase {
            state.phase = phase;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn now(self) -> CheckResult {
        if Instant::now() > self.counts_until { Err("not checked lately") } else { self.result }
    }
}

/// Readiness at one moment. Displays as the lines of `?verbose`.
pub(super) struct Report {
    phase: Phase,
    checks: Vec<Line>,
}

struct Line {
    check: Check,
    needed: bool,
    result: CheckResult,
}

impl Report {
    /// Why not ready, if so.
    pub(super) fn unready(&self) -> Option<String> {
        if let Err(why) = self.phase() {
            return Some(why.to_owned());
        }
        let failed = self.checks.iter().filter(|line| line.needed);
        let failed = failed.filter_map(|line| Some((line.check.name(), line.result.err()?)));
        failed.map(|(name, why)| format!("{name}: {why}")).next()
    }

    fn phase(&self) -> CheckResult {
        match self.phase {
            Phase::Starting => Err("not listening yet"),
            Phase::Listening => Ok(()),
            Phase::Draining => Err("draining"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listening = ("listening", true, self.phase());
        let checks = self.checks.iter().map(|line| (line.check.name(), line.needed, line.result));
        for (name, needed, result) in [listening].into_iter().chain(checks) {
            match result {
                Ok(()) => writeln!(f, "[+]{name} ok")?,
                Err(why) if needed => writeln!(f, "[-]{name} failed: {why}")?,
                Err(why) => writeln!(f, "[-]{name} failed: {why} (degraded, still ready)")?,
            }
        }
        Ok(())
    }
}
