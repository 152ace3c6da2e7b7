//! When each request is sent: as soon as a lane is free, or at a fixed rate.
//!
//! At a fixed rate a request has a time at which it is meant to be sent, and its latency counts
//! from then, also when all lanes were busy. Otherwise the slow answers would hide those that
//! had to wait behind them (coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;
use crate::lane::Lane;
use crate::plan::{End, Plan};
use crate::tally::Tally;

/// Runs the plan to its end.
pub async fn run(plan: &Arc<Plan>, lanes: Vec<Lane>) -> Result<Tally> {
    let clock = Arc::new(Clock::new(plan));
    let mut running = JoinSet::new();
    for lane in lanes {
        running.spawn(follow(Arc::clone(plan), lane, Arc::clone(&clock)));
    }
    let mut pace = None;
    if let (Some(interval), End::After(time)) = (clock.interval, plan.end) {
        let clock = Arc::clone(&clock);
        pace = Some(thread::spawn(move || {
            let kept = keep_pace(&clock, interval, time);
            clock.due.close();
            kept
        }));
    }
    let mut tally = Tally::default();
    while let Some(ended) = running.join_next().await {
        tally.join(ended??);
    }
    tally.took = clock.began.elapsed();
    if let Some(pace) = pace {
        pace.join().map_err(|_| "the timer's thread panicked")??;
    }
    Ok(tally)
}

/// One lane's requests.
async fn follow(plan: Arc<Plan>, mut lane: Lane, clock: Arc<Clock>) -> Result<Tally> {
    let mut tally = Tally::default();
    while let Some(meant) = clock.next().await {
        let bytes = lane.exchange(&plan).await?;
        tally.add(meant.elapsed(), bytes);
    }
    Ok(tally)
}

/// What the lanes share.
struct Clock {
    began: Instant,
    end: End,
    taken: AtomicU64,
    /// Between two requests, with a fixed rate.
    interval: Option<Duration>,
    /// With a fixed rate, a permit for each request that is due; closed at the end.
    due: Semaphore,
}

impl Clock {
    fn new(plan: &Plan) -> Self {
        Self {
            began: Instant::now(),
            end: plan.end,
            taken: AtomicU64::new(0),
            interval: plan.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            due: Semaphore::new(0),
        }
    }

    /// When the next request is meant to be sent; `None` when it is over.
    async fn next(&self) -> Option<Instant> {
        if let Some(interval) = self.interval {
            self.due.acquire().await.ok()?.forget();
            let number = self.taken.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            return Some(self.began + interval.saturating_mul(number));
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let goes_on = match self.end {
            End::After(time) => self.began.elapsed() < time,
            End::Requests(requests) => number < requests,
        };
        goes_on.then(Instant::now)
    }
}

/// Lets the lanes send at a fixed rate. By a timer of the kernel's, on a thread of its own, as
/// tokio's timers have milliseconds.
fn keep_pace(clock: &Clock, interval: Duration, time: Duration) -> Result<()> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty())?;
    let every = Timespec::try_from(interval)?;
    let setting = Itimerspec { it_interval: every, it_value: every };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    while clock.began.elapsed() < time {
        let mut passed = [0; 8];
        rustix::io::read(&timer, &mut passed)?;
        clock.due.add_permits(usize::try_from(u64::from_ne_bytes(passed))?);
    }
    Ok(())
}
