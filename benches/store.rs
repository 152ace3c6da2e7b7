//! What an operation of the shared store costs: the median of its round trip, one at a time, and
//! the CPU time of this side where 64 are under way.
//!
//! ```text
//! cargo bench --bench store
//! ```
//!
//! It starts a redis-server of its own on loopback and ends it. Run it on a machine that does
//! nothing else.
#![allow(clippy::print_stdout, reason = "figures are for people")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use codescan_oauth_proxy::config::settings::{RedisAddress, RedisCredentials, RedisKind};
use codescan_oauth_proxy::seal;
use codescan_oauth_proxy::store::{Condition, Lives, LockToken, RecordKey, Store};
use futures_util::future::join_all;

/// About the size of a session with its tokens.
const VALUE: [u8; 2048] = [7; 2048];
const LIVES: Lives = Lives { whole: Duration::from_hours(1), idle: Duration::from_hours(1) };
const ALONE: usize = 5_000;
const TASKS: usize = 64;
const OF_EACH_TASK: usize = 500;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Create,
    Load,
    Replace,
    NoteUse,
    Lock,
    Remove,
}

use Operation::{Create, Load, Lock, NoteUse, Remove, Replace};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One thread, so that its CPU time is that of the client.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (_server, address) = start();
    let store = Store::open(address, None);
    while store.health().condition != Condition::Up {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{:<10} {:>12} {:>26}", "operation", "alone, µs", "64 at a time, CPU in µs");
    for operation in [Create, Load, Replace, NoteUse, Lock, Remove] {
        let alone = alone(&store, operation).await;
        let cpu = together(&store, operation).await;
        println!("{:<10} {alone:>12.1} {cpu:>26.1}", format!("{operation:?}"));
    }
}

/// On a free port; ended when the first of the two is dropped.
fn start() -> (Server, RedisAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let address = RedisAddress {
        kind: RedisKind::Single,
        tls: false,
        hosts: vec![("127.0.0.1".to_owned(), port)],
        credentials: RedisCredentials::default(),
        database: 0,
    };
    (Server(process), address)
}

/// Median round trip in microseconds.
async fn alone(store: &Store, operation: Operation) -> f64 {
    let keys = created(store, ALONE).await;
    let mut times = Vec::with_capacity(ALONE);
    for key in &keys {
        let begun = Instant::now();
        run(store, operation, key).await;
        times.push(begun.elapsed());
    }
    times.sort();
    times[ALONE / 2].as_secs_f64() * 1e6
}

/// CPU time of this process for one of many, in microseconds.
async fn together(store: &Store, operation: Operation) -> f64 {
    let keys = created(store, TASKS * OF_EACH_TASK).await;
    let before = cpu_time();
    let tasks = keys.chunks(OF_EACH_TASK).map(async |keys| {
        for key in keys {
            run(store, operation, key).await;
        }
    });
    join_all(tasks).await;
    (cpu_time() - before) * 1e6 / f64::from(u32::try_from(keys.len()).unwrap_or(u32::MAX))
}

async fn created(store: &Store, number: usize) -> Vec<RecordKey> {
    let mut keys = Vec::with_capacity(number);
    for _ in 0..number {
        let key = RecordKey::of_id(&seal::random());
        store.create(&key, 1, &VALUE, LIVES).await.expect("it is up");
        keys.push(key);
    }
    keys
}

async fn run(store: &Store, operation: Operation, key: &RecordKey) {
    let outcome = match operation {
        Create => {
            let key = RecordKey::of_id(&seal::random());
            store.create(&key, 1, &VALUE, LIVES).await.map(drop)
        }
        Load => store.load(key).await.map(drop),
        Replace => store.replace(key, 2, &VALUE).await.map(drop),
        NoteUse => store.note_use(key.name(), Duration::ZERO, LIVES.idle).await.map(drop),
        Lock => store.lock(key.name(), &LockToken::generate(), LIVES.idle).await.map(drop),
        Remove => store.remove(key.name()).await.map(drop),
    };
    outcome.expect("it is up");
}

/// Seconds that this thread has run (proc(5), schedstat).
fn cpu_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds: f64 = text.split(' ').next().expect("a number").parse().expect("a number");
    nanoseconds / 1e9
}
