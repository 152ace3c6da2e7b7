//! The store is down, stands still, forgets or fails over, under load: an outage is never a logout.
#![allow(clippy::print_stdout, reason = "the figures are for whoever asks for them")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::*;

/// Requests again and again, at each of these in turn.
struct Load {
    over: Arc<AtomicBool>,
    answers: Vec<JoinHandle<BTreeMap<u16, usize>>>,
}

impl Load {
    const CLIENTS: usize = 8;

    fn of(clients: &[Client]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let answers = (0..Self::CLIENTS).map(|number| {
            let (over, clients) = (Arc::clone(&over), clients.to_vec());
            tokio::spawn(async move {
                let mut answers = BTreeMap::new();
                for client in clients.iter().cycle().skip(number) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let status = client.get("/bytes/3").await.status.as_u16();
                    *answers.entry(status).or_default() += 1;
                }
                answers
            })
        });
        Self { answers: answers.collect(), over }
    }

    /// How many answers of each status there were.
    async fn end(self) -> BTreeMap<u16, usize> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for answers in self.answers {
            for (status, number) in answers.await.expect("a task of ours") {
                *all.entry(status).or_default() += number;
            }
        }
        all
    }
}

fn assert_only(answers: &BTreeMap<u16, usize>, allowed: &[u16]) {
    assert!(answers.keys().all(|status| allowed.contains(status)), "{answers:?}");
    assert!(answers.get(&200).is_some_and(|number| *number > 20), "{answers:?}");
}

async fn is_degraded(pair: &Pair) {
    wait_until("the outage shows", async || {
        let [first, second] =
            [pair.stage.admin("/readyz?verbose").await, pair.second_admin("/readyz?verbose").await];
        let shows = |answer: &Answer| {
            assert_eq!(answer.status, StatusCode::OK, "those who are known are served");
            answer.text().contains("[-]store failed") && answer.text().contains("degraded")
        };
        shows(&first) && shows(&second)
    })
    .await;
}

