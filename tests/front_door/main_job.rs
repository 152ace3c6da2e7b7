//! What the program exists for.

use http::{Method, StatusCode};
use simulator::bitbucket::Call;

use crate::harness::Stage;

#[tokio::test]
async fn a_person_logs_in_and_codescan_gets_their_token() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let page = browser.log_in_at("/project/overview?id=crm&tab=a%20b", "jcitizen").await;
    assert_eq!(page.status, StatusCode::OK);
    let received = stage
        .codescan
        .wait_for(|request| request.target == "/project/overview?id=crm&tab=a%20b")
        .await;
    let token = received.header("authorization").expect("a token").strip_prefix("Bearer ");
    let person = stage.bitbucket.person_of(token.expect("a Bearer")).expect("a good token");
    assert_eq!(person.slug, "jcitizen");
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
}

#[tokio::test]
async fn every_further_request_has_the_token_and_none_of_our_cookies() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    browser.set_cookie("theirs", "\"a=b\"");
    let answer = browser.fetch(Method::POST, "/api/echo", "hello").await;
    assert_eq!(answer.status, StatusCode::OK);
    let received = stage.codescan.wait_for(|request| request.path() == "/api/echo").await;
    assert!(received.header("authorization").is_some_and(|it| it.starts_with("Bearer ")));
    assert_eq!(received.all("cookie").collect::<Vec<_>>(), ["theirs=\"a=b\""]);
    assert_eq!(received.text(), Some("hello"));
}
