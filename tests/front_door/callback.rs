//! Coming back from Bitbucket: what is checked, in which order, and what is spent.

use std::time::{Duration, SystemTime};

use codescan_oauth_proxy::config::{self, Sources};
use codescan_oauth_proxy::login::attempt::Attempts;
use codescan_oauth_proxy::login::return_to::ReturnTo;
use codescan_oauth_proxy::seal::Sealer;
use http::{Method, StatusCode};
use simulator::bitbucket::{Call, TokenFault};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::browser::ACCEPT_PAGE;
use crate::harness::{AUTHORIZE, Answer, Browser, Stage, wait_until};

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What spoils an attempt on its way back.
type Spoil = fn(&mut Browser, &str) -> String;

#[tokio::test]
async fn a_code_is_not_spent_without_a_good_state_and_its_cookie() {
    let stage = Stage::set().await;
    let table: [(&str, Spoil, &str); 9] = [
        ("state changed", |_, back| changed(back), "login_expired"),
        ("state cut", |_, back| back[..back.len() - 10].to_owned(), "login_expired"),
        ("state but its mark", |_, _| format!("{AUTHORIZE}?code=1&state=cop1."), "login_expired"),
        ("state made up", |_, _| format!("{AUTHORIZE}?code=1&state=cop1.aaaa"), "login_expired"),
        ("no cookie at all", |browser, back| without(browser, back), "cookie_lost"),
        ("some cookie of ours", |browser, back| with_marker(browser, back), "login_expired"),
        ("wrong cookie", |browser, back| with_cookie(browser, back, "A"), "login_expired"),
        ("empty cookie", |browser, back| with_cookie(browser, back, ""), "login_expired"),
        ("state changed, no cookie", |it, back| changed(&without(it, back)), "login_expired"),
    ];
    for (name, spoil, code) in table {
        let mut browser = stage.browser();
        let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
        let target = spoil(&mut browser, &way_back);
        is_refused(&browser.get(&target).await, code, name);
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
}

fn is_refused(answer: &Answer, code: &str, why: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
    assert_eq!(answer.error_code().as_deref(), Some(code), "{why}");
    assert!(answer.link().contains(AUTHORIZE), "{why}: a link to start again");
    assert!(!answer.set_cookies().iter().any(|it| it.contains("session=")), "{why}");
}

/// Another last character of the state; the one before it, as the last may hold unused bits.
fn changed(way_back: &str) -> String {
    let (start, end) = way_back.split_at(way_back.len() - 2);
    let other = if end.starts_with('x') { 'y' } else { 'x' };
    format!("{start}{other}{}", &end[1..])
}

fn without(browser: &mut Browser, way_back: &str) -> String {
    browser.forget_all();
    way_back.to_owned()
}

fn with_marker(browser: &mut Browser, way_back: &str) -> String {
    browser.forget_all();
    browser.set_cookie("codescan_session", "gone");
    way_back.to_owned()
}

fn with_cookie(browser: &mut Browser, way_back: &str, value: &str) -> String {
    let name = browser.cookies_named("codescan_login_")[0].to_owned();
    browser.set_cookie(&name, value);
    way_back.to_owned()
}

#[tokio::test]
async fn an_attempt_lives_ten_minutes() {
    let stage = Stage::with(|settings| {
        settings.text("session.cookie_secret", SECRET);
    })
    .await;
    for (minutes, code, exchanges) in [(11, "login_expired", 0), (9, "login_expired", 1)] {
        let (mut browser, way_back) = begun_ago(&stage, Duration::from_mins(minutes));
        // A made-up code: whether it is asked about is the question.
        let answer = browser.get(&way_back).await;
        assert_eq!(answer.error_code().as_deref(), Some(code));
        assert_eq!(stage.bitbucket.count(Call::TokenExchange), exchanges, "{minutes} minutes");
    }
}

/// A browser that began a login some time ago, and its way back.
fn begun_ago(stage: &Stage, ago: Duration) -> (Browser, String) {
    let sources = Sources { config: Some(stage.proxy.settings_file()), ..Sources::empty() };
    let settings = config::load(&sources).expect("good settings").settings;
    let sealer = Sealer::new(&settings.session.cookie_secrets);
    let home = ReturnTo::home(&settings.server.public_url);
    let attempts = Attempts { sealer: &sealer, settings: &settings };
    let begun = attempts.start(&home, SystemTime::now() - ago);
    let mut browser = stage.browser();
    let cookie = format!("codescan_login_{}", begun.id.to_text());
    browser.set_cookie(&cookie, begun.cookie.expose());
    (browser, format!("{AUTHORIZE}?code=made-up&state={}", begun.state))
}

#[tokio::test]
async fn the_cookie_of_another_attempt_is_none() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let mut other = stage.browser();
    other.go_to_bitbucket("/").await;
    let (name, own) = (browser.cookies_named("codescan_login_")[0].to_owned(), "codescan_login_");
    let value = other.cookie(other.cookies_named(own)[0]).expect("a value").to_owned();
    browser.set_cookie(&name, &value);
    is_refused(&browser.get(&way_back).await, "login_expired", "the other's value");
    // Login CSRF: an attacker's way back, opened by somebody who has begun a login too.
    is_refused(&other.get(&way_back).await, "login_expired", "another browser");
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
}