/// Signed in people whom both replicas know, and those whom only the first does.
async fn known(pair: &Pair, number: usize) -> (Vec<Client>, Vec<Client>) {
    let (mut at_both, mut at_one) = (Vec::new(), Vec::new());
    for _ in 0..number {
        let [first, second] = pair.machines(&pair.signed_in_for("jcitizen", HOUR).await);
        assert_eq!(second.get("/bytes/3").await.status, StatusCode::OK);
        at_both.extend([first, second]);
        let [_, second] = pair.machines(&pair.signed_in_for("asmith", HOUR).await);
        at_one.push(second);
    }
    (at_both, at_one)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_dies_and_comes_back_logs_nobody_out() {
    let Some(mut pair) = Pair::with_kept_data().await else { return };
    pair.in_step().await;
    let (at_both, at_one) = known(&pair, 5).await;
    let load = Load::of(&at_both);
    pair.redis.kill();
    is_degraded(&pair).await;
    for client in &at_one {
        assert_store_unavailable(&client.get("/project").await);
        assert_store_unavailable(&client.get(USERINFO).await);
        assert_eq!(client.get("/api/server/version").await.status, StatusCode::OK, "public");
    }
    assert_eq!(pair.stage.client().get("/project").await.status, StatusCode::UNAUTHORIZED);
    let errors = pair.stage.metric("session_store_errors_total").await;
    assert!(errors > 0.0);
    pair.redis.launch();
    pair.in_step().await;
    for client in &at_one {
        assert_eq!(user(client).await.as_deref(), Some("asmith"));
    }
    let answers = load.end().await;
    println!("the store dies and comes back, answers of those who were known: {answers:?}");
    assert_only(&answers, &[200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_logs_nobody_out() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let (at_both, at_one) = known(&pair, 5).await;
    let load = Load::of(&at_both);
    pair.redis.pause();
    is_degraded(&pair).await;
    for client in &at_one {
        assert_store_unavailable(&client.get("/project").await);
    }
    pair.redis.resume();
    pair.in_step().await;
    for client in &at_one {
        wait_until("all is well", async || user(client).await.as_deref() == Some("asmith")).await;
    }
    let answers = load.end().await;
    println!("the store stands still, answers of those who were known: {answers:?}");
    assert_only(&answers, &[200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgets_ends_sessions_and_nothing_else() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let (at_both, _) = known(&pair, 2).await;
    let load = Load::of(&at_both);
    pair.redis.tell(&["FLUSHALL"]);
    let browser = pair.signed_in_for("jcitizen", HOUR).await;
    for client in pair.machines(&browser) {
        assert_eq!(user(&client).await.as_deref(), Some("jcitizen"), "a new login is good");
    }
    let answers = load.end().await;
    println!("the store forgets, answers of those who were known: {answers:?}");
    assert!(answers.keys().all(|status| [200, 401].contains(status)), "{answers:?}");
}

#[tokio::test]
async fn during_an_outage_tokens_are_kept_and_logins_are_told() {
    let Some(mut pair) = Pair::with_kept_data().await else { return };
    pair.in_step().await;
    let browser = pair.signed_in_for("jcitizen", SHORT).await;
    let [first, second] = pair.machines(&browser);
    for client in [&first, &second] {
        assert_eq!(user(client).await.as_deref(), Some("jcitizen"));
    }
    let mut late = pair.stage.browser();
    let way_back = late.go_to_bitbucket_and_agree("/", "asmith").await;
    let refreshed = pair.stage.bitbucket.count(Call::Refresh);
    pair.redis.kill();
    is_degraded(&pair).await;
    until_expired().await;
    assert_store_unavailable(&second.get("/project").await);
    let answer = late.get(&way_back).await;
    assert_store_unavailable(&answer);
    let exchanged = pair.stage.bitbucket.count(Call::TokenExchange);
    assert_eq!(exchanged, 1, "the code is unspent");
    pair.redis.launch();
    pair.in_step().await;
    wait_until("all is well", async || second.get("/project").await.status == StatusCode::OK).await;
    assert_eq!(first.get("/project").await.status, StatusCode::OK);
    assert!(pair.stage.bitbucket.count(Call::Refresh) <= refreshed + 1);
    assert_eq!(late.get(&way_back).await.status, StatusCode::FOUND, "a reload completes it");
}

#[tokio::test]
async fn a_logout_during_an_outage_holds_when_it_is_over() {
    let Some(mut pair) = Pair::with_kept_data().await else { return };
    pair.in_step().await;
    let mut browser = pair.signed_in_for("jcitizen", HOUR).await;
    let [first, second] = pair.machines(&browser);
    assert_eq!(user(&second).await.as_deref(), Some("jcitizen"));
    pair.redis.kill();
    is_degraded(&pair).await;
    assert_eq!(browser.post_form(LOGOUT, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(first.get("/project").await.status, StatusCode::UNAUTHORIZED);
    pair.redis.launch();
    for client in [&first, &second] {
        wait_until("it holds", async || {
            client.get("/project").await.status == StatusCode::UNAUTHORIZED
        })
        .await;
    }
}

#[tokio::test]
async fn tokens_that_came_during_an_outage_are_stored_after_it() {
    let Some(mut pair) = Pair::with_kept_data().await else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::SlowAnswer(Duration::from_secs(1)));
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { first.get("/project").await }
    });
    pair.stage.bitbucket.wait_for(Call::Refresh, 1).await;
    pair.redis.kill();
    assert_eq!(waiting.await.expect("an answer").status, StatusCode::OK);
    is_degraded(&pair).await;
    assert_eq!(first.get("/project").await.status, StatusCode::OK, "goes on with what it has");
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    pair.redis.launch();
    wait_until("all is well", async || {
        let answer = second.get("/project").await;
        let is_well = answer.status == StatusCode::OK;
        assert!(is_well || answer.status.is_server_error(), "{}", answer.status);
        is_well
    })
    .await;
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1);
}

#[tokio::test]
async fn a_store_that_is_down_at_the_start_does_not_stop_it() {
    let Some(mut pair) = Pair::with_kept_data().await else { return };
    pair.in_step().await;
    let browser = pair.signed_in_for("jcitizen", HOUR).await;
    pair.redis.kill();
    let third = replica(&pair.stage).await;
    let client = Client::new(&third.origin(), pair.stage.evidence.clone());
    let known = client.clone().with("cookie", &browser.cookie_header());
    assert_store_unavailable(&known.get("/project").await);
    assert_eq!(client.get("/api/server/version").await.status, StatusCode::OK);
    pair.redis.launch();
    wait_until("all is well", async || user(&known).await.as_deref() == Some("jcitizen")).await;
}

#[tokio::test]
async fn who_says_so_is_unready_without_the_store() {
    let pair = Pair::with(|settings| {
        settings.set("admin.ready_needs", "[\"codescan\", \"store\"]");
    })
    .await;
    let Some(mut pair) = pair else { return };
    pair.in_step().await;
    pair.redis.kill();
    wait_until("it is unready", async || {
        pair.stage.admin("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
}
