//! The callback address is `CodeScan`'s too: what is not ours goes on as any other request.

use http::{Method, StatusCode};
use simulator::bitbucket::Call;

use crate::harness::{AUTHORIZE, Stage};

const THEIRS: [&str; 8] = [
    "code=abc&state=xyz%2B-._~&x=%41%c3%bc",
    "code=abc",
    "error=access_denied&state=xyz",
    "state=cop1",
    "state=cop1.no+base64url&code=a",
    "state=COP1.abc&code=a",
    "rd=/a&code=b",
    "unknown",
];

#[tokio::test]
async fn what_is_codescans_is_forwarded_byte_for_byte() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for query in THEIRS {
        let target = format!("{AUTHORIZE}?{query}");
        assert_eq!(browser.get(&target).await.status, StatusCode::OK, "{query}");
        let received = stage.codescan.wait_for(|request| request.target == target).await;
        assert!(received.header("authorization").is_some(), "{query}");
    }
    assert_eq!(stage.bitbucket.count(Call::TokenExchange), 1);
}

#[tokio::test]
async fn without_a_session_it_is_a_login_first_and_then_the_same_address() {
    let stage = Stage::set().await;
    for query in THEIRS {
        let target = format!("{AUTHORIZE}?{query}");
        let page = stage.browser().log_in_at(&target, "jcitizen").await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        let received = stage.codescan.requests_to(AUTHORIZE);
        let targets: Vec<&str> = received.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(targets, [target]);
        stage.codescan.clear_requests();
    }
}

#[tokio::test]
async fn a_post_is_an_ordinary_request() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    for target in [AUTHORIZE, "/_codescan/oauth2/authorize?state=xyz"] {
        let answer = browser.fetch(Method::POST, target, "code=a&state=cop1.b").await;
        assert_eq!(answer.status, StatusCode::OK);
        let received = stage.codescan.wait_for(|request| request.target == target).await;
        assert_eq!(received.text(), Some("code=a&state=cop1.b"));
        let stranger = stage.browser().fetch(Method::POST, target, "x").await;
        assert_eq!(stranger.error_code().as_deref(), Some("login_required"));
    }
    let foreign = [("sec-fetch-site", "cross-site")];
    let answer = browser.send(Method::POST, AUTHORIZE, &foreign, "x").await;
    assert_eq!(answer.error_code().as_deref(), Some("cross_site_request"));
}
