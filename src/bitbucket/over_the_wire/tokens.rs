//! The token endpoint: what is sent, and what is made of it.

use super::{TOKENS, VERIFIER, body, exchange, has_field, target};
use crate::bitbucket::TokenError;
use crate::bitbucket::testing::{Server, client, json, settings};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

#[tokio::test]
async fn a_code_is_exchanged_by_a_form() {
    let server = Server::start([json(200, "Set-Cookie: a=b\r\n", TOKENS)]).await;
    let tokens = exchange(&client(&settings(&server.base()))).await.expect("tokens");
    assert_eq!(tokens.access_token, Secret::new("eyJ.new"));
    assert_eq!(tokens.refresh_token, Some(Secret::new("eyJ.next")));

    let request = &server.requests()[0];
    assert_eq!(target(request), "POST /rest/oauth2/latest/token");
    assert!(has_field(request, &format!("host: {}", server.address)), "{request}");
    assert!(has_field(request, "accept: application/json"), "{request}");
    assert!(has_field(request, "content-type: application/x-www-form-urlencoded"), "{request}");
    assert!(request.to_lowercase().contains("user-agent: codescan-oauth-proxy/"), "{request}");
    assert!(!request.to_lowercase().contains("authorization:"), "{request}");
    assert_eq!(
        body(request),
        "grant_type=authorization_code&code=the%2Fc0de\
         &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\
         &client_id=4f1c0e7a9b2d4c5e8f60718293a4b5c6&client_secret=the%2Bclient%26secret\
         &redirect_uri=https%3A%2F%2Fcodescan.example.com%2F_codescan%2Foauth2%2Fauthorize"
    );
}

#[tokio::test]
async fn the_redirect_url_is_sent_as_it_is_written() {
    // Each of these a URL parser would write in another way.
    for written in ["https://CodeScan.example.com:443/a/../b", "https://codescan.example.com"] {
        let server = Server::start([json(200, "", TOKENS)]).await;
        let settings = Bitbucket { redirect_url: written.to_owned(), ..settings(&server.base()) };
        let client = client(&settings);
        exchange(&client).await.expect("tokens");
        let url = client.authorize_url("s", &Secret::new(VERIFIER)).parse().expect("a URL");
        for query in [url::Url::query(&url).expect("a query"), body(&server.requests()[0])] {
            let sent = url::form_urlencoded::parse(query.as_bytes())
                .find(|(name, _)| name == "redirect_uri");
            assert_eq!(sent.expect("sent").1, written);
        }
    }
}

#[tokio::test]
async fn a_refresh_without_a_new_refresh_token_keeps_the_old() {
    let server = Server::start([json(200, "", r#"{"access_token":"eyJ.new"}"#)]).await;
    let client = client(&settings(&server.base()));
    let tokens = client.refresh(&Secret::new("eyJ.old")).await.expect("tokens");
    assert_eq!(tokens.refresh_token, Some(Secret::new("eyJ.old")));
    assert_eq!(
        body(&server.requests()[0]),
        "grant_type=refresh_token&refresh_token=eyJ.old\
         &client_id=4f1c0e7a9b2d4c5e8f60718293a4b5c6&client_secret=the%2Bclient%26secret"
    );
}

#[tokio::test]
async fn a_refresh_knows_no_redirect() {
    let refused = r#"{"error":"invalid_grant","error_description":"redirect"}"#;
    let server = Server::start([json(400, "", refused), json(400, "", refused)]).await;
    let client = client(&settings(&server.base()));
    let refreshed = client.refresh(&Secret::new("eyJ.old")).await;
    assert_eq!(refreshed.expect_err("refused"), TokenError::InvalidGrant);
    assert_eq!(exchange(&client).await.expect_err("refused"), TokenError::RedirectMismatch);
}

#[tokio::test]
async fn a_token_answer_without_a_token_is_nonsense() {
    let server = Server::start([json(200, "", r#"{"access":"s3cr3t"}"#)]).await;
    let error = exchange(&client(&settings(&server.base()))).await.expect_err("no token");
    assert!(matches!(error, TokenError::Nonsense(_)), "{error}");
    assert!(!format!("{error:?} {error}").contains("s3cr3t"));
}

#[tokio::test]
async fn tokens_are_revoked_the_refresh_token_first() {
    for (replies, expected, calls) in [
        (vec![json(200, "", ""), json(200, "", "")], Ok(true), 2),
        (vec![json(404, "", "{}")], Ok(false), 1),
        (vec![json(405, "", "{}")], Ok(false), 1),
        (vec![json(401, "", r#"{"error":"invalid_client"}"#)], Err(TokenError::WrongClient), 1),
    ] {
        let server = Server::start(replies).await;
        let revoke_url = format!("{}/revoke", server.base()).parse().expect("a URL");
        let client =
            client(&Bitbucket { revoke_url: Some(revoke_url), ..settings(&server.base()) });
        let revoked = client.revoke(&Secret::new("acc"), Some(&Secret::new("ref"))).await;
        assert_eq!(revoked, expected);
        let requests = server.requests();
        assert_eq!(requests.len(), calls);
        assert_eq!(
            body(&requests[0]),
            "token=ref&token_type_hint=refresh_token\
             &client_id=4f1c0e7a9b2d4c5e8f60718293a4b5c6&client_secret=the%2Bclient%26secret"
        );
        let second = requests.get(1).map(|request| body(request));
        assert!(
            second.is_none_or(|form| form.starts_with("token=acc&token_type_hint=access_token"))
        );
    }
}
