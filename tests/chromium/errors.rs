//! Each error page that a person can meet.

use simulator::bitbucket::TokenFault;

use crate::harness::Settings;
use crate::walk::Walk;

#[tokio::test]
async fn the_client_secret_is_wrong() {
    let secret = |settings: &mut Settings| {
        settings.text("bitbucket.client_secret", "not-the-secret-of-the-link");
    };
    let Some(walk) = Walk::with(secret).await else { return };
    walk.open("/").await;
    walk.go_through_bitbucket("jcitizen").await;
    walk.browser.sees_error("bitbucket_rejected_client", "bitbucket-rejected-client").await;
}

#[tokio::test]
async fn the_exchange_fails_in_one_way_after_the_other() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/issues?id=7").await;
    walk.say_who("jcitizen").await;
    walk.stage.bitbucket.faults(|faults| faults.exchange = TokenFault::redirect_mismatch());
    walk.browser.press("#allow").await;
    walk.browser.sees_error("redirect_url_mismatch", "redirect-url-mismatch").await;
    walk.stage.bitbucket.faults(|faults| faults.exchange = TokenFault::invalid_grant(None));
    walk.browser.press_words("Try again").await;
    walk.browser.press("#allow").await;
    walk.browser.sees_error("login_expired", "code-expired").await;
    walk.stage.bitbucket.faults(|faults| faults.exchange = TokenFault::None);
    walk.browser.press_words("Start again").await;
    walk.browser.see("#allow").await;
    let consent = walk.browser.address().await;
    let callback = walk.stage.bitbucket.approve("jcitizen", consent.as_str()).expect("a code");
    walk.stage.bitbucket.stop().await.expect("Bitbucket goes down");
    walk.browser.open(&callback).await;
    walk.browser.sees_error("bitbucket_unreachable", "bitbucket-unreachable").await;
    walk.stage.bitbucket.resume().await.expect("Bitbucket comes back");
    walk.browser.press_words("Start again").await;
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues?id=7");
}

#[tokio::test]
async fn the_account_is_not_active() {
    let Some(walk) = Walk::begin().await else { return };
    walk.open("/").await;
    walk.go_through_bitbucket("rpast").await;
    walk.browser.sees_error("access_denied", "inactive-user").await;
    walk.leave_bitbucket().await;
    walk.open("/").await;
    walk.go_through_bitbucket("asmith").await;
    walk.is_logged_in("asmith").await;
}

#[tokio::test]
async fn bitbucket_grants_no_such_scope() {
    let scopes = |settings: &mut Settings| {
        settings.set("bitbucket.scopes", r#"["REPO_ADMIN", "SYSTEM_ADMIN"]"#);
    };
    let Some(walk) = Walk::with(scopes).await else { return };
    walk.open("/").await;
    walk.browser.sees_error("access_denied", "invalid-scope").await;
}

#[tokio::test]
async fn the_callback_brings_nothing_good() {
    let Some(walk) = Walk::begin().await else { return };
    for (error, name) in [("server_error", "server-error"), ("moon_phase", "unknown-error")] {
        let error = Some(error.to_owned());
        walk.stage.bitbucket.faults(|faults| faults.authorize_error = error);
        walk.open("/").await;
        walk.browser.sees_error("access_denied", name).await;
    }
    walk.open("/_codescan/oauth2/authorize?state=cop1.abc").await;
    walk.browser.sees_error("invalid_request", "invalid-request").await;
    walk.open("/_codescan/oauth2/authorize?state=cop1.abc&code=def").await;
    walk.browser.sees_error("login_expired", "login-expired").await;
    walk.browser.post_a_form_to(&walk.at("/_codescan/oauth2/authorize?state=cop1.abc")).await;
    walk.browser.sees_error("method_not_allowed", "method-not-allowed").await;
    walk.open("/_codescan/oauth2/auth").await;
    walk.browser.sees_error("not_found", "not-found").await;
}

#[tokio::test]
async fn codescan_is_down_or_slow() {
    let impatient = |settings: &mut Settings| {
        settings.text("codescan.response_timeout", "1s");
    };
    let Some(walk) = Walk::with(impatient).await else { return };
    walk.log_in("jcitizen").await;
    walk.open("/hang").await;
    walk.browser.sees_error("upstream_timeout", "upstream-timeout").await;
    walk.stage.codescan.stop().await.expect("CodeScan goes down");
    walk.open("/issues?id=7").await;
    walk.browser.sees_error("upstream_unreachable", "upstream-unreachable").await;
    walk.stage.codescan.resume().await.expect("CodeScan comes back");
    walk.browser.reload().await;
    walk.is_logged_in("jcitizen").await;
}

#[tokio::test]
async fn what_is_sent_is_too_large() {
    let small = |settings: &mut Settings| {
        settings.text("server.max_body_size", "1KiB");
        settings.text("server.max_header_size", "4KiB");
    };
    let Some(walk) = Walk::with(small).await else { return };
    walk.log_in("jcitizen").await;
    walk.browser.run("document.getElementById('text').value = 'x'.repeat(2000)").await;
    walk.browser.press("#send").await;
    walk.browser.sees_error("body_too_large", "body-too-large").await;
    walk.open(&format!("/{}", "x".repeat(5000))).await;
    walk.browser.sees_error("header_too_large", "header-too-large").await;
}
