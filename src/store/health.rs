//! Whether the store answers, since when, and what was wrong last.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::trouble::Trouble;

/// A fault of operations on a connection that is sound (no permission, no memory) counts as over
/// when none happened for this long: others may go well in between.
const FAULTS_LAST: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Not yet tried.
    Connecting,
    Up,
    Degraded,
}

/// How the store is.
#[derive(Debug, Clone)]
pub struct HealthReport {
    pub condition: Condition,
    /// When the condition began.
    pub since: Instant,
    /// What was wrong last, now or before.
    pub last_trouble: Option<Trouble>,
    /// Whether changes by other replicas are heard at once. While they are not, what is cached
    /// may be older than a second.
    pub hears_changes: bool,
    /// Operations and connects that failed, from the start.
    pub errors: u64,
}

pub(super) struct Health(Mutex<State>);

struct State {
    condition: Condition,
    since: Instant,
    last_trouble: Option<(Trouble, Instant)>,
    /// Why changes are not heard.
    deaf: Option<Trouble>,
    errors: u64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            condition: Condition::Connecting,
            since: Instant::now(),
            last_trouble: None,
            deaf: Some(Trouble::NotYet),
            errors: 0,
        }))
    }

    pub(super) fn report(&self) -> HealthReport {
        let state = self.lock();
        HealthReport {
            condition: state.condition,
            since: state.since,
            last_trouble: state.last_trouble.as_ref().map(|(trouble, _)| trouble.clone()),
            hears_changes: state.deaf.is_none(),
            errors: state.errors,
        }
    }

    /// The connection is sound.
    pub(super) fn is_sound(&self) {
        let mut state = self.lock();
        if !state.has_fault(Instant::now()) && state.enter(Condition::Up) {
            tracing::info!("the session store answers");
        }
    }

    /// An operation or a connect failed.
    pub(super) fn failed(&self, trouble: &Trouble) {
        let mut state = self.lock();
        state.errors += 1;
        let is_other = state.last_trouble.as_ref().is_none_or(|(last, _)| last != trouble);
        state.last_trouble = Some((trouble.clone(), Instant::now()));
        if state.enter(Condition::Degraded) || is_other {
            tracing::warn!(%trouble, "the session store is unavailable");
        }
    }

    /// Changes by other replicas are heard from now on.
    pub(super) fn hears(&self) {
        self.lock().deaf = None;
    }

    pub(super) fn is_deaf(&self, trouble: &Trouble) {
        let mut state = self.lock();
        if state.deaf.as_ref() != Some(trouble) {
            tracing::warn!(%trouble, "what other replicas change in the session store is not heard");
        }
        state.deaf = Some(trouble.clone());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether that is a change.
    fn enter(&mut self, condition: Condition) -> bool {
        let is_news = self.condition != condition;
        if is_news {
            self.condition = condition;
            self.since = Instant::now();
        }
        is_news
    }

    fn has_fault(&self, now: Instant) -> bool {
        self.last_trouble.as_ref().is_some_and(|(trouble, at)| {
            !trouble.is_of_the_connection() && now.duration_since(*at) < FAULTS_LAST
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_connection_ends_an_outage_but_not_a_fault_of_operations() {
        let health = Health::new();
        assert_eq!(health.report().condition, Condition::Connecting);
        health.failed(&Trouble::Dropped);
        assert_eq!(health.report().condition, Condition::Degraded);
        health.is_sound();
        assert_eq!(health.report().condition, Condition::Up);
        health.failed(&Trouble::OutOfMemory);
        health.is_sound();
        let report = health.report();
        assert_eq!(report.condition, Condition::Degraded);
        assert_eq!((report.last_trouble, report.errors), (Some(Trouble::OutOfMemory), 2));
    }

    #[test]
    fn an_outage_began_with_its_first_fault() {
        let health = Health::new();
        health.failed(&Trouble::Dropped);
        let since = health.report().since;
        health.failed(&Trouble::TimedOut);
        assert_eq!(health.report().since, since);
    }

    #[test]
    fn changes_are_not_heard_until_they_are() {
        let health = Health::new();
        assert!(!health.report().hears_changes);
        health.hears();
        assert!(health.report().hears_changes);
        health.is_deaf(&Trouble::Dropped);
        assert!(!health.report().hears_changes);
    }
}
