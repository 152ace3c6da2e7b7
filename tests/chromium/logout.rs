//! The way out, and who comes next.

use simulator::bitbucket::Call;

use crate::walk::Walk;

const QUESTION: &str = "Sign out of CodeScan?";
const SIGNED_OUT: &str = "You are signed out";

#[tokio::test]
async fn a_logout_asks_and_then_holds() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser.press("#proxy-logout").await;
    walk.browser.press_words("Cancel").await;
    walk.is_logged_in("jcitizen").await;
    walk.browser.press("#proxy-logout").await;
    walk.browser.sees_page(QUESTION, "logout-question").await;
    assert!(walk.browser.text("main").await.contains("signed in as jcitizen"));
    walk.browser.press_words("Sign out").await;
    walk.browser.sees_page(SIGNED_OUT, "signed-out").await;
    assert_eq!(walk.place().await, "/_codescan/oauth2/logout?done");
    // To the question, which knows nobody now; then to the application's page.
    walk.browser.back().await;
    walk.browser.sees_page(QUESTION, "logout-question-of-nobody").await;
    walk.browser.back().await;
    walk.browser.see("#allow").await;
}

#[tokio::test]
async fn codescans_own_logout_signs_out_here_too() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.open("/projects").await;
    walk.browser.press("#logout").await;
    walk.browser.sees_page(SIGNED_OUT, "signed-out-by-codescan").await;
    // Once: the next navigation is somebody who wants to come in.
    walk.browser.back().await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/projects");
}

#[tokio::test]
async fn the_next_person_is_not_the_one_before() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    // CodeScan's own session, which counts before any token.
    walk.open("/sessions/new?return_to=/projects").await;
    walk.browser.see("#login").await.send_keys("mallory").await.expect("a name is typed");
    walk.browser.press("#own-login").await;
    walk.is_logged_in("mallory").await;
    walk.sign_out().await;
    walk.leave_bitbucket().await;
    walk.open("/projects").await;
    walk.go_through_bitbucket("asmith").await;
    walk.is_logged_in("asmith").await;
    assert_eq!(walk.browser.text("#name").await, "Alex Smith");
}

#[tokio::test]
async fn a_logout_in_one_tab_is_one_in_all() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    let first = walk.browser.tab().await;
    walk.browser.new_tab().await;
    walk.sign_out().await;
    let second = walk.browser.tab().await;
    walk.browser.look_at(&first).await;
    walk.browser.reload().await;
    walk.browser.see("#allow").await;
    walk.browser.look_at(&second).await;
    walk.browser.press_words("Sign in again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    walk.browser.look_at(&first).await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.stage.bitbucket.count(Call::TokenExchange), 2, "the first tab just goes on");
}
