//! The token endpoint: rotation, misdeeds, and each way to go wrong.

use crate::client::*;
use simulator::Call;
use simulator::bitbucket::{ExpiresIn, Revoke, TokenFault};

#[tokio::test]
async fn a_refresh_kills_both_old_tokens_at_once() {
    let bitbucket = bitbucket().await;
    let (old_access, old_refresh) = log_in(&bitbucket).await;
    let form = refresh_form(&bitbucket, &old_refresh);
    let (access, refresh) = pair(&token(&bitbucket, &form).await);
    assert_eq!(whoami(&bitbucket, &old_access).await.status, 401);
    assert_eq!(whoami(&bitbucket, &access).await.status, 200);
    let again = token(&bitbucket, &form).await;
    assert_eq!((again.status.as_u16(), &again.json()["error"]), (400, &"invalid_grant".into()));
    assert_eq!(whoami(&bitbucket, &access).await.status, 200);
    assert_eq!(token(&bitbucket, &refresh_form(&bitbucket, &refresh)).await.status, 200);
    assert_eq!(bitbucket.grants_of("jcitizen"), 1);
}

#[tokio::test]
async fn what_a_client_must_not_do_is_refused_and_counted() {
    let bitbucket = bitbucket().await;
    let (url, good) = (token_url(&bitbucket), exchange_form(&bitbucket, &code(&bitbucket)));
    let basic = [("authorization", "Basic Zm9vOmJhcg==")];
    assert_eq!(post(&url, &basic, &good).await.json()["error"], "invalid_client");
    let in_query = format!("{url}?client_secret=x");
    assert_eq!(post(&in_query, &[], &good).await.json()["error"], "invalid_request");
    let json = request("POST", &url, &[("content-type", "application/json")], "{}");
    assert_eq!(send(json).await.expect("an answer").status, 500);
    for call in [Call::BasicAtToken, Call::CredentialsInQuery, Call::JsonAtToken] {
        assert_eq!(bitbucket.count(call), 1, "{call:?}");
    }
    // None of them has spent the code.
    assert_eq!(token(&bitbucket, &good).await.status, 200);
}

#[tokio::test]
async fn wrong_credentials_are_401_or_400() {
    let bitbucket = bitbucket().await;
    let wrong = exchange_form(&bitbucket, "x").replace("client_secret=", "client_secret=0");
    assert_eq!(token(&bitbucket, &wrong).await.status, 401);
    bitbucket.faults(|faults| faults.invalid_client_status = 400);
    let refused = token(&bitbucket, &wrong).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]),
        (400, &"invalid_client".into())
    );
}

#[tokio::test]
async fn faults_that_come_first_spend_nothing() {
    let bitbucket = bitbucket().await;
    let form = exchange_form(&bitbucket, &code(&bitbucket));
    let faults = [
        (TokenFault::Html500, 500),
        (TokenFault::Html502, 502),
        (TokenFault::Html503, 503),
        (TokenFault::TooManyRequests(Some(7)), 429),
        (TokenFault::Html200, 200),
        (TokenFault::NotOAuth, 200),
        (TokenFault::Redirect("http://elsewhere.example".into()), 302),
        (TokenFault::redirect_mismatch(), 400),
        (TokenFault::invalid_client(401), 401),
    ];
    for (fault, status) in faults {
        bitbucket.faults(|faults| faults.token = fault.clone());
        assert_eq!(token(&bitbucket, &form).await.status, status, "{fault:?}");
    }
    bitbucket.faults(|faults| faults.token = TokenFault::HangUp);
    let broken = send(request("POST", &token_url(&bitbucket), &[], "")).await;
    assert!(broken.is_err());
    bitbucket.faults(|faults| faults.token = TokenFault::None);
    assert_eq!(token(&bitbucket, &form).await.status, 200);
}

#[tokio::test]
async fn a_fault_can_be_for_one_call_and_for_one_kind() {
    let bitbucket = bitbucket().await;
    bitbucket.faults(|faults| faults.refresh = TokenFault::Html503);
    let (_, refresh) = log_in(&bitbucket).await;
    bitbucket.faults(|faults| faults.token_times = Some(1));
    let form = refresh_form(&bitbucket, &refresh);
    assert_eq!(token(&bitbucket, &form).await.status, 503);
    assert_eq!(token(&bitbucket, &form).await.status, 200);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_old_tokens_dead() {
    let bitbucket = bitbucket().await;
    let (access, refresh) = log_in(&bitbucket).await;
    bitbucket.faults(|faults| faults.refresh = TokenFault::AnswerLost);
    let form = refresh_form(&bitbucket, &refresh);
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let lost = send(request("POST", &token_url(&bitbucket), &headers, &form)).await;
    assert!(lost.is_err());
    assert_eq!(whoami(&bitbucket, &access).await.status, 401);
    bitbucket.faults(|faults| faults.refresh = TokenFault::None);
    assert_eq!(token(&bitbucket, &form).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn a_call_hangs_until_told() {
    let bitbucket = bitbucket().await;
    bitbucket.faults(|faults| faults.token = TokenFault::Hang);
    let form = exchange_form(&bitbucket, &code(&bitbucket));
    let told = async {
        bitbucket.wait_for(Call::TokenExchange, 1).await;
        bitbucket.faults(|faults| faults.token = TokenFault::Html503);
    };
    let (reply, ()) = tokio::join!(token(&bitbucket, &form), told);
    assert_eq!(reply.status, 503);
}

#[tokio::test]
async fn answers_take_every_documented_and_feared_form() {
    let bitbucket = bitbucket().await;
    let exchange = async || token(&bitbucket, &exchange_form(&bitbucket, &code(&bitbucket))).await;
    let plain = exchange().await;
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    assert_eq!(plain.json()["expires_in"], 3600);
    assert_eq!(plain.json()["token_type"], "bearer");
    assert_eq!(plain.json()["scope"], "REPO_ADMIN");

    bitbucket.faults(|faults| {
        faults.token_answer.expires_in = ExpiresIn::Text;
        faults.token_answer.refresh_token = false;
        faults.token_answer.huge = true;
    });
    let odd = exchange().await.json();
    assert_eq!(odd["expires_in"], "3600");
    assert!(odd.get("refresh_token").is_none());
    assert!(odd["access_token"].as_str().expect("a token").len() > 8 * 1024);

    bitbucket.faults(|faults| faults.token = TokenFault::Truncated);
    assert!(serde_json::from_slice::<serde_json::Value>(&exchange().await.body).is_err());
}

#[tokio::test]
async fn revocation_is_absent_unless_switched_on() {
    let bitbucket = bitbucket().await;
    let (access, refresh) = log_in(&bitbucket).await;
    let url = format!("{}/rest/oauth2/latest/revoke", bitbucket.url());
    let form = refresh_form(&bitbucket, "").replace("&refresh_token=", "&token=") + &refresh;
    assert_eq!(post(&url, &[], &form).await.status, 404);
    assert_eq!(whoami(&bitbucket, &access).await.status, 200);
    bitbucket.faults(|faults| faults.revoke = Revoke::Works);
    assert_eq!(post(&url, &[], &form).await.status, 200);
    assert_eq!(whoami(&bitbucket, &access).await.status, 401);
    let secrets = bitbucket.issued_secrets();
    assert!([access, refresh].iter().all(|secret| secrets.contains(secret)));
}
