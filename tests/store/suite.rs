//! What must hold for every kind of store. One test a kind, as starting a cluster takes seconds;
//! keys are random, so that the cases do not meet.

use std::time::{Duration, Instant};

use codescan_oauth_proxy::config::settings::CookieSecret;
use codescan_oauth_proxy::seal::{Sealer, random};
use codescan_oauth_proxy::store::{
    Attempt, Change, Changes, Lives, Loaded, Lock, LockToken, PersonKey, RecordKey, Replaced,
    Store, StoreError,
};

use crate::server;
use crate::stage::{Kind, LIVES, Stage, new_key, until_done};

macro_rules! kinds {
    ($($name:ident: $kind:expr),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if !server::is_missing() {
                everything_holds($kind).await;
            }
        })*
    };
}

kinds! {
    everything_holds_on_a_single_server: Kind::Single,
    everything_holds_over_tls: Kind::Tls,
    everything_holds_on_a_cluster: Kind::Cluster,
    everything_holds_on_a_cluster_over_tls: Kind::TlsCluster,
    everything_holds_behind_a_sentinel: Kind::Sentinel,
}

async fn everything_holds(kind: Kind) {
    let stage = Stage::new(kind);
    let (one, other) = (stage.replica().await, stage.replica().await);
    a_record_is_found_by_its_key_only(&one, &other).await;
    a_name_is_taken_once(&one, &other).await;
    a_newer_generation_takes_the_place_of_an_older_one_only(&one, &other).await;
    what_was_removed_does_not_come_back(&one, &other).await;
    a_late_note_of_use_shortens_nothing(&one, &other).await;
    a_use_lengthens_the_idle_life_but_not_the_whole(&one).await;
    a_life_ends(&one).await;
    an_attempt_is_seen_until_the_next_generation(&one, &other).await;
    a_lock_has_one_owner(&one, &other).await;
    a_lock_outlives_a_dead_owner_by_its_time_only(&one, &other).await;
    the_longest_unused_of_a_person_are_too_many(&one, &other).await;
    those_that_left_or_died_do_not_count(&one).await;
    changes_are_heard_by_others_within_a_second(&one, &other).await;
    the_count_is_roughly_right(&one).await;
}

/// A record that is there, and its key.
async fn created(store: &Store, value: &[u8]) -> RecordKey {
    created_for(store, value, LIVES).await
}

async fn created_for(store: &Store, value: &[u8], lives: Lives) -> RecordKey {
    let key = new_key();
    assert!(store.create(&key, 1, value, lives).await.expect("up"));
    key
}

async fn found(store: &Store, key: &RecordKey) -> Loaded {
    store.load(key).await.expect("up").expect("it is there")
}

async fn is_gone(store: &Store, key: &RecordKey) -> bool {
    store.load(key).await.expect("up").is_none()
}

async fn a_record_is_found_by_its_key_only(one: &Store, other: &Store) {
    let key = created(one, b"opaque \0 bytes").await;
    let record = found(other, &key).await;
    assert_eq!((record.generation, record.value.as_slice()), (1, &b"opaque \0 bytes"[..]));
    assert!(record.attempted_ago.is_none());
    assert!(is_gone(other, &new_key()).await);
}

async fn a_name_is_taken_once(one: &Store, other: &Store) {
    let key = created(one, b"first").await;
    assert!(!other.create(&key, 2, b"second", LIVES).await.expect("up"));
    assert_eq!(*found(other, &key).await.value, b"first");
}

async fn a_newer_generation_takes_the_place_of_an_older_one_only(one: &Store, other: &Store) {
    let key = created(one, b"one").await;
    assert!(matches!(other.replace(&key, 3, b"three").await, Ok(Replaced::Stored)));
    for late in [1, 2, 3] {
        let Ok(Replaced::Newer(newer)) = one.replace(&key, late, b"late").await else {
            panic!("generation {late} came too late");
        };
        assert_eq!((newer.generation, newer.value.as_slice()), (3, &b"three"[..]));
    }
    // Gaps are no fault: a replica may hold the only one that is of use.
    assert!(matches!(one.replace(&key, 12, b"twelve").await, Ok(Replaced::Stored)));
    assert_eq!(*found(other, &key).await.value, b"twelve");
}

async fn what_was_removed_does_not_come_back(one: &Store, other: &Store) {
    let key = created(one, b"value").await;
    assert!(other.remove(key.name()).await.expect("up"));
    assert!(!other.remove(key.name()).await.expect("up"), "there is nothing to remove");
    assert!(is_gone(one, &key).await);
    assert!(matches!(one.replace(&key, 9, b"again").await, Ok(Replaced::Gone)));
    let used = one.note_use(key.name(), Duration::ZERO, LIVES.idle).await;
    assert_eq!(used, Ok(None));
    assert_eq!(one.note_attempt(key.name(), 1).await, Ok(false));
    assert!(is_gone(one, &key).await);
}

