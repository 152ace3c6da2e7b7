//! The code flow, as a browser and as a client walk it.

use crate::client::*;
use simulator::bitbucket::{Consent, Pkce, RefusalShape, Reuse};
use simulator::{Bitbucket, Call};

#[tokio::test]
async fn a_person_logs_in_consents_and_comes_back_with_a_code() {
    let bitbucket = bitbucket().await;
    let asked = get(&authorize_url(&bitbucket), &[]).await;
    let login_page = at(&bitbucket, asked.header("location").expect("to the login page"));
    assert!(get(&login_page, &[]).await.text().contains(r#"id="login-jcitizen""#));

    let next = parameter(&login_page, "next").expect("the way back");
    let form = format!("user=jcitizen&next={}", encode(&next));
    let logged_in = post(&format!("{}/login", bitbucket.url()), &[], &form).await;
    let cookie = logged_in.header("set-cookie").expect("a session").split(';').next();
    let cookie = [("cookie", cookie.expect("a pair"))];

    let consent = at(&bitbucket, logged_in.header("location").expect("to the consent page"));
    let page = get(&consent, &cookie).await;
    assert!(page.text().contains("Repositories – Admin") && page.text().contains(r#"id="deny""#));
    let allowed = post(&consent, &cookie, "decision=allow").await;
    let location = allowed.header("location").expect("back to the client");
    assert_eq!(parameter(location, "state").as_deref(), Some("st-1"));
    let code = parameter(location, "code").expect("a code");
    assert_eq!(token(&bitbucket, &exchange_form(&bitbucket, &code)).await.status, 200);

    let denied = post(&consent, &cookie, "decision=deny").await;
    let location = denied.header("location").expect("back to the client");
    assert_eq!(parameter(location, "error").as_deref(), Some("access_denied"));
    bitbucket.faults(|faults| faults.consent = Consent::Approve);
    assert_eq!(get(&consent, &cookie).await.status, 302);
    assert_eq!(bitbucket.count(Call::Consent), 2);
}

#[tokio::test]
async fn a_code_is_good_once_and_its_second_use_ends_the_tokens() {
    let bitbucket = bitbucket().await;
    let form = exchange_form(&bitbucket, &code(&bitbucket));
    let (access, _) = pair(&token(&bitbucket, &form).await);
    assert_eq!(token(&bitbucket, &form).await.json()["error"], "invalid_grant");
    assert_eq!(whoami(&bitbucket, &access).await.status, 401);

    bitbucket.faults(|faults| faults.code_reuse = Reuse::Refused);
    let form = exchange_form(&bitbucket, &code(&bitbucket));
    let (access, _) = pair(&token(&bitbucket, &form).await);
    assert_eq!(token(&bitbucket, &form).await.status, 400);
    assert_eq!(whoami(&bitbucket, &access).await.status, 200);
}

#[tokio::test]
async fn a_code_needs_the_verifier_the_redirect_url_and_its_ten_seconds() {
    let bitbucket = bitbucket().await;
    let good = || exchange_form(&bitbucket, &code(&bitbucket));
    let wrong = [
        good().replace(VERIFIER, &VERIFIER.replace('d', "e")),
        good().replace(&format!("&code_verifier={VERIFIER}"), ""),
        good().replace("8080", "8081"),
    ];
    for form in wrong {
        assert_eq!(token(&bitbucket, &form).await.json()["error"], "invalid_grant", "{form}");
    }
    bitbucket.faults(|faults| faults.pkce = Pkce::Ignored);
    let form = good().replace(&format!("&code_verifier={VERIFIER}"), "");
    assert_eq!(token(&bitbucket, &form).await.status, 200);

    bitbucket.faults(|faults| faults.code_lifetime = std::time::Duration::ZERO);
    let late = token(&bitbucket, &good()).await.json();
    assert_eq!(late["error_description"], "The authorization code has expired");
}

#[tokio::test]
async fn what_cannot_be_redirected_stays_at_bitbucket() {
    let bitbucket = bitbucket().await;
    let good = authorize_url(&bitbucket);
    let other_client = good.replace(bitbucket.client_id(), "0000");
    let other_place = good.replace("8080", "8081");
    let quotation_mark = good.replace("st-1", "st%22");
    for url in [other_client, other_place, quotation_mark] {
        let refused = get(&url, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.header("location")), (400, None));
        assert_eq!(refused.json()["error"], "invalid_request");
    }
    bitbucket.faults(|faults| faults.refusal = RefusalShape::Html);
    let refused = get(&good.replace("client_id", "client"), &[]).await;
    assert!(refused.text().contains(r#"<p id="error">"#));
}

#[tokio::test]
async fn other_errors_go_back_to_the_client() {
    let bitbucket = bitbucket().await;
    let good = authorize_url(&bitbucket);
    let cases = [
        (good.replace("=code&", "=token&"), "unsupported_response_type"),
        (good.replace("REPO_ADMIN", "SYSTEM_ADMIN"), "invalid_scope"),
        (good.replace("=S256", "=sha256"), "invalid_request"),
        (good.replace(CHALLENGE, "short"), "invalid_request"),
    ];
    for (url, error) in cases {
        let location = bitbucket.approve("jcitizen", &url).expect("a redirect");
        assert_eq!(parameter(&location, "error").as_deref(), Some(error), "{url}");
    }
    bitbucket.faults(|faults| faults.challenge_methods.push("sha256".into()));
    let sha256 = good.replace("=S256", "=sha256");
    let location = bitbucket.approve("jcitizen", &sha256).expect("a redirect");
    assert!(parameter(&location, "code").is_some());
    bitbucket.faults(|faults| faults.authorize_error = Some("temporarily_weird".into()));
    let location = get(&good, &[]).await.header("location").map(str::to_owned);
    let error = parameter(&location.expect("a redirect"), "error");
    assert_eq!(error.as_deref(), Some("temporarily_weird"));
}

fn at(bitbucket: &Bitbucket, path: &str) -> String {
    bitbucket.url().replace("/bitbucket", path)
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
