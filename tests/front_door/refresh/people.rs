//! Who the person is, is asked again with each refresh.

use http::{Method, StatusCode};
use serde_json::json;
use simulator::bitbucket::{Call, DeadToken, RestFault, Username};

use super::{machine, person_at_codescan, userinfo, with_an_expired_token};
use crate::harness::{Browser, Stage};

async fn assert_is_out(browser: &mut Browser) {
    let answer = browser.fetch(Method::GET, "/api/x", "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
}

#[tokio::test]
async fn somebody_who_was_renamed_goes_on_by_the_new_name() {
    let stage = Stage::with(|settings| {
        settings.header("X-User", "{user}");
    })
    .await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.people(|people| {
        let jane = people.iter_mut().find(|one| one.slug == "jcitizen").expect("Jane");
        jane.name = "jmarried".to_owned();
        jane.display_name = "Jane Married".to_owned();
    });
    assert_eq!(browser.get("/project").await.status, StatusCode::OK);
    assert_eq!(stage.received("/project").header("x-user"), Some("jmarried"));
    let info = userinfo(&mut browser).await;
    assert_eq!(
        (&info["user"], &info["display_name"]),
        (&json!("jmarried"), &json!("Jane Married"))
    );
}

#[tokio::test]
async fn somebody_who_was_deactivated_is_out() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.deactivate_user("jcitizen");
    assert_is_out(&mut browser).await;
    assert_eq!(stage.metric("token_refreshes_total{result=\"inactive\"}").await, 1.0);
    stage.proxy.wait_for_log(&["a session ended", "not active"]).await;
    assert!(stage.codescan.requests_to("/api/x").is_empty());
}

#[tokio::test]
async fn tokens_of_another_person_end_the_session() {
    let stage = Stage::set().await;
    let mut browser = with_an_expired_token(&stage, "jcitizen").await;
    stage.bitbucket.faults(|it| it.username = Username::Other("asmith".to_owned()));
    assert_is_out(&mut browser).await;
    assert_eq!(stage.metric("token_refreshes_total{result=\"other_person\"}").await, 1.0);
    assert!(stage.codescan.requests_to("/api/x").is_empty());
}

#[tokio::test]
async fn a_new_token_that_is_dead_ends_the_session() {
    for (dead, name) in
        [(DeadToken::Unauthorized, Username::Missing), (DeadToken::Anonymous, Username::Anonymous)]
    {
        let stage = Stage::set().await;
        let mut browser = with_an_expired_token(&stage, "jcitizen").await;
        stage.bitbucket.faults(|it| (it.dead_token, it.username) = (dead, name));
        assert_is_out(&mut browser).await;
        assert_eq!(stage.metric("token_refreshes_total{result=\"dead_token\"}").await, 1.0);
    }
}

#[tokio::test]
async fn a_question_that_merely_fails_changes_nothing() {
    let stage = Stage::set().await;
    for fault in [
        RestFault::Status(500),
        RestFault::TooManyRequests(None),
        RestFault::Html200,
        RestFault::HangUp,
        RestFault::LoginRedirect,
    ] {
        let mut browser = with_an_expired_token(&stage, "jcitizen").await;
        stage.bitbucket.faults(|it| it.whoami = fault.clone());
        assert_eq!(browser.get("/project").await.status, StatusCode::OK, "{fault:?}");
        assert_eq!(userinfo(&mut browser).await["user"], "jcitizen");
        stage.bitbucket.faults(|it| it.whoami = RestFault::None);
    }
}

#[tokio::test]
async fn new_tokens_are_stored_before_anything_else_is_asked() {
    let stage = Stage::set().await;
    let browser = with_an_expired_token(&stage, "jcitizen").await;
    let before = stage.bitbucket.count(Call::Whoami);
    stage.bitbucket.faults(|it| it.whoami = RestFault::Hang);
    // The answer comes while the question about the person is still open.
    assert_eq!(machine(&stage, &browser).get("/project").await.status, StatusCode::OK);
    assert_eq!(person_at_codescan(&stage, "/project").as_deref(), Some("jcitizen"));
    assert_eq!(stage.bitbucket.count(Call::Whoami), before + 1);
    assert_eq!(stage.metric("token_refreshes_total{result=\"success\"}").await, 0.0);
    stage.bitbucket.faults(|it| it.whoami = RestFault::None);
}
