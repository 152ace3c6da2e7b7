//! Many who need a new token at the same moment.
#![allow(clippy::print_stdout, reason = "the figures are for whoever asks for them")]

use std::time::{Duration, Instant};

use http::StatusCode;
use simulator::bitbucket::{Call, TokenFault};
use tokio::task::JoinSet;

use super::{SHORT, machine, signed_in_for, until_expired, with_an_expired_token};
use crate::harness::wire::get;
use crate::harness::{Client, Stage, wait_until};

/// As long as a Bitbucket takes that is busy.
const BUSY: Duration = Duration::from_secs(3);

/// A request of each; how many answers were good.
async fn all_ask(clients: Vec<Client>) -> usize {
    let mut asking = JoinSet::new();
    for client in clients {
        asking.spawn(async move {
            let answer = client.get("/bytes/3").await;
            let is_good = answer.status == StatusCode::OK;
            assert!(is_good, "{} {}", answer.status, answer.text());
            is_good
        });
    }
    asking.join_all().await.into_iter().filter(|is_good| *is_good).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_on_an_expired_token_cost_one_refresh() {
    let stage = Stage::set().await;
    let browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.faults(|it| it.refresh = TokenFault::Slow(BUSY));
    let began = Instant::now();
    let good = all_ask(vec![machine(&stage, &browser); 200]).await;
    let asked = stage.bitbucket.count(Call::Refresh);
    println!(
        "200 requests, 1 session: {asked} token request, {good} good answers, {:?}",
        began.elapsed()
    );
    assert_eq!((asked, good), (1, 200));
    assert_eq!(all_ask(vec![machine(&stage, &browser)]).await, 1, "who comes late");
    assert_eq!(stage.bitbucket.count(Call::Refresh), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_goes_on_when_the_client_that_began_it_has_gone() {
    let stage = Stage::set().await;
    let browser = with_an_expired_token(&stage, "jcitizen").await;
    let session = machine(&stage, &browser);
    stage.bitbucket.faults(|it| it.refresh = TokenFault::SlowAnswer(BUSY));
    let mut first = session.open().await;
    first.send(get("/first", &session.lines())).await;
    stage.bitbucket.wait_for(Call::Refresh, 1).await;
    drop(first);
    wait_until("nobody waits", async || stage.metric("refresh_waiters").await == 0.0).await;
    let good = all_ask(vec![session; 200]).await;
    let asked = stage.bitbucket.count(Call::Refresh);
    println!("200 requests, the first client gone: {asked} token request, {good} good answers");
    assert_eq!((asked, good), (1, 200));
    assert!(stage.codescan.requests_to("/first").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_are_refreshed_at_once_each_of_them_once() {
    const SESSIONS: usize = 1000;
    let stage = Stage::with(|settings| {
        settings.set("session.per_person", "2000");
    })
    .await;
    let browser = signed_in_for(&stage, "jcitizen", SHORT).await;
    let mut clients = vec![machine(&stage, &browser)];
    stage.bitbucket.faults(|it| it.access_token_lifetime = SHORT);
    while clients.len() < SESSIONS {
        let mut logins = JoinSet::new();
        for _ in 0..37 {
            let (mut browser, client) = (stage.browser(), stage.client());
            logins.spawn(async move {
                let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
                assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
                client.with("cookie", &browser.cookie_header())
            });
        }
        clients.extend(logins.join_all().await);
    }
    until_expired().await;
    stage.bitbucket.faults(|it| {
        it.access_token_lifetime = Duration::from_hours(1);
        it.refresh = TokenFault::Slow(BUSY);
    });
    let began = Instant::now();
    let good = all_ask(clients).await;
    let asked = stage.bitbucket.count(Call::Refresh);
    println!(
        "{SESSIONS} sessions: {asked} token requests, {good} good answers, {:?}",
        began.elapsed()
    );
    assert_eq!((asked, good), (SESSIONS, SESSIONS));
    wait_until("all are counted", async || stage.metric("sessions").await == 1000.0).await;
}
