//! Replicas that want the same at the same time.

use std::sync::Arc;
use std::time::Duration;

use codescan_oauth_proxy::store::{Lock, LockToken, Replaced, Store};

use crate::server;
use crate::stage::{Kind, LIVES, Stage, new_key};

const ROUNDS: u64 = 100;

async fn replicas<const N: usize>(stage: &Stage) -> [Arc<Store>; N] {
    let mut replicas = Vec::new();
    for _ in 0..N {
        replicas.push(Arc::new(stage.replica().await));
    }
    replicas.try_into().unwrap_or_else(|_| unreachable!("as many"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_replace_one_wins_and_the_other_gets_its_value() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let [one, other] = replicas(&stage).await;
    let key = new_key();
    assert!(one.create(&key, 0, b"start", LIVES).await.expect("up"));
    for generation in 1..=ROUNDS {
        let (mine, theirs) = tokio::join!(
            one.replace(&key, generation, b"mine"),
            other.replace(&key, generation, b"theirs"),
        );
        match (mine.expect("up"), theirs.expect("up")) {
            (Replaced::Stored, Replaced::Newer(winner)) => assert_eq!(*winner.value, b"mine"),
            (Replaced::Newer(winner), Replaced::Stored) => assert_eq!(*winner.value, b"theirs"),
            _ => panic!("generation {generation} was stored by both or by none"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_want_a_lock_one_gets_it() {
    if server::is_missing() {
        return;
    }
    let stage = Stage::new(Kind::Single);
    let replicas: [_; 3] = replicas(&stage).await;
    let name = new_key().name();
    let mut wishes = tokio::task::JoinSet::new();
    for wish in 0..99 {
        let store = replicas[wish % replicas.len()].clone();
        wishes.spawn(async move {
            store.lock(name, &LockToken::generate(), Duration::from_mins(1)).await
        });
    }
    let outcomes = wishes.join_all().await;
    let owners = outcomes.iter().filter(|outcome| **outcome == Ok(Lock::Ours)).count();
    let losers = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Lock::Held(_)))).count();
    assert_eq!((owners, losers), (1, 98));
}
