//! The store is down, stands still, has lost everything: operations fail within their time, and
//! all is well again as soon as it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use codescan_oauth_proxy::store::{
    Change, Condition, OPERATION_TIMEOUT, RecordKey, Replaced, Store, StoreError,
};
use tokio::task::JoinSet;

use crate::server;
use crate::stage::{Kind, LIVES, Stage, new_key, until, until_done, up};

/// For what is timed: the machine may be busy.
const LATITUDE: Duration = Duration::from_secs(1);

async fn created(store: &Store) -> RecordKey {
    let key = new_key();
    assert_eq!(store.create(&key, 1, b"value", LIVES).await, Ok(true));
    key
}

fn is_down(store: &Store) -> bool {
    store.health().condition == Condition::Degraded
}

/// Requests without end, from several tasks at a time.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    /// Milliseconds of the slowest.
    slowest: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Load {
    fn begin(store: &Arc<Store>, key: &RecordKey) -> Self {
        let (stop, good, slowest) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (store, key) = (Arc::clone(store), key.clone());
            let (stop, good, slowest) =
                (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&slowest));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let outcome = store.load(&key).await;
                    let took = u64::try_from(begun.elapsed().as_millis()).expect("soon");
                    slowest.fetch_max(took, Ordering::Relaxed);
                    match outcome {
                        Ok(_) => good.fetch_add(1, Ordering::Relaxed),
                        Err(StoreError::Damaged) => panic!("nobody wrote anything else"),
                        Err(StoreError::Unavailable(_)) => {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            0
                        }
                    };
                }
            });
        }
        Self { stop, good, slowest, tasks }
    }

    async fn goes_on(&self) {
        let before = self.good.load(Ordering::Relaxed);
        until("operations succeed", || self.good.load(Ordering::Relaxed) > before + 50).await;
    }

    /// Every operation ended within its time.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        let slowest = Duration::from_millis(self.slowest.load(Ordering::Relaxed));
        assert!(slowest < OPERATION_TIMEOUT + LATITUDE, "one took {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_at_the_start_is_waited_for() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Single);
    stage.server().kill();
    let store = stage.opened();
    until("it is told", || is_down(&store)).await;
    let begun = Instant::now();
    assert!(store.load(&new_key()).await.is_err());
    assert!(begun.elapsed() < OPERATION_TIMEOUT + LATITUDE);
    assert!(store.health().errors > 0);
    stage.server().launch();
    up(&store).await;
    created(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_is_found_again() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::with(Kind::Single, &["appendonly yes", "appendfsync always"]);
    let store = Arc::new(stage.replica().await);
    let key = created(&store).await;
    let load = Load::begin(&store, &key);
    load.goes_on().await;
    stage.server().kill();
    until("it is told", || is_down(&store)).await;
    stage.server().launch();
    up(&store).await;
    load.goes_on().await;
    load.end().await;
    assert!(store.load(&key).await.expect("up").is_some(), "what was stored is there");
}

/// After a moment's patience nobody waits for what is known to be down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_been_down_fails_at_once() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Single);
    let store = stage.replica().await;
    stage.server().kill();
    until("it has been down", || {
        let health = store.health();
        health.condition == Condition::Degraded && health.since.elapsed() > OPERATION_TIMEOUT
    })
    .await;
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(store.load(&new_key()).await.is_err());
    }
    assert!(begun.elapsed() < LATITUDE, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_under_load_it_is_told_and_found_again() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let store = Arc::new(stage.replica().await);
    let key = created(&store).await;
    let load = Load::begin(&store, &key);
    load.goes_on().await;
    stage.servers[0].pause();
    until("it is told", || is_down(&store) && !store.health().hears_changes).await;
    stage.servers[0].resume();
    up(&store).await;
    load.goes_on().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_under_load_it_holds_nothing_and_goes_on() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let store = Arc::new(stage.replica().await);
    let key = created(&store).await;
    let load = Load::begin(&store, &key);
    load.goes_on().await;
    stage.servers[0].tell(&["FLUSHALL"]);
    stage.servers[0].tell(&["SCRIPT", "FLUSH"]);
    load.goes_on().await;
    load.end().await;
    assert!(store.load(&key).await.expect("up").is_none());
    assert!(matches!(store.replace(&key, 2, b"two").await, Ok(Replaced::Gone)));
    created(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_reconnect_everything_may_have_changed() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Single);
    let store = stage.replica().await;
    let mut changes = store.changes();
    for _ in 0..2 {
        stage.server().kill();
        until("it is told", || !store.health().hears_changes).await;
        stage.server().launch();
        assert_eq!(changes.next().await, Change::Everything);
        up(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_far_behind_hears_that_everything_may_have_changed() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let (one, other) = (Arc::new(stage.replica().await), stage.replica().await);
    let (mut slow, mut quick) = (other.changes(), other.changes());
    let last = new_key().name();
    let removing = tokio::spawn(async move {
        for _ in 0..2000 {
            one.remove(new_key().name()).await.expect("up");
        }
        one.remove(last).await.expect("up");
    });
    while quick.next().await != (Change::Removed { name: last }) {}
    removing.await.expect("removed");
    assert_eq!(slow.next().await, Change::Everything);
    while slow.next().await != (Change::Removed { name: last }) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_server_of_a_cluster_takes_its_share_only() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::with(Kind::Cluster, &["cluster-require-full-coverage no"]);
    let store = stage.replica().await;
    let mut keys = Vec::new();
    for _ in 0..30 {
        keys.push(created(&store).await);
    }
    let good = async || {
        let loads = futures_util::future::join_all(keys.iter().map(|key| store.load(key))).await;
        loads.iter().filter(|outcome| outcome.is_ok()).count()
    };
    let dead = stage.servers.len() - 1;
    stage.servers[dead].kill();
    until_done("some fail and the others answer", async || {
        (6..keys.len()).contains(&good().await) && store.health().errors > 0
    })
    .await;
    stage.servers[dead].launch();
    up(&store).await;
    until_done("its share can be used", async || good().await == keys.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_followed_to_its_successor() {
    if server::is_missing() {
        return;
    }
    let mut stage = Stage::new(Kind::Sentinel);
    let store = Arc::new(stage.replica().await);
    let mut changes = store.changes();
    let key = created(&store).await;
    until("the replica has it", || stage.servers[1].tell(&["DBSIZE"]) == "1").await;
    let load = Load::begin(&store, &key);
    stage.server().kill();
    until("it is told", || is_down(&store)).await;
    up(&store).await;
    load.goes_on().await;
    load.end().await;
    assert_eq!(changes.next().await, Change::Everything);
    assert!(matches!(store.replace(&key, 2, b"two").await, Ok(Replaced::Stored)));
    assert!(stage.servers[1].tell(&["INFO", "replication"]).contains("role:master"));
}