async fn a_late_note_of_use_shortens_nothing(one: &Store, other: &Store) {
    let key = created(one, b"value").await;
    let name = key.name();
    let long_ago = LIVES.idle.saturating_sub(Duration::from_secs(5));
    assert_eq!(one.note_use(name, Duration::ZERO, LIVES.idle).await, Ok(Some(1)));
    assert_eq!(other.note_use(name, long_ago, LIVES.idle).await, Ok(Some(1)));
    assert_eq!(other.note_use(name, LIVES.idle * 2, LIVES.idle).await, Ok(Some(1)));
    assert_eq!(other.note_use(name, Duration::ZERO, Duration::from_secs(1)).await, Ok(Some(1)));
    let record = found(one, &key).await;
    assert!(record.unused_for < Duration::from_mins(1), "{:?}", record.unused_for);
    assert!(record.expires_in + Duration::from_mins(1) > LIVES.idle, "{:?}", record.expires_in);
}

async fn a_use_lengthens_the_idle_life_but_not_the_whole(store: &Store) {
    let lives = Lives { whole: Duration::from_mins(20), idle: Duration::from_mins(2) };
    let key = created_for(store, b"value", lives).await;
    let before = found(store, &key).await;
    assert!(before.expires_in <= lives.idle && before.ends_in <= lives.whole);
    // The idle life in force now, should the settings have changed.
    let longer = Duration::from_mins(5);
    assert_eq!(store.note_use(key.name(), Duration::ZERO, longer).await, Ok(Some(1)));
    assert!(found(store, &key).await.expires_in > Duration::from_mins(4));
    assert_eq!(store.note_use(key.name(), Duration::ZERO, lives.whole * 2).await, Ok(Some(1)));
    let after = found(store, &key).await;
    assert!(after.expires_in <= after.ends_in && after.ends_in <= before.ends_in);
    assert!(after.expires_in > Duration::from_mins(19));
}

async fn a_life_ends(store: &Store) {
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(100));
    let idle = created_for(store, b"idle", Lives { whole: long, idle: short }).await;
    let whole = created_for(store, b"whole", Lives { whole: short, idle: long }).await;
    until_done("both lives end", async || {
        is_gone(store, &idle).await && is_gone(store, &whole).await
    })
    .await;
}

async fn an_attempt_is_seen_until_the_next_generation(one: &Store, other: &Store) {
    let key = created(one, b"one").await;
    assert_eq!(one.note_attempt(key.name(), 2).await, Ok(false), "not the one that is there");
    assert_eq!(one.note_attempt(key.name(), 1).await, Ok(true));
    let seen = found(other, &key).await.attempted_ago.expect("an attempt");
    assert!(seen < Duration::from_mins(1));
    assert!(matches!(one.replace(&key, 2, b"two").await, Ok(Replaced::Stored)));
    assert!(found(other, &key).await.attempted_ago.is_none());
}

async fn a_lock_has_one_owner(one: &Store, other: &Store) {
    let name = new_key().name();
    let long = Duration::from_mins(1);
    let (mine, theirs) = (LockToken::generate(), LockToken::generate());
    assert_eq!(one.lock(name, &mine, long).await, Ok(Lock::Ours));
    assert_eq!(one.lock(name, &mine, long).await, Ok(Lock::Ours), "the owner prolongs it");
    let Ok(Lock::Held(remaining)) = other.lock(name, &theirs, long).await else {
        panic!("it is taken");
    };
    assert!(remaining > long / 2 && remaining <= long);
    assert_eq!(
        other.unlock(name, &theirs, Attempt::Over).await,
        Ok(false),
        "only the owner gives it back"
    );
    assert_eq!(one.unlock(name, &mine, Attempt::Over).await, Ok(true));
    assert_eq!(other.lock(name, &theirs, long).await, Ok(Lock::Ours));
    assert_eq!(one.unlock(name, &mine, Attempt::Over).await, Ok(false), "it is another's now");
}

async fn a_lock_outlives_a_dead_owner_by_its_time_only(one: &Store, other: &Store) {
    let name = new_key().name();
    let short = Duration::from_millis(200);
    let begun = Instant::now();
    assert_eq!(one.lock(name, &LockToken::generate(), short).await, Ok(Lock::Ours));
    let token = LockToken::generate();
    let next = async || other.lock(name, &token, LIVES.idle).await == Ok(Lock::Ours);
    until_done("the lock ends by itself", next).await;
    assert!(begun.elapsed() > short / 2, "not before its time");
}

