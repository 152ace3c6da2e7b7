//! The checks behind `/readyz`, and what else is done now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::trim;
use crate::admin::readiness::{Check, CheckResult, Readiness, Schedule};
use crate::forward::probe;
use crate::gateway::app::{App, Snapshot};
use crate::session::Lifetimes;
use crate::session::slept::Sleeps;
use crate::store::{Condition, HealthReport, Trouble};

/// Bitbucket's state only informs, so it is asked seldom.
const BITBUCKET: Schedule = Schedule {
    period: Duration::from_secs(30),
    after_failure: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
};

/// What is asked are values that are there already.
const STORE: Schedule = Schedule {
    period: Duration::from_millis(500),
    after_failure: Duration::from_millis(250),
    timeout: Duration::from_secs(1),
};

const TIDY_EVERY: Duration = Duration::from_secs(15);

/// A request that comes within this time of waking up may find a token alive that is not.
const SLEEP_NOTICED_EVERY: Duration = Duration::from_secs(1);

/// Starts them on the control runtime, for as long as it lives.
pub fn start(app: &Arc<App>, readiness: &Arc<Readiness>) {
    tokio::spawn(check_store(Arc::clone(app), Arc::clone(readiness)));
    tokio::spawn(count_store_errors(Arc::clone(app)));
    tokio::spawn(check_codescan(Arc::clone(app), Arc::clone(readiness)));
    tokio::spawn(check_bitbucket(Arc::clone(app), Arc::clone(readiness)));
    tokio::spawn(tidy(Arc::clone(app)));
    tokio::spawn(Arc::clone(&app.refresher).keep_refreshing());
    tokio::spawn(notice_sleep(Arc::clone(app)));
    tokio::spawn(trim::keep_trimming(Arc::clone(&app.metrics)));
}

/// The store looks after itself; sessions in memory answer as long as the program does.
async fn check_store(app: Arc<App>, readiness: Arc<Readiness>) {
    let ask = async || app.sessions.health().map_or(Ok(()), |report| judge_store(&report));
    readiness.keep_checking(Check::Store, STORE, ask).await;
}

fn judge_store(report: &HealthReport) -> CheckResult {
    let trouble = || report.last_trouble.as_ref().map_or("no connection yet", Trouble::kind);
    match report.condition {
        Condition::Up if report.hears_changes => Ok(()),
        Condition::Up => Err("what other replicas change is not heard at once"),
        Condition::Connecting | Condition::Degraded => Err(trouble()),
    }
}

async fn count_store_errors(app: Arc<App>) {
    let mut ticks = tokio::time::interval(STORE.period);
    let mut counted = 0;
    loop {
        ticks.tick().await;
        let Some(report) = app.sessions.health() else { return };
        app.metrics.session_store_errors.inc_by(report.errors - counted);
        counted = report.errors;
    }
}

async fn check_codescan(app: Arc<App>, readiness: Arc<Readiness>) {
    let ask = || ask_codescan(app.snapshot.load_full());
    readiness.keep_checking(Check::Codescan, Schedule::default(), ask).await;
}

async fn ask_codescan(snapshot: Arc<Snapshot>) -> CheckResult {
    let settings = snapshot.settings();
    let public_url = &settings.server.public_url;
    let (host, prefix) = (public_url.authority(), public_url.prefix());
    probe::ask(&snapshot.target, host, prefix, settings.codescan.connect_timeout).await
}

async fn check_bitbucket(app: Arc<App>, readiness: Arc<Readiness>) {
    let ask = || {
        let bitbucket = app.snapshot.load().site.bitbucket.clone();
        async move { bitbucket.status().await.map_err(|error| error.cause.kind()) }
    };
    readiness.keep_checking(Check::Bitbucket, BITBUCKET, ask).await;
}

async fn tidy(app: Arc<App>) {
    let mut ticks = tokio::time::interval(TIDY_EVERY);
    loop {
        ticks.tick().await;
        let lifetimes = Lifetimes::new(&app.snapshot.load().settings().session);
        app.sessions.tidy(lifetimes, Instant::now());
    }
}

async fn notice_sleep(app: Arc<App>) {
    let mut sleeps = Sleeps::from_now_on();
    let mut ticks = tokio::time::interval(SLEEP_NOTICED_EVERY);
    loop {
        ticks.tick().await;
        if let Some(by) = sleeps.noticed() {
            tracing::info!(seconds = by.as_secs(), "the machine has slept");
            app.refresher.slept(by);
        }
    }
}
