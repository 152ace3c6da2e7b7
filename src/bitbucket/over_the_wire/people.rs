//! Whose token it is.

use super::{has_field, target};
use crate::bitbucket::testing::{Reply, Server, client, json, settings};
use crate::bitbucket::{PeopleError, Person};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

const JANE: &str = r#"{"name":"jane","emailAddress":"jane@example.com","active":true,
    "displayName":"Jane","id":101,"slug":"jane","type":"NORMAL"}"#;

fn named(status: u16, name: &str, body: &str) -> Reply {
    json(status, &format!("X-AUSERNAME: {name}\r\n"), body)
}

fn only_named(name: &str) -> Person {
    Person { name: name.into(), id: None, slug: None, display_name: None, email: None }
}

/// What is made of these answers, and which addresses were asked.
async fn whoami(replies: Vec<Reply>) -> (Result<Option<Person>, PeopleError>, Vec<String>) {
    let server = Server::start(replies).await;
    let found = client(&settings(&server.base())).whoami(&Secret::new("eyJ.t")).await;
    let targets = server.requests().iter().map(|request| target(request)).collect();
    (found, targets)
}

#[tokio::test]
async fn a_person_is_found_by_slug() {
    let (found, targets) = whoami(vec![named(200, "Jane", "{}"), json(200, "", JANE)]).await;
    let expected = Person {
        name: "Jane".into(),
        id: Some(101),
        slug: Some("jane".into()),
        display_name: Some("Jane".into()),
        email: Some("jane@example.com".into()),
    };
    assert_eq!(found, Ok(Some(expected)));
    assert_eq!(
        targets,
        ["GET /rest/api/latest/application-properties", "GET /rest/api/latest/users/Jane"]
    );
}

#[tokio::test]
async fn the_token_is_shown_as_bearer_and_no_cookie_is_kept() {
    let cookie = "X-AUSERNAME: jane\r\nSet-Cookie: BITBUCKETSESSIONID=1\r\n";
    let server = Server::start([json(200, cookie, "{}"), json(200, "", JANE)]).await;
    let client = client(&settings(&server.base()));
    client.whoami(&Secret::new("eyJ.t")).await.expect("a person");
    for request in server.requests() {
        assert!(has_field(&request, "authorization: Bearer eyJ.t"), "{request}");
        assert!(!request.to_lowercase().contains("cookie"), "{request}");
    }
}

#[tokio::test]
async fn a_person_whose_slug_differs_is_searched_page_by_page() {
    let first =
        r#"{"values":[{"name":"j\u00fcrgen/b","id":1}],"isLastPage":false,"nextPageStart":100}"#;
    let second = r#"{"values":[{"name":"J\u00dcRGEN/","id":2}],"isLastPage":true}"#;
    for miss in
        [json(404, "", "{}"), json(400, "", "{}"), json(200, "", r#"{"name":"somebody","id":9}"#)]
    {
        let replies = vec![
            named(200, "J%C3%BCrgen/", "{}"),
            miss,
            json(200, "", first),
            json(200, "", second),
        ];
        let (found, targets) = whoami(replies).await;
        assert_eq!(found.expect("found").expect("named").id, Some(2));
        assert_eq!(targets[1], "GET /rest/api/latest/users/J%C3%BCrgen%2F");
        let search = "GET /rest/api/latest/users?filter=J%C3%BCrgen%2F&limit=100&start=";
        assert_eq!(targets[2..], [format!("{search}0"), format!("{search}100")]);
    }
}

#[tokio::test]
async fn a_search_ends() {
    let mut replies = vec![named(200, "jane", "{}"), json(404, "", "{}")];
    for page in 1..20 {
        let next = page * 100;
        let page = format!(r#"{{"values":[],"isLastPage":false,"nextPageStart":{next}}}"#);
        replies.push(json(200, "", &page));
    }
    let (found, targets) = whoami(replies).await;
    assert_eq!(found, Ok(Some(only_named("jane"))));
    assert_eq!(targets.len(), 12);
}

#[tokio::test]
async fn a_name_that_would_be_another_address_is_searched() {
    let nobody = json(200, "", r#"{"values":[],"isLastPage":true}"#);
    let (found, targets) = whoami(vec![named(200, "..", "{}"), nobody]).await;
    assert_eq!(found, Ok(Some(only_named(".."))));
    assert_eq!(targets[1], "GET /rest/api/latest/users?filter=%2E%2E&limit=100&start=0");
}

#[tokio::test]
async fn a_look_up_that_fails_is_trouble_but_one_not_allowed_is_not() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>log in</p>";
    for (reply, expected) in [
        (json(401, "", "{}"), Ok("jane")),
        (named(403, "jane", "{}"), Ok("jane")),
        (json(500, "", "{}"), Err("status")),
        (json(429, "", "{}"), Err("status")),
        (json(302, "Location: /login\r\n", ""), Err("redirect")),
        (Reply::Bytes(html.into()), Err("not_json")),
        (Reply::Bytes(String::new()), Err("broken")),
    ] {
        let (found, _) = whoami(vec![named(200, "jane", "{}"), reply]).await;
        match (found, expected) {
            (Ok(found), Ok(name)) => assert_eq!(found, Some(only_named(name))),
            (Err(PeopleError::Unreachable { cause, .. }), Err(kind)) => {
                assert_eq!(cause.kind(), kind);
            }
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn an_inactive_person_is_told() {
    let inactive = json(200, "", r#"{"name":"jane","id":101,"active":false}"#);
    let (found, _) = whoami(vec![named(200, "jane", "{}"), inactive]).await;
    assert_eq!(found, Err(PeopleError::Inactive { name: "jane".into() }));
}

#[tokio::test]
async fn a_dead_token_ends_the_questions() {
    let (found, targets) = whoami(vec![json(200, "", r#"{"version":"9.4.0"}"#)]).await;
    assert_eq!((found, targets.len()), (Err(PeopleError::DeadToken), 1));
}

#[tokio::test]
async fn nobody_is_asked_for_without_an_address() {
    let server = Server::start([]).await;
    let client = client(&Bitbucket { whoami_url: None, ..settings(&server.base()) });
    assert_eq!(client.whoami(&Secret::new("t")).await, Ok(None));
    assert_eq!(client.revoke(&Secret::new("t"), None).await, Ok(false));
    assert_eq!(server.requests().len(), 0);
}
