//! The way in.

use simulator::bitbucket::{Call, Consent};

use crate::walk::Walk;

#[tokio::test]
async fn a_deep_link_leads_through_bitbucket_and_back() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/project/overview?id=crm&tab=a%20b").await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/project/overview?id=crm&tab=a%20b");
    assert_eq!(walk.browser.text("#name").await, "Jane Citizen");
    assert_eq!(walk.stage.bitbucket.count(Call::TokenExchange), 1);
    walk.browser.complains_of_nothing("the page of the application").await;
}

/// No server sees a fragment. Chromium takes it along a chain of redirects, and forgets it at the
/// first form that is pressed.
#[tokio::test]
async fn a_fragment_comes_back_when_bitbucket_asks_nothing() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/issues#open").await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues");
    walk.stage.bitbucket.faults(|faults| faults.consent = Consent::Approve);
    walk.browser.forget_cookies().await;
    walk.open("/issues#closed").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues#closed");
}

#[tokio::test]
async fn after_a_denial_the_page_leads_to_another_try() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/issues?id=7").await;
    walk.say_who("jcitizen").await;
    walk.browser.press("#deny").await;
    walk.browser.sees_error("access_denied", "consent-denied").await;
    walk.browser.press_words("Sign in again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues?id=7");
}

#[tokio::test]
async fn two_tabs_log_in_at_once() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/first").await;
    walk.browser.see("#login").await;
    let first = walk.browser.tab().await;
    let second = walk.browser.new_tab().await;
    walk.open("/second").await;
    walk.say_who("jcitizen").await;
    walk.browser.see("#allow").await;
    walk.browser.look_at(&first).await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/first");
    walk.browser.look_at(&second).await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/second");
}

#[tokio::test]
async fn going_back_after_a_login_leads_nowhere_bad() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/issues").await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.is_logged_in("jcitizen").await;
    for answer in ["#allow", "#deny"] {
        walk.browser.back().await;
        walk.browser.press(answer).await;
        walk.is_logged_in("jcitizen").await;
        assert_eq!(walk.place().await, "/issues", "after {answer}");
    }
}

#[tokio::test]
async fn the_callback_opened_again_leads_into_the_application() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/issues").await;
    walk.say_who("jcitizen").await;
    walk.browser.see("#allow").await;
    let consent = walk.browser.address().await;
    let callback = walk.stage.bitbucket.approve("jcitizen", consent.as_str()).expect("a code");
    for _ in 0..3 {
        walk.browser.open(&callback).await;
        walk.is_logged_in("jcitizen").await;
        assert_eq!(walk.place().await, "/issues");
    }
    assert_eq!(walk.stage.bitbucket.count(Call::TokenExchange), 1);
}

/// The cookies of a login must be those of the host that Bitbucket sends the browser back to.
#[tokio::test]
async fn at_another_name_of_the_host_a_login_begins_at_the_right_one() {
    let Some(walk) = Walk::begin().await else { return };
    let port = walk.stage.proxy.port();
    walk.browser.open(&format!("http://localhost:{port}/issues?id=7")).await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues?id=7");
}
