//! Our pages have no script, and need none.

use serde_json::json;

use crate::walk::Walk;

#[tokio::test]
async fn everything_works_without_scripts() {
    let blocked = json!({ "profile.default_content_setting_values.javascript": 2 });
    let Some(walk) = Walk::with_preferences(&blocked).await else { return };
    walk.open("/issues").await;
    walk.say_who("jcitizen").await;
    walk.browser.press("#deny").await;
    walk.browser.press_words("Sign in again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    // A page of the application's whose script would log out at once; its button does too.
    walk.open("/sessions/logout").await;
    walk.browser.press("#logout-now").await;
    walk.browser.see("a").await;
    walk.open("/issues").await;
    walk.browser.press_words("Sign in again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    walk.browser.press("#proxy-logout").await;
    walk.browser.press_words("Sign out").await;
    walk.browser.press_words("Sign in again").await;
    walk.browser.see("#allow").await;
}
