//! Many who need a new token at the same moment, at both replicas.
#![allow(clippy::print_stdout, reason = "the figures are for whoever asks for them")]

use tokio::task::JoinSet;

use super::*;
use crate::harness::wire::get;

/// As long as a Bitbucket takes that is busy.
const BUSY: Duration = Duration::from_secs(3);

/// A request of each; how many answers were good.
async fn all_ask(clients: impl IntoIterator<Item = Client>) -> usize {
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

fn cycled(clients: &[Client], number: usize) -> Vec<Client> {
    clients.iter().cycle().take(number).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_at_two_replicas_cost_one_refresh() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let clients = pair.machines(&browser);
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::Slow(BUSY));
    let began = Instant::now();
    let good = all_ask(cycled(&clients, 200)).await;
    let asked = pair.stage.bitbucket.count(Call::Refresh);
    println!(
        "200 requests, 1 session, 2 replicas: {asked} token request, {good} good answers, {:?}",
        began.elapsed()
    );
    assert_eq!((asked, good), (1, 200));
    assert_eq!(all_ask(clients).await, 2, "who comes late");
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_goes_on_for_both_when_the_client_that_began_it_has_gone() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let clients = pair.machines(&browser);
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::SlowAnswer(BUSY));
    let mut first = clients[0].open().await;
    first.send(get("/first", &clients[0].lines())).await;
    pair.stage.bitbucket.wait_for(Call::Refresh, 1).await;
    drop(first);
    wait_until("nobody waits", async || pair.stage.metric("refresh_waiters").await == 0.0).await;
    let good = all_ask(cycled(&clients, 200)).await;
    let asked = pair.stage.bitbucket.count(Call::Refresh);
    println!(
        "200 requests, 2 replicas, the first client gone: {asked} token request, {good} good \
         answers"
    );
    assert_eq!((asked, good), (1, 200));
    assert!(pair.stage.codescan.requests_to("/first").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_at_two_replicas_are_refreshed_each_of_them_once() {
    const SESSIONS: usize = 1000;
    let pair = Pair::with(|settings| {
        settings.set("session.per_person", "2000");
    })
    .await;
    let Some(pair) = pair else { return };
    pair.in_step().await;
    pair.stage.bitbucket.faults(|it| it.access_token_lifetime = SHORT);
    let mut clients = Vec::new();
    while clients.len() < 2 * SESSIONS {
        let mut logins = JoinSet::new();
        for _ in 0..40 {
            let mut browser = pair.stage.browser();
            logins.spawn(async move {
                let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
                assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
                browser
            });
        }
        let browsers = logins.join_all().await;
        clients.extend(browsers.iter().flat_map(|browser| pair.machines(browser)));
    }
    until_expired().await;
    pair.stage.bitbucket.faults(|it| {
        it.access_token_lifetime = HOUR;
        it.refresh = TokenFault::Slow(BUSY);
    });
    let began = Instant::now();
    let good = all_ask(clients).await;
    let asked = pair.stage.bitbucket.count(Call::Refresh);
    println!(
        "{SESSIONS} sessions, a request of each at each of 2 replicas: {asked} token requests, \
         {good} good answers, {:?}",
        began.elapsed()
    );
    assert_eq!((asked, good), (SESSIONS, 2 * SESSIONS));
}
