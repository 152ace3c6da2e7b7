//! Pages that are still open when their session has ended.

use serde_json::json;

use crate::walk::Walk;

const FORM_REFUSED: &str = "You are no longer signed in";

#[tokio::test]
async fn a_form_is_submitted_again_by_going_back() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    let form = walk.send_a_form_too_late().await;
    walk.browser.sees_page(FORM_REFUSED, "form-after-session").await;
    walk.sign_in_in_a_new_tab(&form).await;
    walk.browser.back().await;
    walk.browser.see("#send").await;
    let typed = walk.browser.run("return document.getElementById('text').value").await;
    assert_eq!(typed, json!("three hours of work"));
    walk.browser.press("#send").await;
    walk.has_sent_the_form_once().await;
}

#[tokio::test]
async fn a_form_is_submitted_again_by_reloading() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    let form = walk.send_a_form_too_late().await;
    walk.browser.see("main h1").await;
    walk.sign_in_in_a_new_tab(&form).await;
    walk.browser.reload().await;
    walk.has_sent_the_form_once().await;
}

#[tokio::test]
async fn in_a_frame_the_login_opens_at_the_top() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.end_session_elsewhere().await;
    walk.browser.put_frame("/issues?id=crm").await;
    walk.browser.client.enter_frame(0).await.expect("the frame is there");
    walk.browser.sees_page("Please sign in", "login-in-frame").await;
    walk.browser.press_words("Sign in").await;
    walk.browser.client.enter_parent_frame().await.ok();
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/issues?id=crm");
}

/// Nobody can come back to a form's address with a GET.
#[tokio::test]
async fn from_a_form_in_a_frame_the_login_leads_home() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser.put_frame("/projects").await;
    walk.browser.client.enter_frame(0).await.expect("the frame is there");
    walk.browser.see("#send").await;
    walk.browser.client.enter_parent_frame().await.expect("the page is there");
    walk.end_session_elsewhere().await;
    walk.browser.client.enter_frame(0).await.expect("the frame is there");
    walk.browser.press("#send").await;
    walk.browser.press_words("Sign in").await;
    walk.browser.client.enter_parent_frame().await.ok();
    walk.browser.press("#allow").await;
    walk.is_logged_in("jcitizen").await;
    assert_eq!(walk.place().await, "/");
}

#[tokio::test]
async fn a_script_is_told_and_not_redirected() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.end_session_elsewhere().await;
    let answer = walk
        .browser
        .run_until_done(
            "fetch('/api/issues/search').then(async answer => done({
                status: answer.status, redirected: answer.redirected,
                type: answer.headers.get('content-type'),
                challenge: answer.headers.get('www-authenticate'),
                body: await answer.json(),
            }))",
        )
        .await;
    let login_url = walk.at("/_codescan/oauth2/authorize?rd=/api/issues/search");
    assert_eq!(
        answer,
        json!({
            "status": 401, "redirected": false, "type": "application/json",
            "challenge": "Bearer realm=\"codescan\"",
            "body": { "error": "login_required", "login_url": login_url },
        })
    );
    let by_xhr = walk
        .browser
        .run_until_done(
            "const request = new XMLHttpRequest();
             request.onloadend = () => done([request.status, JSON.parse(request.response).error]);
             request.open('POST', '/api/issues/do'); request.send('x')",
        )
        .await;
    assert_eq!(by_xhr, json!([401, "login_required"]));
}

/// `SameSite=Lax` keeps the cookie from a form of another site, so it comes as nobody's.
#[tokio::test]
async fn a_form_of_another_site_changes_nothing_and_says_so() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser.open(&walk.stage.bitbucket.url()).await;
    walk.browser.post_a_form_to(&walk.at("/form")).await;
    walk.browser.sees_error("login_required", "form-of-another-site").await;
    assert_eq!(walk.browser.text("main h1").await, "This form came from another site");
    assert!(walk.stage.codescan.requests_to("/form").is_empty());
    walk.browser.press_words("Open CodeScan").await;
    walk.is_logged_in("jcitizen").await;
}

/// Another port is the same site, and the cookie comes along.
#[tokio::test]
async fn a_form_of_a_neighbour_is_refused() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser.open(walk.stage.codescan.url()).await;
    walk.stage.codescan.clear_requests();
    walk.browser.post_a_form_to(&walk.at("/form")).await;
    walk.browser.sees_error("cross_site_request", "cross-site-request").await;
    assert!(walk.stage.codescan.requests_to("/form").is_empty());
    walk.browser.press_words("Open CodeScan").await;
    walk.is_logged_in("jcitizen").await;
}

#[tokio::test]
async fn a_page_that_listens_ends_with_its_session() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.browser
        .run(
            "window.heard = []; window.source = new EventSource('/api/push/sonarlint_events');
             source.addEventListener('pushed', event => heard.push(event.data))",
        )
        .await;
    walk.stage.codescan.wait_for_event_streams(1).await;
    walk.stage.codescan.push_event("news");
    walk.browser.holds("heard.includes('news')").await;
    // The stream breaks off; the browser comes back for more, and is told that it is nobody.
    walk.end_session_elsewhere().await;
    walk.browser.holds("source.readyState === EventSource.CLOSED").await;
    walk.stage.codescan.wait_for_event_streams(0).await;
    assert_eq!(walk.place().await, "/");
}

#[tokio::test]
async fn a_websocket_of_a_page_ends_with_the_session() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    let echo = walk
        .browser
        .run_until_done(
            "window.socket = new WebSocket(`ws://${location.host}/ws`);
             socket.onopen = () => socket.send('hello');
             socket.onmessage = event => done(event.data);
             socket.onerror = () => done('error')",
        )
        .await;
    assert_eq!(echo, json!("hello"));
    walk.stage.codescan.wait_for_websockets(1).await;
    walk.end_session_elsewhere().await;
    walk.browser.holds("socket.readyState === WebSocket.CLOSED").await;
    let refused = walk
        .browser
        .run_until_done(
            "const socket = new WebSocket(`ws://${location.host}/ws`);
             socket.onopen = () => done('open'); socket.onerror = () => done('refused')",
        )
        .await;
    assert_eq!(refused, json!("refused"));
}
