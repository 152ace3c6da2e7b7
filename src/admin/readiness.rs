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
    pub async fn keep_checking<F, A>(&self, check: Check, schedule: Schedule, mut ask: F)
    where
        F: FnMut() -> A,
        A: Future<Output = CheckResult>,
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
                result: stored.map_or(Err("not checked yet"), Stored::now),
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
            let Err(why) = result else {
                writeln!(f, "[+]{name} ok")?;
                continue;
            };
            let note = if needed { "" } else { " (degraded: not needed to be ready)" };
            writeln!(f, "[-]{name} failed: {why}{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::time::advance;

    use super::*;

    fn listening(needs: &[ReadyNeed]) -> Readiness {
        let readiness = Readiness::new(needs);
        readiness.listening();
        readiness
    }

    fn unready(readiness: &Readiness) -> Option<String> {
        readiness.report().unready()
    }

    #[test]
    fn ready_from_listening_to_draining() {
        let readiness = Readiness::new(&[]);
        assert_eq!(unready(&readiness).unwrap(), "not listening yet");
        readiness.listening();
        assert_eq!(unready(&readiness), None);
        readiness.draining();
        readiness.listening();
        assert_eq!(unready(&readiness).unwrap(), "draining");
    }

    #[test]
    fn only_what_is_needed_makes_it_unready() {
        let readiness = listening(&[ReadyNeed::Codescan]);
        assert_eq!(unready(&readiness).unwrap(), "codescan: not checked yet");
        readiness.set(Check::Codescan, Ok(()));
        readiness.set(Check::Bitbucket, Err("cannot be reached"));
        readiness.set(Check::Store, Err("cannot be reached"));
        assert_eq!(unready(&readiness), None);
        readiness.set(Check::Codescan, Err("refused the connection"));
        assert_eq!(unready(&readiness).unwrap(), "codescan: refused the connection");
    }

    #[test]
    fn the_report_lists_each_check() {
        let readiness = listening(&[ReadyNeed::Store]);
        readiness.set(Check::Bitbucket, Err("cannot be reached"));
        readiness.set(Check::Codescan, Ok(()));
        let expected = "[+]listening ok\n[+]codescan ok\n[-]store failed: not checked yet\n\
            [-]bitbucket failed: cannot be reached (degraded: not needed to be ready)\n";
        assert_eq!(readiness.report().to_string(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_result_does_not_count() {
        let readiness = listening(&[ReadyNeed::Codescan]);
        readiness.set(Check::Codescan, Ok(()));
        advance(Duration::from_secs(10)).await;
        assert_eq!(unready(&readiness), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(unready(&readiness).unwrap(), "codescan: not checked lately");
    }

    /// Runs a check for half a minute of paused time; says how often it was made.
    async fn times_asked<A>(readiness: &Readiness, mut ask: impl FnMut() -> A) -> u32
    where
        A: Future<Output = CheckResult>,
    {
        let asked = Cell::new(0);
        let checking = readiness.keep_checking(Check::Codescan, Schedule::default(), || {
            asked.set(asked.get() + 1);
            ask()
        });
        let _ = timeout(Duration::from_millis(29_900), checking).await;
        asked.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_is_made_again_and_sooner_after_a_failure() {
        let readiness = listening(&[ReadyNeed::Codescan]);
        assert_eq!(times_asked(&readiness, async || Ok(())).await, 15);
        assert_eq!(unready(&readiness), None);
        assert_eq!(times_asked(&readiness, async || Err("closed the connection")).await, 60);
        assert_eq!(unready(&readiness).unwrap(), "codescan: closed the connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_fails() {
        let readiness = listening(&[ReadyNeed::Codescan]);
        times_asked(&readiness, async || pending().await).await;
        assert_eq!(unready(&readiness).unwrap(), "codescan: no answer in time");
    }
}