fn somebody() -> PersonKey {
    PersonKey::new(&Sealer::new(&[CookieSecret::new(random())]), "somebody")
}

async fn the_longest_unused_of_a_person_are_too_many(one: &Store, other: &Store) {
    let person = somebody();
    let names = [new_key().name(), new_key().name(), new_key().name(), new_key().name()];
    for name in &names[..3] {
        assert_eq!(one.join_person(&person, *name, LIVES, 3).await, Ok(Vec::new()));
        // The store tells uses apart by its clock, in milliseconds.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    one.note_person_use(&person, names[0], Duration::ZERO).await.expect("up");
    tokio::time::sleep(Duration::from_millis(3)).await;
    let late = LIVES.idle.saturating_sub(Duration::from_mins(1));
    other.note_person_use(&person, names[2], late).await.expect("up");
    let surplus = other.join_person(&person, names[3], LIVES, 3).await;
    assert_eq!(surplus, Ok(vec![names[1]]), "the first was used since, the third is younger");
    other.leave_person(&person, &[names[1]]).await.expect("up");
    let surplus = other.join_person(&person, names[1], LIVES, 1).await;
    assert_eq!(surplus, Ok(vec![names[2], names[0], names[3]]));
}

async fn those_that_left_or_died_do_not_count(store: &Store) {
    let person = somebody();
    let (short, long) = (Duration::from_millis(50), Duration::from_mins(1));
    let [left, ended, unused, last] = [(); 4].map(|()| new_key().name());
    let lives = |whole, idle| Lives { whole, idle };
    for (name, lives) in [(left, LIVES), (ended, lives(short, long))] {
        assert_eq!(store.join_person(&person, name, lives, 10).await, Ok(Vec::new()));
    }
    store.leave_person(&person, &[left]).await.expect("up");
    store.leave_person(&person, &[]).await.expect("nobody leaves");
    until_done("the lives are over", async || {
        let brief = lives(long, Duration::from_millis(30));
        store.join_person(&person, unused, brief, 10).await.expect("up");
        tokio::time::sleep(Duration::from_millis(60)).await;
        store.join_person(&person, last, brief, 1).await == Ok(Vec::new())
    })
    .await;
}

/// The next change of this record, or of everything.
async fn heard(changes: &mut Changes, key: &RecordKey) -> Change {
    loop {
        match changes.next().await {
            Change::Changed { name, .. } | Change::Removed { name } if name != key.name() => {}
            change => return change,
        }
    }
}

async fn changes_are_heard_by_others_within_a_second(one: &Store, other: &Store) {
    let key = created(one, b"one").await;
    let name = key.name();
    let (mut own, mut theirs) = (one.changes(), other.changes());
    let begun = Instant::now();
    assert!(matches!(one.replace(&key, 2, b"two").await, Ok(Replaced::Stored)));
    assert_eq!(heard(&mut theirs, &key).await, Change::Changed { name, generation: 2 });
    one.remove(name).await.expect("up");
    assert_eq!(heard(&mut theirs, &key).await, Change::Removed { name });
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // What the other does comes after our own, which is not told to us.
    other.remove(name).await.expect("up");
    assert_eq!(heard(&mut own, &key).await, Change::Removed { name });
}

async fn the_count_is_roughly_right(store: &Store) {
    let before = store.count().await.expect("up");
    let mut keys = Vec::new();
    for _ in 0..300 {
        keys.push(created(store, b"value").await);
        store.lock(keys[0].name(), &LockToken::generate(), LIVES.idle).await.expect("up");
    }
    let added = store.count().await.expect("up") - before;
    assert!((200..400).contains(&added), "{added} of 300");
}

#[tokio::test]
async fn a_record_that_was_put_under_another_name_is_damaged() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let store = stage.replica().await;
    let (key, target) = (created(&store, b"mine").await, created(&store, b"theirs").await);
    let keys = stage.servers[0].tell(&["KEYS", "cop:r:*"]);
    let (one, two) = keys.split_once('\n').expect("two records");
    stage.servers[0].tell(&["COPY", one, two, "REPLACE"]);
    let outcomes = [store.load(&key).await.err(), store.load(&target).await.err()];
    assert!(outcomes.contains(&None) && outcomes.contains(&Some(StoreError::Damaged)));
}

#[tokio::test]
async fn a_record_whose_generation_was_changed_is_damaged() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let store = stage.replica().await;
    let key = created(&store, b"mine").await;
    let name = stage.servers[0].tell(&["KEYS", "cop:r:*"]);
    stage.servers[0].tell(&["HSET", &name, "g", "2"]);
    assert!(matches!(store.load(&key).await, Err(StoreError::Damaged)));
}
