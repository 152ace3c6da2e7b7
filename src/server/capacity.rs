//! How many connections the program holds at a time: one count for all workers.
//!
//! A worker takes a [`Place`] before it accepts, so that who finds none waits in the kernel's
//! queue. Then the worker whose connection has been idle the longest is asked to close it. Each
//! tells of its longest idle one at its tick, so that "the longest" is true to within a tick, and
//! nothing is kept in order for a limit that is hardly ever reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How often a worker without a place looks whether somebody waits for one.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A connection that was asked to close and has not after this time was busy after all: another
/// one is asked.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Stands for a moment that never was.
const NEVER: u64 = u64::MAX;

/// Places for connections.
pub struct Capacity {
    epoch: Instant,
    taken: AtomicUsize,
    /// Places that are taken by workers that still wait for the connection.
    spare: AtomicUsize,
    freed: Notify,
    /// When a connection was last asked to close, or [`NEVER`] since a place came free.
    asked: AtomicU64,
    desks: Box<[Desk]>,
}

/// Where one worker is reached.
struct Desk {
    /// Since when its longest idle connection has been so, or [`NEVER`].
    idle_since: AtomicU64,
    /// It shall close that one.
    shall_close: AtomicBool,
    called: Notify,
}

impl Capacity {
    pub fn new(workers: usize) -> Arc<Self> {
        let desk = || Desk {
            idle_since: AtomicU64::new(NEVER),
            shall_close: AtomicBool::new(false),
            called: Notify::new(),
        };
        Arc::new(Self {
            epoch: Instant::now(),
            taken: AtomicUsize::new(0),
            spare: AtomicUsize::new(0),
            freed: Notify::new(),
            asked: AtomicU64::new(NEVER),
            desks: (0..workers).map(|_| desk()).collect(),
        })
    }

    /// What worker number `worker` (from 0) has to do with it.
    pub fn share(self: &Arc<Self>, worker: usize) -> Share {
        Share { capacity: Arc::clone(self), worker }
    }

    fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let more = |taken| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok()?;
        self.spare.fetch_add(1, Ordering::Relaxed);
        Some(Place { capacity: Arc::clone(self), is_spare: true })
    }

    /// Has the longest idle connection closed, unless that was asked just now.
    fn ask_for_a_place(&self, now: Instant) {
        let asked = self.asked.load(Ordering::Relaxed);
        let now = self.millis(now);
        let again = asked.saturating_add(millis(ASK_AGAIN_AFTER));
        if asked != NEVER && now < again {
            return;
        }
        // Another worker may ask at the same time: one of the two is enough.
        let exchanged =
            self.asked.compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed);
        if exchanged.is_ok() && !self.call_who_has_the_longest_idle() {
            self.asked.store(NEVER, Ordering::Relaxed);
            // What they told last may be a tick old.
            self.desks.iter().for_each(|desk| desk.called.notify_one());
        }
    }

    /// False if nobody told of an idle connection.
    fn call_who_has_the_longest_idle(&self) -> bool {
        let idle_since = |desk: &&Desk| desk.idle_since.load(Ordering::Relaxed);
        let longest = self.desks.iter().min_by_key(idle_since);
        let Some(desk) = longest.filter(|desk| idle_since(desk) != NEVER) else { return false };
        desk.shall_close.store(true, Ordering::Relaxed);
        desk.called.notify_one();
        true
    }

    fn millis(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.epoch))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}

/// One worker's way to the places.
pub struct Share {
    capacity: Arc<Capacity>,
    worker: usize,
}

