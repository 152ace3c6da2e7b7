//! Two replicas that share a store work as one.

mod crowds;
mod outages;
mod secrecy;
mod takeovers;

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use simulator::bitbucket::{Call, TokenFault};

use crate::harness::redis::{Options, Server, is_missing};
use crate::harness::{
    Answer, Browser, Client, LOGOUT, Proxy, Settings, Stage, USERINFO, wait_until,
};

/// The life of a token that is to expire in a test.
const SHORT: Duration = Duration::from_secs(1);

const HOUR: Duration = Duration::from_hours(1);

/// A stage with one replica more, and what both share.
struct Pair {
    stage: Stage,
    second: Proxy,
    redis: Server,
}

impl Pair {
    /// Nothing where there is no redis-server, which is then said.
    async fn set() -> Option<Self> {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Option<Self> {
        Self::around(Options::default(), change).await
    }

    /// With a store that has everything again when it is started again.
    async fn with_kept_data() -> Option<Self> {
        let lines = ["appendonly yes", "appendfsync always"].map(str::to_owned).to_vec();
        Self::around(Options { lines, ..Options::default() }, |_| {}).await
    }

    async fn around(options: Options, change: impl FnOnce(&mut Settings)) -> Option<Self> {
        if is_missing() {
            return None;
        }
        let redis = Server::start(&options);
        let stage = Stage::with(|settings| {
            settings.shared_store(redis.port);
            change(settings);
        })
        .await;
        let second = replica(&stage).await;
        Some(Self { stage, second, redis })
    }

    /// Signs in at the first replica, with a token of this life; all others live an hour.
    async fn signed_in_for(&self, slug: &str, life: Duration) -> Browser {
        self.stage.bitbucket.faults(|it| it.access_token_lifetime = life);
        let mut browser = self.stage.browser();
        let way_back = browser.go_to_bitbucket_and_agree("/", slug).await;
        assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
        self.stage.bitbucket.faults(|it| it.access_token_lifetime = HOUR);
        browser
    }

    async fn with_an_expired_token(&self, slug: &str) -> Browser {
        let browser = self.signed_in_for(slug, SHORT).await;
        until_expired().await;
        browser
    }

    /// A machine with the browser's cookies, at each of the two.
    fn machines(&self, browser: &Browser) -> [Client; 2] {
        let cookie = browser.cookie_header();
        [self.stage.proxy.origin(), self.second.origin()]
            .map(|origin| Client::new(&origin, self.stage.evidence.clone()).with("cookie", &cookie))
    }

    async fn second_admin(&self, path: &str) -> Answer {
        Client::new(&self.second.admin_origin(), self.stage.evidence.clone()).get(path).await
    }

    /// Until the replicas hear of each other's changes.
    async fn in_step(&self) {
        for proxy in [&self.stage.proxy, &self.second] {
            let admin = Client::new(&proxy.admin_origin(), self.stage.evidence.clone());
            wait_until("the store answers", async || {
                admin.get("/readyz?verbose").await.text().contains("[+]store ok")
            })
            .await;
        }
    }
}

/// One more proxy with the first one's settings, behind the same public URL.
async fn replica(stage: &Stage) -> Proxy {
    let mut settings = stage.proxy.settings().clone();
    settings.remove("server.listen");
    Proxy::start(settings, &stage.evidence).await
}

/// To look at a session would be to have it refreshed, so the clock is looked at.
async fn until_expired() {
    let since = Instant::now();
    wait_until("the token has expired", async || since.elapsed() > SHORT).await;
}

async fn user(client: &Client) -> Option<String> {
    let answer = client.get(USERINFO).await;
    let is_there = answer.status == StatusCode::OK;
    is_there.then(|| answer.json()["user"].as_str().unwrap_or_default().to_owned())
}

fn assert_store_unavailable(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert_eq!(answer.error_code().as_deref(), Some("session_store_unavailable"));
    assert_eq!(answer.set_cookies(), [""; 0], "the cookie is kept");
    let pause = answer.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(pause.is_some_and(|it| (1..=10).contains(&it)), "{pause:?}");
}

#[tokio::test]
async fn a_login_at_one_is_a_login_at_both_and_so_is_a_logout() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let mut browser = pair.signed_in_for("jcitizen", HOUR).await;
    let [first, second] = pair.machines(&browser);
    for client in [&first, &second] {
        assert_eq!(user(client).await.as_deref(), Some("jcitizen"));
        assert_eq!(client.get("/project").await.status, StatusCode::OK);
    }
    let info = |answer: Answer| answer.json()["session_expires_in"].as_u64().expect("seconds");
    let (one, other) = (info(first.get(USERINFO).await), info(second.get(USERINFO).await));
    assert!(one.abs_diff(other) <= 61, "{one} {other}");
    assert_eq!(browser.post_form(LOGOUT, "").await.status, StatusCode::SEE_OTHER);
    let since = Instant::now();
    wait_until("the other knows", async || {
        second.get("/project").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    let elapsed = since.elapsed();
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    assert_eq!(first.get("/project").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_login_begun_at_one_is_finished_at_the_other() {
    let Some(pair) = Pair::set().await else { return };
    let mut browser = pair.stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/there", "jcitizen").await;
    let [_, second] = pair.machines(&browser);
    let answer = second.get(&way_back).await;
    assert_eq!(answer.status, StatusCode::FOUND, "{}", answer.text());
    assert_eq!(answer.location(), format!("{}/there", pair.stage.proxy.public_url()));
}

#[tokio::test]
async fn a_login_that_is_finished_at_both_spends_its_code_once() {
    let Some(pair) = Pair::set().await else { return };
    let mut browser = pair.stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/there", "jcitizen").await;
    pair.stage.bitbucket.faults(|it| it.exchange = TokenFault::Slow(SHORT));
    let [first, second] = pair.machines(&browser);
    let (one, other) = tokio::join!(first.get(&way_back), second.get(&way_back));
    let late = second.get(&way_back).await;
    for answer in [one, other, late] {
        assert_eq!(answer.status, StatusCode::FOUND, "{}", answer.text());
        let cookie = answer.sets("codescan_session").expect("a session").value().to_owned();
        let session = pair.stage.client().with("cookie", &format!("codescan_session={cookie}"));
        assert_eq!(user(&session).await.as_deref(), Some("jcitizen"));
    }
    assert_eq!(pair.stage.bitbucket.count(Call::TokenExchange), 1);
}

#[tokio::test]
async fn a_restart_logs_nobody_out() {
    let Some(mut pair) = Pair::set().await else { return };
    let browser = pair.signed_in_for("jcitizen", HOUR).await;
    pair.stage.restart_proxy(|_| {}).await;
    let [first, _] = pair.machines(&browser);
    assert_eq!(user(&first).await.as_deref(), Some("jcitizen"));
}

#[tokio::test]
async fn nobody_has_more_sessions_than_the_setting_lets_whoever_made_them() {
    let pair = Pair::with(|settings| {
        settings.set("session.per_person", "2");
    })
    .await;
    let Some(pair) = pair else { return };
    pair.in_step().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let browser = pair.signed_in_for("jcitizen", HOUR).await;
        sessions.push(pair.machines(&browser));
    }
    for client in &sessions[0] {
        wait_until("the first has ended", async || user(client).await.is_none()).await;
    }
    for client in sessions[1..].iter().flatten() {
        assert_eq!(user(client).await.as_deref(), Some("jcitizen"));
    }
    let ended = "sessions_evicted_total{reason=\"per_person\"}";
    assert_eq!(pair.stage.metric(ended).await, 1.0);
}

#[tokio::test]
async fn those_too_many_are_known_to_a_replica_that_never_saw_them() {
    let pair = Pair::with(|settings| {
        settings.set("session.per_person", "2");
    })
    .await;
    let Some(mut pair) = pair else { return };
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(pair.machines(&pair.signed_in_for("jcitizen", HOUR).await)[0].clone());
        // It holds none of them any more.
        pair.stage.restart_proxy(|_| {}).await;
        pair.in_step().await;
    }
    for client in &sessions[..2] {
        assert_eq!(user(client).await, None);
    }
    for client in &sessions[2..] {
        assert_eq!(user(client).await.as_deref(), Some("jcitizen"));
    }
}

#[tokio::test]
async fn a_refresh_at_one_is_a_refresh_at_both() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let browser = pair.signed_in_for("jcitizen", SHORT).await;
    let clients = pair.machines(&browser);
    for client in &clients {
        assert_eq!(user(client).await.as_deref(), Some("jcitizen"), "both hold it");
    }
    until_expired().await;
    for client in clients.iter().cycle().take(6) {
        let answer = client.get("/project").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1);
    let tokens: Vec<_> = pair.stage.codescan.requests_to("/project");
    let live = |it: &simulator::Received| {
        let token = it.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
        token.is_some_and(|token| pair.stage.bitbucket.person_of(token).is_some())
    };
    assert!(tokens.iter().all(live), "all bear the live token");
}

#[tokio::test]
async fn whom_bitbucket_deactivates_is_out_at_both() {
    let Some(pair) = Pair::set().await else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    pair.stage.bitbucket.deactivate_user("jcitizen");
    assert_eq!(first.get("/project").await.status, StatusCode::UNAUTHORIZED);
    wait_until("the other knows", async || {
        second.get("/project").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
}

#[tokio::test]
async fn a_new_name_is_known_at_both() {
    let pair = Pair::with(|settings| {
        settings.header("X-Name", "{display_name}");
    })
    .await;
    let Some(pair) = pair else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    pair.stage.bitbucket.people(|all| {
        for person in all.iter_mut().filter(|person| person.name == "jcitizen") {
            person.display_name = "Jane Married".to_owned();
        }
    });
    assert_eq!(first.get("/project").await.status, StatusCode::OK);
    wait_until("the other knows", async || {
        second.get("/name").await;
        pair.stage.received("/name").header("x-name") == Some("Jane Married")
    })
    .await;
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1);
}

#[tokio::test]
async fn a_stranger_with_a_made_up_cookie_gets_no_session() {
    let Some(pair) = Pair::set().await else { return };
    let client =
        pair.stage.client().with("cookie", &format!("codescan_session={}", "A".repeat(43)));
    assert_eq!(client.get("/project").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(client.send(Method::GET, USERINFO, &[], "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_replica_that_ends_has_under_way_is_kept() {
    let Some(mut pair) = Pair::set().await else { return };
    pair.in_step().await;
    let browser = pair.with_an_expired_token("jcitizen").await;
    let [first, second] = pair.machines(&browser);
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::SlowAnswer(Duration::from_secs(2)));
    let waiting = tokio::spawn(async move { first.try_get("/project").await });
    pair.stage.bitbucket.wait_for(Call::Refresh, 1).await;
    pair.stage.proxy.signal("TERM");
    assert!(pair.stage.proxy.ended().await.success());
    drop(waiting.await);
    pair.stage.bitbucket.faults(|it| it.refresh = TokenFault::None);
    assert_eq!(second.get("/project").await.status, StatusCode::OK);
    assert_eq!(pair.stage.bitbucket.count(Call::Refresh), 1);
}
