//! What another site makes a logged-in browser send is not forwarded.

use http::{Method, StatusCode};

use crate::harness::Stage;

#[tokio::test]
async fn the_table_of_sites() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let own = stage.proxy.public_url().to_owned();
    let other_scheme = own.replace("http://", "https://");
    let port = own.rsplit(':').next().expect("a port");
    let other_port = own.replace(port, "1");
    #[rustfmt::skip]
    let table: [(&[(&str, &str)], bool); 18] = [
        (&[], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "")], false),
        (&[("sec-fetch-site", "Same-Origin")], false),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], true),
        (&[("sec-fetch-site", "cross-site"), ("origin", &own)], false),
        (&[("origin", &own)], true),
        (&[("origin", &other_scheme)], false),
        (&[("origin", &other_port)], false),
        (&[("origin", "null")], false),
        (&[("origin", "")], false),
        (&[("origin", &own), ("origin", "https://evil.example")], false),
        (&[("origin", "https://evil.example"), ("host", "evil.example")], false),
        (&[("referer", "https://evil.example/")], true),
    ];
    for (fields, passes) in table {
        stage.codescan.clear_requests();
        let answer = session.send(Method::POST, "/api/x", fields, "text").await;
        let forwarded = !stage.codescan.requests_to("/api/x").is_empty();
        assert_eq!(forwarded, passes, "{fields:?}: {}", answer.status);
        if !passes && !fields.iter().any(|(name, _)| *name == "host") {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
            assert_eq!(answer.error_code().as_deref(), Some("cross_site_request"));
        }
    }
}

#[tokio::test]
async fn every_unsafe_method_is_held_to_it_and_no_safe_one() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    for (method, passes) in [
        ("GET", true),
        ("HEAD", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PUT", false),
        ("PATCH", false),
        ("DELETE", false),
        ("PROPPATCH", false),
        ("get", false),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let status = session.send(method.clone(), "/api/x", &foreign, "").await.status;
        let wanted = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(status, wanted, "{method}");
    }
}

#[tokio::test]
async fn who_has_no_session_is_not_held_to_it() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"POST /hook\"]");
        settings.text("access.client_tokens", "pass");
    })
    .await;
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    let hook = stage.client().send(Method::POST, "/hook", &foreign, "x").await;
    assert_eq!(hook.status, StatusCode::OK, "an IdP's POST, a web hook");
    let token = stage.client().with("authorization", "Bearer squ_1");
    assert_eq!(token.send(Method::POST, "/api/x", &foreign, "x").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_person_sees_a_page_about_it() {
    let stage = Stage::set().await;
    let mut browser = stage.logged_in("jcitizen").await;
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    let page = browser.navigate(Method::POST, "/form", &foreign, "text=x").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.header("content-type").is_some_and(|it| it.starts_with("text/html")));
    assert_eq!(page.error_code().as_deref(), Some("cross_site_request"));
}
