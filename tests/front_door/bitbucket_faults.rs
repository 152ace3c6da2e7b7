//! What goes wrong at Bitbucket during a login: what people are told, and that it heals.

use std::time::Duration;

use http::{Method, StatusCode};
use simulator::bitbucket::{
    Call, DeadToken, Faults, Person, Pkce, Provider, RestFault, TokenFault, Username,
};
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};

use crate::harness::{Answer, Browser, Stage};

type Switch = fn(&mut Faults);

/// What is switched, the code that people are told, and words of the page.
type Row = (&'static str, Switch, &'static str, &'static [&'static str]);

const UNREACHABLE: &str = "bitbucket_unreachable";
const REJECTED: &str = "bitbucket_rejected_client";
const EXPIRED: &str = "login_expired";

#[tokio::test]
async fn trouble_at_the_token_endpoint() {
    each_is_told_and_heals(&[
        ("500", |it| it.exchange = TokenFault::Html500, UNREACHABLE, &["status", "500"]),
        ("502", |it| it.exchange = TokenFault::Html502, UNREACHABLE, &["502"]),
        ("503", |it| it.exchange = TokenFault::Html503, UNREACHABLE, &["503"]),
        ("429", |it| it.exchange = TokenFault::TooManyRequests(None), UNREACHABLE, &["429"]),
        ("a page", |it| it.exchange = TokenFault::Html200, UNREACHABLE, &["bitbucket.token_url"]),
        ("not OAuth", |it| it.exchange = TokenFault::NotOAuth, UNREACHABLE, &["bitbucket.url"]),
        ("endless", |it| it.exchange = TokenFault::Endless, UNREACHABLE, &["bitbucket.url"]),
        ("cut JSON", |it| it.exchange = TokenFault::Truncated, UNREACHABLE, &["bitbucket.url"]),
        ("no answer", |it| it.exchange = TokenFault::HangUp, UNREACHABLE, &["bitbucket.url"]),
        ("lost", |it| it.exchange = TokenFault::AnswerLost, UNREACHABLE, &["connect"]),
        ("slow", |it| it.exchange = TokenFault::Slow(LONG), UNREACHABLE, &["bitbucket.timeout"]),
        ("hangs", |it| it.exchange = TokenFault::HangAnswer, UNREACHABLE, &["bitbucket.timeout"]),
        ("redirect", |it| it.exchange = redirect(), UNREACHABLE, &["302", "bitbucket.token_url"]),
        ("no provider", |it| it.provider = Provider::Off, UNREACHABLE, &["404", "7.20"]),
    ])
    .await;
}

