//! The whole way of a login: to Bitbucket, back, and in.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use simulator::bitbucket::Call;
use url::Url;

use crate::harness::{AUTHORIZE, Browser, Stage, USERINFO};

#[tokio::test]
async fn the_authorization_request_has_each_parameter_once() {
    let stage = Stage::set().await;
    let sent = stage.browser().go_to_bitbucket("/projects").await;
    let url = Url::parse(&sent).expect("an address");
    assert_eq!(url.path(), "/rest/oauth2/latest/authorize");
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!((url.query_pairs().count(), query.len()), (7, 7));
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["client_id"], stage.bitbucket.client_id());
    assert_eq!(query["redirect_uri"], stage.proxy.redirect_url());
    assert_eq!(query["scope"], "REPO_ADMIN");
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["code_challenge"].len(), 43, "a SHA-256 in base64url");
    let sealed = query["state"].strip_prefix("cop1.").expect("the mark of ours");
    assert!(sealed.len() > 64 && sealed.bytes().all(is_base64url), "{sealed}");
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

#[tokio::test]
async fn a_login_asks_bitbucket_no_more_than_it_must_and_as_it_should() {
    let stage = Stage::set().await;
    stage.logged_in("jcitizen").await;
    let count = |call| stage.bitbucket.count(call);
    assert_eq!(count(Call::TokenExchange), 1);
    assert_eq!((count(Call::Whoami), count(Call::User), count(Call::Users)), (1, 1, 0));
    for misdeed in [
        Call::BasicAtToken,
        Call::CredentialsInQuery,
        Call::JsonAtToken,
        Call::CookieAtRest,
        Call::TokenOther,
        Call::ApplinksWhoami,
        Call::Unknown,
    ] {
        assert_eq!(count(misdeed), 0, "{misdeed:?}");
    }
}

#[tokio::test]
async fn every_tab_that_began_a_login_arrives_at_its_own_place() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let mut ways_back = Vec::new();
    for tab in 0..5 {
        ways_back.push(browser.go_to_bitbucket_and_agree(&format!("/tab/{tab}"), "asmith").await);
    }
    for (tab, way_back) in ways_back.iter().enumerate() {
        let back = browser.get(way_back).await;
        assert_eq!(back.status, StatusCode::FOUND, "{}", back.text());
        assert_eq!(browser.target_of(back.location()), format!("/tab/{tab}"));
    }
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    // The first made the session, the others found it.
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
}

#[tokio::test]
async fn tabs_that_come_back_at_the_same_moment_are_all_logged_in() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let first = browser.go_to_bitbucket_and_agree("/first", "asmith").await;
    let second = browser.go_to_bitbucket_and_agree("/second", "asmith").await;
    let (mut one, mut other) = (browser.clone(), browser.clone());
    let (back_one, back_other) = tokio::join!(one.get(&first), other.get(&second));
    assert_eq!(one.target_of(back_one.location()), "/first");
    assert_eq!(other.target_of(back_other.location()), "/second");
    for mut tab in [one, other] {
        assert_eq!(tab.get("/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn each_login_makes_a_new_session_and_ends_the_one_that_was_brought() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let mut left_behind = browser.clone();
    browser.log_in_at(AUTHORIZE, "asmith").await;
    assert_ne!(browser.cookie("codescan_session"), left_behind.cookie("codescan_session"));
    assert_eq!(user_of(&mut browser).await, Some("asmith".into()));
    assert_eq!(user_of(&mut left_behind).await, None);
}

#[tokio::test]
async fn nobody_can_choose_the_session_that_a_login_makes() {
    let stage = Stage::set().await;
    let chosen = "A".repeat(43);
    let mut victim = stage.browser();
    victim.set_cookie("codescan_session", &chosen);
    victim.log_in("jcitizen").await;
    let mut attacker = stage.browser();
    attacker.set_cookie("codescan_session", &chosen);
    assert_eq!(user_of(&mut victim).await, Some("jcitizen".into()));
    assert_eq!(user_of(&mut attacker).await, None);
}

#[tokio::test]
async fn a_login_ends_no_session_of_the_same_person_elsewhere() {
    let stage = Stage::with(|settings| {
        settings.set("session.per_person", "2");
    })
    .await;
    let mut elsewhere = stage.logged_in("jcitizen").await;
    let mut here = stage.logged_in("jcitizen").await;
    here.log_in_at(AUTHORIZE, "jcitizen").await;
    for browser in [&mut elsewhere, &mut here] {
        assert_eq!(user_of(browser).await, Some("jcitizen".into()));
    }
}

#[tokio::test]
async fn logins_are_counted() {
    let stage = Stage::set().await;
    stage.logged_in("jcitizen").await;
    let mut browser = stage.browser();
    let authorize_url = browser.go_to_bitbucket("/").await;
    let refused = browser.refuse(&authorize_url, "jcitizen");
    browser.get(&refused).await;
    assert_eq!(stage.metric("logins_started_total").await.to_string(), "2");
    for result in ["success", "access_denied"] {
        let name = format!("logins_total{{result=\"{result}\"}}");
        assert_eq!(stage.metric(&name).await.to_string(), "1", "{result}");
    }
}

async fn user_of(browser: &mut Browser) -> Option<String> {
    let answer = browser.fetch(Method::GET, USERINFO, "").await;
    answer.json()["user"].as_str().map(str::to_owned)
}