#[tokio::test]
async fn a_login_cookie_with_two_values_is_not_believed() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let twice = browser.cookie_header();
    let other = format!("{}=other", browser.cookies_named("codescan_login_")[0]);
    let headers = |cookie| [("accept", ACCEPT_PAGE), ("cookie", cookie)];
    let answer = browser.send(Method::GET, &way_back, &headers(&other), "").await;
    is_refused(&answer, "login_expired", "two values");
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
    let answer = browser.send(Method::GET, &way_back, &headers(&twice), "").await;
    assert_eq!(answer.status, StatusCode::FOUND, "the same value twice is one");
}

#[tokio::test]
async fn a_code_of_another_attempt_does_not_pass_bitbucket() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let stolen = stage.browser().go_to_bitbucket_and_agree("/", "asmith").await;
    let (_, own) = way_back.split_once("&state=").expect("a state");
    let (code, _) = stolen.split_once("&state=").expect("a code");
    let answer = browser.get(&format!("{code}&state={own}")).await;
    is_refused(&answer, "login_expired", "PKCE binds the code to its attempt");
}

#[tokio::test]
async fn a_second_callback_waits_for_the_first_and_gets_its_session() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/here", "jcitizen").await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::Hang);
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let both_wait = async {
        wait_until("both are there", async || active_requests(&stage).await == 2).await;
        stage.bitbucket.faults(|it| it.exchange = TokenFault::None);
    };
    let (first, second, ()) = tokio::join!(one.get(&way_back), two.get(&way_back), both_wait);
    let late = browser.get(&way_back).await;
    for answer in [&first, &second, &late] {
        assert_eq!(one.target_of(answer.location()), "/here");
        let session = answer.sets("codescan_session").expect("a session");
        assert_eq!(Some(session.value()), one.cookie("codescan_session"));
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
}

async fn active_requests(stage: &Stage) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let count = stage.metric("active_requests").await as u64;
    count
}

#[tokio::test]
async fn a_client_that_leaves_during_the_exchange_loses_nothing() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/here", "jcitizen").await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::HangAnswer);
    let request = format!(
        "GET {way_back} HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n",
        browser.cookie_header()
    );
    let mut leaving = TcpStream::connect(("127.0.0.1", stage.proxy.port())).await.expect("open");
    leaving.write_all(request.as_bytes()).await.expect("sent");
    stage.bitbucket.wait_for(Call::TokenExchange, 1).await;
    drop(leaving);
    wait_until("its end is noticed", async || active_requests(&stage).await == 0).await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::None);
    let back = browser.get(&way_back).await;
    assert_eq!(browser.target_of(back.location()), "/here");
    assert_eq!(browser.get("/here").await.status, StatusCode::OK);
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
}

#[tokio::test]
async fn a_reload_after_a_failure_shows_the_same_failure() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::Html503);
    for _ in 0..2 {
        let page = browser.get(&way_back).await;
        assert_eq!(page.error_code().as_deref(), Some("bitbucket_unreachable"));
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
    stage.bitbucket.faults(|it| it.exchange = TokenFault::None);
    assert_eq!(browser.log_in("jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn too_many_exchanges_at_once_are_told_to_wait_and_their_codes_kept() {
    const AT_A_TIME: usize = 64;
    let stage = Stage::set().await;
    stage.bitbucket.faults(|it| it.exchange = TokenFault::Hang);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..AT_A_TIME {
        let mut browser = stage.browser();
        let way_back = browser.go_to_bitbucket_and_agree("/", "asmith").await;
        crowd.spawn(async move { browser.get(&way_back).await.status });
    }
    stage.bitbucket.wait_for(Call::TokenExchange, AT_A_TIME).await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let page = browser.get(&way_back).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.error_code().as_deref(), Some("overloaded"));
    assert!(page.header("retry-after").is_some());
    assert!(page.text().contains("Bitbucket"), "who is slow: {}", page.text());
    stage.bitbucket.faults(|it| it.exchange = TokenFault::None);
    assert!(crowd.join_all().await.iter().all(|status| *status == StatusCode::FOUND));
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND, "a reload, as advised");
}

