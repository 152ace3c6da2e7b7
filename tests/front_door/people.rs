//! Who was logged in, as `userinfo` tells it.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::json;
use simulator::bitbucket::{Call, RestFault, Username};

use crate::harness::{Browser, Stage, USERINFO};

async fn userinfo(browser: &mut Browser) -> serde_json::Value {
    let answer = browser.fetch(Method::GET, USERINFO, "").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn userinfo_has_exactly_these_members_and_no_token() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let answer = browser.fetch(Method::GET, USERINFO, "").await;
    let info = answer.json();
    let members: BTreeSet<&str> =
        info.as_object().expect("an object").keys().map(String::as_str).collect();
    let wanted = ["user", "display_name", "email", "expires_in", "session_expires_in", "scopes"];
    assert_eq!(members, wanted.into());
    assert_eq!(
        (&info["user"], &info["display_name"]),
        (&json!("jcitizen"), &json!("Jane Citizen"))
    );
    assert_eq!(
        (&info["email"], &info["scopes"]),
        (&json!("jane@example.com"), &json!(["REPO_ADMIN"]))
    );
    assert!((3590..=3600).contains(&info["expires_in"].as_u64().expect("seconds")));
    let session_left = info["session_expires_in"].as_u64().expect("seconds");
    assert!((86_390..=86_400).contains(&session_left), "the idle time-out: {session_left}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn userinfo_needs_a_session_and_a_get() {
    let stage = Stage::set().await;
    let answer = stage.client().get(USERINFO).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.error_code().as_deref(), Some("login_required"));
    for mut browser in [stage.browser(), stage.logged_in("jcitizen").await] {
        let answer = browser.fetch(Method::POST, USERINFO, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(stage.codescan.requests_to(USERINFO).len(), 0);
}

#[tokio::test]
async fn people_with_odd_names_are_known_by_them() {
    let stage = Stage::set().await;
    for (slug, name, display_name, email) in [
        ("jcitizen", "jcitizen", "Jane Citizen", json!("jane@example.com")),
        ("jcit", "jcit", "Jo Citrine", json!("jo@example.com")),
        ("r.o_hara", "r.o'hara", "Rose O'Hara", json!("rose@example.com")),
        ("jurgen", "jürgen", "Jürgen Groß", json!("juergen@example.com")),
        ("lee_example.com", "lee@example.com", "Lee Chen", json!("lee@example.com")),
        ("nlevi", "nlevi", "Noa Levi", json!(null)),
        ("ci-robot", "ci-robot", "CI Robot", json!("robot@example.com")),
    ] {
        let info = userinfo(&mut stage.logged_in(slug).await).await;
        assert_eq!(info["user"], name);
        assert_eq!((&info["display_name"], &info["email"]), (&json!(display_name), &email));
    }
}

#[tokio::test]
async fn a_name_in_raw_utf_8_is_read_as_it_is() {
    let stage = Stage::set().await;
    stage.bitbucket.faults(|it| it.username = Username::Raw);
    let info = userinfo(&mut stage.logged_in("jurgen").await).await;
    assert_eq!(info["user"], "jürgen");
}

#[tokio::test]
async fn where_bitbucket_tells_no_more_the_name_is_enough() {
    let stage = Stage::set().await;
    for status in [401, 403] {
        stage.bitbucket.faults(|it| it.users = RestFault::Status(status));
        let info = userinfo(&mut stage.logged_in("jcitizen").await).await;
        assert_eq!(info["user"], "jcitizen", "{status}");
        assert_eq!((&info["display_name"], &info["email"]), (&json!(null), &json!(null)));
    }
}

#[tokio::test]
async fn nobody_is_asked_for_where_whoami_url_is_empty() {
    let stage = Stage::with(|settings| {
        settings.text("bitbucket.whoami_url", "");
    })
    .await;
    let mut browser = stage.logged_in("jcitizen").await;
    let info = userinfo(&mut browser).await;
    assert_eq!((&info["user"], &info["display_name"]), (&json!(null), &json!(null)));
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    for call in [Call::Whoami, Call::User, Call::Users] {
        assert_eq!(stage.bitbucket.count(call), 0, "{call:?}");
    }
}

#[tokio::test]
async fn a_name_that_no_header_can_carry_reaches_codescan_percent_encoded() {
    let stage = Stage::with(|settings| {
        settings.header("X-Forwarded-Login", "{user}");
        settings.header("X-Forwarded-Email", "{email}");
    })
    .await;
    for (slug, login, email) in [
        ("jurgen", "j%C3%BCrgen", Some("juergen@example.com")),
        ("r.o_hara", "r.o'hara", Some("rose@example.com")),
        ("nlevi", "nlevi", None),
    ] {
        stage.logged_in(slug).await.get(&format!("/{slug}")).await;
        let received =
            stage.codescan.wait_for(|request| request.path() == format!("/{slug}")).await;
        assert_eq!(received.header("x-forwarded-login"), Some(login));
        assert_eq!(received.header("x-forwarded-email"), email);
    }
}
