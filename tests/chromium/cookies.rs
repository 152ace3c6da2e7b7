//! What the browser keeps, and what happens when it does not.

use serde_json::json;

use crate::walk::Walk;

#[tokio::test]
async fn the_cookies_are_out_of_reach_of_scripts() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/").await;
    walk.say_who("jcitizen").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.browser.run("return document.cookie").await, json!(""));
    let cookies = walk.browser.client.get_all_cookies().await.expect("cookies");
    let mut names: Vec<&str> = cookies.iter().map(fantoccini::cookies::Cookie::name).collect();
    names.sort_unstable();
    assert_eq!(names, ["codescan_session", "codescan_signed_in"]);
    for cookie in &cookies {
        assert_eq!(cookie.http_only(), Some(true), "{cookie}");
        assert_eq!(cookie.same_site(), Some(cookie::SameSite::Lax), "{cookie}");
        assert_eq!(cookie.path(), Some("/"), "{cookie}");
        assert_eq!(cookie.domain(), Some("127.0.0.1"), "{cookie}");
        assert_eq!(cookie.secure(), Some(false), "over http: {cookie}");
    }
}

#[tokio::test]
async fn without_cookies_the_reason_is_shown_and_nothing_goes_round() {
    let blocked = json!({ "profile.content_settings.exceptions.cookies": {
        "http://127.0.0.1,*": { "setting": 2 }
    }});
    let Some(walk) = Walk::with_preferences(&blocked).await else { return };
    walk.open("/issues?id=7").await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.browser.sees_error("cookie_lost", "cookie-lost").await;
    walk.browser.press_words("Start again").await;
    walk.browser.press("#allow").await;
    walk.browser.sees_error("cookie_lost", "cookie-lost").await;
    assert_eq!(walk.stage.bitbucket.count(simulator::bitbucket::Call::TokenExchange), 0);
}

#[tokio::test]
async fn a_session_cookie_that_is_lost_at_once_does_not_go_round() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser.client.delete_cookie("codescan_session").await.expect("it is deleted");
    walk.open("/issues?id=7").await;
    walk.browser.sees_error("cookie_lost", "session-cookie-lost").await;
    walk.browser.press_words("Start again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues?id=7");
}
