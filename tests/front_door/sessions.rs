//! Sessions: which cookie is believed.

use http::{Method, StatusCode};

use crate::harness::{Browser, Stage, USERINFO};

async fn status(browser: &mut Browser, cookies: &[&str]) -> StatusCode {
    let mut headers = vec![("accept", "application/json")];
    headers.extend(cookies.iter().map(|line| ("cookie", *line)));
    browser.send(Method::GET, USERINFO, &headers, "").await.status
}

#[tokio::test]
async fn a_cookie_with_two_values_is_not_believed() {
    let stage = Stage::set().await;
    let browser = stage.logged_in("jcitizen").await;
    let other = stage.logged_in("asmith").await;
    let value =
        |browser: &Browser| browser.cookie("codescan_session").expect("a cookie").to_owned();
    let own = format!("codescan_session={}", value(&browser));
    let theirs = format!("codescan_session={}", value(&other));
    let mut bare = stage.browser();
    for (cookies, wanted) in [
        (vec![own.as_str()], StatusCode::OK),
        (vec![&own, &own], StatusCode::OK),
        (vec![&format!("a=b; {own}; {own}; c")], StatusCode::OK),
        (vec![&own, &theirs], StatusCode::UNAUTHORIZED),
        (vec![&format!("{theirs}; {own}")], StatusCode::UNAUTHORIZED),
        (vec![&own, &theirs, &own], StatusCode::UNAUTHORIZED),
        (vec![&own, "codescan_session="], StatusCode::UNAUTHORIZED),
        (vec![&own, "codescan_session"], StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status(&mut bare, &cookies).await, wanted, "{} lines", cookies.len());
    }
}

#[tokio::test]
async fn broken_cookies_are_nobodys() {
    let stage = Stage::set().await;
    let browser = stage.logged_in("jcitizen").await;
    let good = browser.cookie("codescan_session").expect("a cookie").to_owned();
    let mut bare = stage.browser();
    let with = |value: &str| format!("codescan_session={value}");
    for cookie in [
        with(""),
        with("A"),
        with(&"A".repeat(43)),
        with(&good[..42]),
        with(&format!("{good}A")),
        with(&format!("{good}=")),
        with(&format!("\"{good}\"")),
        with(&format!("%{good}")),
        with(&good.to_lowercase()),
        with(&"A".repeat(8000)),
        with("../../etc/passwd"),
        with("ÿþ"),
        with("a=b=c"),
        format!("Codescan_session={good}"),
        format!("__Host-codescan_session={good}"),
        format!("codescan_session_{good}"),
        "codescan_session".to_owned(),
        "=".to_owned(),
        ";;;; ;=;=".to_owned(),
        good.clone(),
        ";".repeat(8000),
    ] {
        let shown = &cookie[..cookie.len().min(24)];
        assert_eq!(status(&mut bare, &[&cookie]).await, StatusCode::UNAUTHORIZED, "{shown}");
    }
    for cookie in
        [format!(" {}", with(&good)), format!("x;{} ;y", with(&good)), with(&format!(" {good}"))]
    {
        assert_eq!(status(&mut bare, &[&cookie]).await, StatusCode::OK, "white space around");
    }
}

#[tokio::test]
async fn somebody_with_a_broken_cookie_logs_in_as_anybody_does() {
    let stage = Stage::set().await;
    for value in ["", "x", "ÿ", "\"", &"A".repeat(43)] {
        let mut browser = stage.browser();
        browser.set_cookie("codescan_session", value);
        assert_eq!(browser.log_in("jcitizen").await.status, StatusCode::OK, "{value}");
    }
}

#[tokio::test]
async fn while_bitbucket_is_down_those_who_are_logged_in_go_on_working() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let mut other = stage.browser();
    let way_back = other.go_to_bitbucket_and_agree("/", "asmith").await;
    stage.bitbucket.stop().await.expect("stops");
    assert_eq!(browser.get("/project").await.status, StatusCode::OK);
    assert_eq!(browser.fetch(Method::POST, "/api/x", "y").await.status, StatusCode::OK);
    assert_eq!(stage.admin("/readyz").await.status, StatusCode::OK);
    other.go_to_bitbucket("/").await;
    let page = other.get(&way_back).await;
    assert_eq!(page.error_code().as_deref(), Some("bitbucket_unreachable"));
    stage.bitbucket.resume().await.expect("resumes");
    assert_eq!(other.log_in("asmith").await.status, StatusCode::OK);
}