#[tokio::test]
async fn only_a_get_spends_a_code() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    for method in [Method::HEAD, Method::POST, Method::PUT] {
        let answer = browser.navigate(method, &way_back, &[], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET"));
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_state_of_ours_with_neither_code_nor_error_is_invalid() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let (code, ours) = way_back.split_once("&state=").expect("a code and a state");
    let code = code.rsplit_once('?').expect("a query").1;
    for query in [
        format!("state={ours}"),
        format!("{code}&{code}&state={ours}"),
        format!("{code}&state={ours}&state={ours}"),
        format!("{code}&state={ours}&state=theirs"),
        format!("{code}&error=access_denied&state={ours}"),
        format!("code=&state={ours}"),
        format!("code=a%00b&state={ours}"),
        format!("error=&state={ours}"),
    ] {
        let answer = browser.get(&format!("{AUTHORIZE}?{query}")).await;
        assert_eq!(answer.error_code().as_deref(), Some("invalid_request"), "{query}");
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
    assert_eq!(browser.get(&way_back).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn somebody_who_is_signed_in_just_goes_on() {
    let stage = Stage::set().await;
    let table: [(&str, Spoil, &str); 4] = [
        ("no login cookie", |browser, back| without_attempt(browser, back), "/there"),
        ("wrong login cookie", |browser, back| with_cookie(browser, back, "A"), "/there"),
        ("state changed", |_, back| changed(back), "/"),
        ("denied", |_, back| denied(back), "/there"),
    ];
    for (name, spoil, place) in table {
        let mut browser = stage.logged_in("asmith").await;
        let session = browser.cookie("codescan_session").map(str::to_owned);
        let start = format!("{AUTHORIZE}?rd=/there");
        let way_back = browser.go_to_bitbucket_and_agree(&start, "jcitizen").await;
        let target = spoil(&mut browser, &way_back);
        let answer = browser.get(&target).await;
        assert_eq!(answer.status, StatusCode::FOUND, "{name}: {}", answer.text());
        assert_eq!(browser.target_of(answer.location()), place, "{name}");
        assert_eq!(browser.cookie("codescan_session"), session.as_deref(), "{name}");
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), table.len(), "the sessions' own");
}

fn without_attempt(browser: &mut Browser, way_back: &str) -> String {
    let name = browser.cookies_named("codescan_login_")[0].to_owned();
    browser.forget(&name);
    way_back.to_owned()
}

fn denied(way_back: &str) -> String {
    let (_, state) = way_back.split_once("&state=").expect("a state");
    format!("{AUTHORIZE}?error=access_denied&state={state}")
}

#[tokio::test]
async fn denied_consent_is_a_403_with_or_without_the_cookie() {
    let stage = Stage::set().await;
    for keeps_cookie in [true, false] {
        let mut browser = stage.browser();
        let authorize_url = browser.go_to_bitbucket("/there").await;
        let refused = browser.refuse(&authorize_url, "jcitizen");
        if !keeps_cookie {
            browser.forget_all();
        }
        for _ in 0..2 {
            let page = browser.get(&refused).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN);
            assert_eq!(page.error_code().as_deref(), Some("access_denied"));
            assert!(page.link().ends_with("?rd=/there"), "{}", page.link());
        }
        assert_eq!(browser.log_in("jcitizen").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn every_error_of_the_authorization_response_is_told_and_names_what_to_change() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree("/", "jcitizen").await;
    let (_, ours) = way_back.split_once("&state=").expect("a state");
    for (error, word) in [
        ("access_denied", "pressed Deny"),
        ("invalid_scope", "bitbucket.scopes"),
        ("unauthorized_client", "bitbucket.client_id"),
        ("invalid_request", "bitbucket.redirect_url"),
        ("unsupported_response_type", "bitbucket.authorize_url"),
        ("server_error", "Wait a minute"),
        ("temporarily_unavailable", "Wait a minute"),
        ("something_else", "something_else"),
        ("%00%ff", "Bitbucket refused"),
    ] {
        let target = format!("{AUTHORIZE}?error={error}&error_description=x&state={ours}");
        let page = browser.get(&target).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{error}");
        assert_eq!(page.error_code().as_deref(), Some("access_denied"), "{error}");
        assert!(page.text().contains(word), "{error}: {}", page.text());
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 0);
}