#[tokio::test]
async fn refusals_of_the_token_endpoint() {
    const CLIENT: &[&str] =
        &["bitbucket.client_id", "bitbucket.client_secret", "Application links"];
    const REDIRECT: &[&str] = &["bitbucket.redirect_url", "/_codescan/oauth2/authorize"];
    const SPENT: &[&str] = &["bitbucket.redirect_url", "Start again"];
    each_is_told_and_heals(&[
        ("client, 401", |it| it.exchange = TokenFault::invalid_client(401), REJECTED, CLIENT),
        ("client, 400", |it| it.exchange = TokenFault::invalid_client(400), REJECTED, CLIENT),
        ("client", |it| it.exchange = error(400, "unauthorized_client"), REJECTED, CLIENT),
        ("redirect", mismatch, "redirect_url_mismatch", REDIRECT),
        ("grant", |it| it.exchange = TokenFault::invalid_grant(None), EXPIRED, SPENT),
        ("grant, why", |it| it.exchange = TokenFault::invalid_grant(Some("old")), EXPIRED, SPENT),
        ("late", |it| it.code_lifetime = Duration::ZERO, EXPIRED, SPENT),
        ("request", |it| it.exchange = error(400, "invalid_request"), UNREACHABLE, &[]),
        ("grant type", |it| it.exchange = error(400, "unsupported_grant_type"), UNREACHABLE, &[]),
        ("scope", |it| it.exchange = error(400, "invalid_scope"), UNREACHABLE, &[]),
        (
            "not now",
            |it| it.exchange = error(503, "temporarily_unavailable"),
            UNREACHABLE,
            &["503"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn trouble_with_who_it_is() {
    const WHOAMI: &[&str] = &["bitbucket.whoami_url"];
    each_is_told_and_heals(&[
        ("500", |it| it.whoami = RestFault::Status(500), UNREACHABLE, &["500"]),
        ("404", |it| it.whoami = RestFault::Status(404), UNREACHABLE, WHOAMI),
        ("429", |it| it.whoami = RestFault::TooManyRequests(None), UNREACHABLE, &["429"]),
        ("a page", |it| it.whoami = RestFault::Html200, UNREACHABLE, WHOAMI),
        ("endless", |it| it.whoami = RestFault::Endless, UNREACHABLE, WHOAMI),
        ("to a login page", |it| it.whoami = RestFault::LoginRedirect, UNREACHABLE, WHOAMI),
        ("no answer", |it| it.whoami = RestFault::HangUp, UNREACHABLE, &["connect"]),
        ("slow", |it| it.whoami = RestFault::Slow(LONG), UNREACHABLE, &["bitbucket.timeout"]),
        ("no name", |it| it.username = Username::Missing, UNREACHABLE, WHOAMI),
        ("anonymous", |it| it.username = Username::Anonymous, UNREACHABLE, WHOAMI),
        ("dead, 401", |it| it.access_token_lifetime = Duration::ZERO, UNREACHABLE, WHOAMI),
        ("dead, 200", dead_and_anonymous, UNREACHABLE, WHOAMI),
        ("users 404", |it| it.users = RestFault::Status(404), UNREACHABLE, &["404"]),
        ("users 500", |it| it.users = RestFault::Status(500), UNREACHABLE, &["500"]),
        ("users 429", |it| it.users = RestFault::TooManyRequests(None), UNREACHABLE, &["429"]),
        ("users, a page", |it| it.users = RestFault::Html200, UNREACHABLE, &["bitbucket.url"]),
        ("users slow", |it| it.users = RestFault::Slow(LONG), UNREACHABLE, &["bitbucket.timeout"]),
    ])
    .await;
}

const LONG: Duration = Duration::from_secs(30);

fn redirect() -> TokenFault {
    TokenFault::Redirect("https://evil.example/token".to_owned())
}

fn mismatch(faults: &mut Faults) {
    faults.exchange = TokenFault::redirect_mismatch();
}

fn error(status: u16, error: &str) -> TokenFault {
    TokenFault::Error { status, error: error.to_owned(), description: None }
}

fn dead_and_anonymous(faults: &mut Faults) {
    faults.access_token_lifetime = Duration::ZERO;
    faults.dead_token = DeadToken::Anonymous;
}

/// Each row: a page, the same as JSON, and when the fault is gone a login that works.
async fn each_is_told_and_heals(table: &[Row]) {
    let stage = Stage::with(|settings| {
        settings.text("bitbucket.timeout", "1s");
    })
    .await;
    for (name, switch, code, words) in table {
        let before = stage.bitbucket.count(Call::TokenExchange);
        stage.bitbucket.faults(switch);
        let script = [("accept", "*/*"), ("sec-fetch-mode", "cors")];
        let (page, json) = tokio::join!(failed_login(&stage, &[]), failed_login(&stage, &script));
        is_told(&page, name, code, words);
        is_told_to_scripts(&json, name, code);
        assert!(stage.bitbucket.count(Call::TokenExchange) <= before + 2, "{name}: once each");
        stage.bitbucket.faults(|faults| *faults = Faults::default());
        assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK, "{name}");
    }
}

async fn failed_login(stage: &Stage, headers: &[(&str, &str)]) -> Answer {
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/there", "jcitizen").await;
    let answer = browser.navigate(Method::GET, &way_back, headers, "").await;
    assert_eq!(browser.cookie("codescan_session"), None);
    answer
}

fn is_told(page: &Answer, name: &str, code: &str, words: &[&str]) {
    assert_eq!(page.error_code().as_deref(), Some(code), "{name}: {}", page.text());
    assert_eq!(page.status, status_of(code), "{name}");
    for word in words {
        assert!(page.text().contains(word), "{name}: no {word} in {}", page.text());
    }
    assert!(!page.text().contains("<code>200</code>"), "{name}: a fault of no status");
    assert!(page.link().ends_with("?rd=/there"), "{name}: {}", page.link());
    assert!(page.text().contains(page.header("x-request-id").expect("an id")), "{name}");
}

fn is_told_to_scripts(answer: &Answer, name: &str, code: &str) {
    assert_eq!(answer.status, status_of(code), "{name}");
    let json = answer.json();
    assert_eq!(json["error"], code, "{name}");
    assert!(json["message"].as_str().is_some_and(|words| words.len() > 20), "{name}: {json}");
    assert_eq!(json["request_id"].as_str(), answer.header("x-request-id"), "{name}");
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(3), "{name}");
}

fn status_of(code: &str) -> StatusCode {
    if code == EXPIRED { StatusCode::BAD_REQUEST } else { StatusCode::BAD_GATEWAY }
}

#[tokio::test]
async fn a_wait_that_bitbucket_asks_for_is_passed_on() {
    let stage = Stage::set().await;
    let table: [(Switch, Option<&str>); 3] = [
        (|it| it.exchange = TokenFault::TooManyRequests(Some(7)), Some("7")),
        (|it| it.exchange = TokenFault::TooManyRequests(None), None),
        (|it| it.whoami = RestFault::TooManyRequests(Some(9)), Some("9")),
    ];
    for (switch, wait) in table {
        stage.bitbucket.faults(|faults| *faults = Faults::default());
        stage.bitbucket.faults(switch);
        let page = failed_login(&stage, &[]).await;
        assert_eq!(page.error_code().as_deref(), Some(UNREACHABLE));
        assert_eq!(page.header("retry-after"), wait);
    }
}

#[tokio::test]
async fn somebody_inactive_is_not_let_in_and_told_their_name() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "rpast").await;
    let page = browser.get(&way_back).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(page.error_code().as_deref(), Some("access_denied"));
    assert!(page.text().contains("<code>rpast</code>"), "{}", page.text());
    stage.bitbucket.people(|people| {
        people.retain(|person| person.slug != "rpast");
        people.push(Person::new(107, "rpast", "Robin Past"));
    });
    assert_eq!(browser.log_in("rpast").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_log_names_what_is_in_use_and_no_secret() {
    let stage = Stage::set().await;
    for switch in [mismatch, |it: &mut Faults| it.exchange = TokenFault::invalid_grant(None)] {
        stage.bitbucket.faults(switch);
        let page = failed_login(&stage, &[]).await;
        let id = page.header("x-request-id").expect("an id");
        let line = stage.proxy.wait_for_log(&[id, "login failed"]).await;
        assert!(line.contains(&stage.proxy.redirect_url()), "{line}");
        assert!(line.contains(stage.bitbucket.client_id()), "{line}");
        assert!(!line.contains(stage.bitbucket.client_secret()));
    }
}

#[tokio::test]
async fn a_wrong_secret_is_named_and_a_right_one_mends_it() {
    let mut stage = Stage::with(|settings| {
        settings.text("bitbucket.client_secret", &"0".repeat(64));
    })
    .await;
    let page = failed_login(&stage, &[]).await;
    is_told(&page, "wrong secret", REJECTED, &[stage.bitbucket.client_id()]);
    let secret = stage.bitbucket.client_secret().to_owned();
    stage
        .restart_proxy(|settings| {
            settings.text("bitbucket.client_secret", &secret);
        })
        .await;
    assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_client_id_never_comes_back_from_bitbucket() {
    let stage = Stage::with(|settings| {
        settings.text("bitbucket.client_id", &"0".repeat(32));
    })
    .await;
    for _ in 0..10 {
        let authorize_url = stage.browser().go_to_bitbucket("/").await;
        let refusal = stage.bitbucket.approve("jcitizen", &authorize_url);
        assert_eq!(refusal.expect_err("a refusal"), "Unknown or missing client_id");
    }
    let readiness = stage.admin("/readyz?verbose").await.text();
    assert!(readiness.contains("none came back from Bitbucket"), "{readiness}");
}

#[tokio::test]
async fn a_private_authority_is_named_and_then_trusted() {
    let options = BitbucketOptions { tls: true, ..BitbucketOptions::default() };
    let bitbucket = Bitbucket::start(options).await.expect("starts");
    let codescan = Codescan::start(CodescanOptions::default()).await.expect("starts");
    let mut stage = Stage::around(bitbucket, codescan, |_| {}).await;
    let page = failed_login(&stage, &[]).await;
    is_told(&page, "unknown authority", UNREACHABLE, &["bitbucket.ca_file"]);
    let ca_file = stage.evidence.folder().join("ca.pem");
    std::fs::write(&ca_file, stage.bitbucket.ca_pem()).expect("written");
    stage
        .restart_proxy(|settings| {
            settings.text("bitbucket.ca_file", ca_file.to_str().expect("a path"));
        })
        .await;
    assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn below_a_context_path_all_addresses_are_below_it() {
    let options =
        BitbucketOptions { context_path: "/bitbucket".into(), ..BitbucketOptions::default() };
    let stage = Stage::between(options, CodescanOptions::default(), |_| {}).await;
    assert_eq!(stage.browser().log_in("r.o_hara").await.status, StatusCode::OK);
    assert_eq!(stage.bitbucket.count(Call::Unknown), 0);
}

#[tokio::test]
async fn forms_of_a_good_token_answer_are_all_taken() {
    use simulator::bitbucket::ExpiresIn;
    let stage = Stage::set().await;
    let table: [(&str, Switch, u64); 7] = [
        ("a string", |it| it.token_answer.expires_in = ExpiresIn::Text, 3600),
        ("missing", |it| it.token_answer.expires_in = ExpiresIn::Missing, 3600),
        ("words", |it| it.token_answer.expires_in = ExpiresIn::Words("soon".into()), 3600),
        ("two hours", |it| it.access_token_lifetime = Duration::from_hours(2), 7200),
        ("no refresh token", |it| it.token_answer.refresh_token = false, 3600),
        ("Bearer", |it| it.token_answer.token_type = "Bearer".into(), 3600),
        ("no PKCE", |it| it.pkce = Pkce::Ignored, 3600),
    ];
    for (name, switch, seconds) in table {
        stage.bitbucket.faults(|faults| *faults = Faults::default());
        stage.bitbucket.faults(switch);
        let mut browser = stage.logged_in("jcitizen").await;
        let info = userinfo(&mut browser).await;
        let left = info["expires_in"].as_u64().expect("seconds");
        assert!((seconds - 10..=seconds).contains(&left), "{name}: {left}");
    }
    stage.bitbucket.faults(|it| it.token_answer.scope = Some("REPO_ADMIN REPO_READ".into()));
    let info = userinfo(&mut stage.logged_in("jcitizen").await).await;
    assert_eq!(info["scopes"], serde_json::json!(["REPO_ADMIN", "REPO_READ"]));
}

async fn userinfo(browser: &mut Browser) -> serde_json::Value {
    browser.fetch(Method::GET, crate::harness::USERINFO, "").await.json()
}

#[tokio::test]
async fn a_token_of_eight_kibibytes_reaches_codescan_whole() {
    let stage = Stage::set().await;
    stage.bitbucket.faults(|it| it.token_answer.huge = true);
    let mut browser = stage.logged_in("jcitizen").await;
    browser.get("/echo").await;
    let received = stage.codescan.wait_for(|request| request.path() == "/echo").await;
    let token = received.header("authorization").and_then(|it| it.strip_prefix("Bearer "));
    let token = token.expect("a Bearer");
    assert!(token.len() > 8 * 1024, "{}", token.len());
    assert!(stage.bitbucket.person_of(token).is_some());
}