impl Share {
    /// The next free place. `limit` is asked each time, as it may change; `is_wanted` tells
    /// whether a client waits for a place. May be dropped.
    pub async fn place(&self, limit: impl Fn() -> usize, is_wanted: impl Fn() -> bool) -> Place {
        loop {
            if let Some(place) = self.capacity.take(limit()) {
                return place;
            }
            let others_take_it = self.capacity.spare.load(Ordering::Relaxed) > 0;
            if !others_take_it && is_wanted() {
                self.capacity.ask_for_a_place(Instant::now());
            }
            tokio::select! {
                () = self.capacity.freed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Resolves when this worker shall look for its longest idle connection: close it if
    /// [`Self::shall_close`], and tell of the next.
    pub async fn called(&self) {
        self.desk().called.notified().await;
    }

    pub fn shall_close(&self) -> bool {
        self.desk().shall_close.swap(false, Ordering::Relaxed)
    }

    /// Tells since when this worker's longest idle connection has been so.
    pub fn tell(&self, idle_since: Option<Instant>) {
        let since = idle_since.map_or(NEVER, |since| self.capacity.millis(since));
        self.desk().idle_since.store(since, Ordering::Relaxed);
    }

    fn desk(&self) -> &Desk {
        &self.capacity.desks[self.worker]
    }
}

/// Room for one connection, until it is dropped.
pub struct Place {
    capacity: Arc<Capacity>,
    is_spare: bool,
}

impl Place {
    /// Its connection has come.
    #[must_use = "dropped, the place is free again"]
    pub fn occupied(mut self) -> Self {
        self.no_longer_spare();
        self
    }

    fn no_longer_spare(&mut self) {
        if std::mem::take(&mut self.is_spare) {
            self.capacity.spare.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.no_longer_spare();
        self.capacity.taken.fetch_sub(1, Ordering::AcqRel);
        self.capacity.asked.store(NEVER, Ordering::Relaxed);
        self.capacity.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn() -> bool = || false;
    const SOMEBODY: fn() -> bool = || true;

    /// Whether it resolves without anybody's help, and without time passing.
    async fn comes_at_once<T>(future: impl Future<Output = T>) -> bool {
        tokio::select! {
            biased;
            _ = future => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_for_the_next_that_comes_free() {
        let capacity = Capacity::new(2);
        let (one, other) = (capacity.share(0), capacity.share(1));
        let place = one.place(|| 1, NOBODY).await.occupied();
        assert!(!comes_at_once(other.place(|| 1, NOBODY)).await);
        let waiting = tokio::spawn(async move { other.place(|| 1, NOBODY).await.occupied() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drop(place);
        let _place = waiting.await.unwrap();
        assert!(!comes_at_once(one.place(|| 1, NOBODY)).await);
        assert!(comes_at_once(one.place(|| 2, NOBODY)).await, "the limit may change");
    }

    #[tokio::test(start_paused = true)]
    async fn the_worker_with_the_longest_idle_connection_is_called_and_no_other() {
        let capacity = Capacity::new(3);
        let shares: Vec<Share> = (0..3).map(|worker| capacity.share(worker)).collect();
        let _place = shares[0].place(|| 1, NOBODY).await.occupied();
        shares[0].tell(None);
        shares[1].tell(Some(capacity.epoch + Duration::from_secs(9)));
        shares[2].tell(Some(capacity.epoch + Duration::from_secs(5)));
        assert!(!comes_at_once(shares[0].place(|| 1, SOMEBODY)).await);
        assert!(!comes_at_once(shares[1].place(|| 1, SOMEBODY)).await);
        assert!(comes_at_once(shares[2].called()).await && shares[2].shall_close());
        assert!(!comes_at_once(shares[1].called()).await && !shares[1].shall_close());
        assert!(!comes_at_once(shares[0].called()).await && !shares[0].shall_close());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_closed_for_nobody_or_while_a_worker_holds_a_place_out() {
        let capacity = Capacity::new(2);
        let (one, other) = (capacity.share(0), capacity.share(1));
        one.tell(Some(capacity.epoch));
        let place = one.place(|| 1, NOBODY).await;
        assert!(!comes_at_once(other.place(|| 1, SOMEBODY)).await);
        assert!(!one.shall_close(), "that worker will take who waits");
        let _place = place.occupied();
        assert!(!comes_at_once(other.place(|| 1, NOBODY)).await);
        assert!(!one.shall_close(), "nobody waits");
        assert!(!comes_at_once(other.place(|| 1, SOMEBODY)).await);
        assert!(one.shall_close());
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_told_of_an_idle_one_all_look_again() {
        let capacity = Capacity::new(2);
        let (one, other) = (capacity.share(0), capacity.share(1));
        let _place = one.place(|| 1, NOBODY).await.occupied();
        assert!(!comes_at_once(other.place(|| 1, SOMEBODY)).await);
        for share in [&one, &other] {
            assert!(comes_at_once(share.called()).await && !share.shall_close());
        }
        one.tell(Some(capacity.epoch));
        assert!(!comes_at_once(other.place(|| 1, SOMEBODY)).await);
        assert!(comes_at_once(one.called()).await && one.shall_close());
    }
}
