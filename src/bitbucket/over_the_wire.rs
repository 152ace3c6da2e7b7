//! Tests of the whole room over real sockets: what is sent, how often, and what is made of answers
//! good and bad.

use std::io;
use std::time::Duration;

use http::StatusCode;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::TcpListener;

use super::testing::{Authority, Proxy, Reply, Server, client, json, settings};
use super::{
    Cause, Client, PeopleError, Person, ProxyFault, SetupError, TokenError, TokenSet, Unreachable,
};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKENS: &str = r#"{"scope":"REPO_ADMIN","access_token":"eyJ.new","token_type":"bearer",
    "expires_in":3600,"refresh_token":"eyJ.next"}"#;
const JANE: &str = r#"{"name":"jane","emailAddress":"jane@example.com","active":true,
    "displayName":"Jane","id":101,"slug":"jane","type":"NORMAL"}"#;

async fn exchange(client: &Client) -> Result<TokenSet, TokenError> {
    client.exchange(Secret::new("the/c0de"), Secret::new(VERIFIER)).await
}

/// The cause of an exchange that failed against this reply, sent exactly once.
async fn cause_of(reply: Reply) -> Cause {
    let server = Server::start([reply]).await;
    let error = exchange(&client(&settings(&server.base()))).await.expect_err("no tokens");
    assert_eq!(server.requests().len(), 1, "sent once: {error}");
    cause(error)
}

fn cause(error: TokenError) -> Cause {
    match error {
        TokenError::Unreachable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

fn impatient(base: &str) -> Bitbucket {
    Bitbucket { timeout: Duration::from_secs(1), ..settings(base) }
}

fn named(status: u16, name: &str, body: &str) -> Reply {
    json(status, &format!("X-AUSERNAME: {name}\r\n"), body)
}

fn only_named(name: &str) -> Person {
    Person { name: name.into(), id: None, slug: None, display_name: None, email: None }
}

async fn whoami(replies: Vec<Reply>) -> (Result<Option<Person>, PeopleError>, Vec<String>) {
    let server = Server::start(replies).await;
    let found = client(&settings(&server.base())).whoami(&Secret::new("eyJ.t")).await;
    let targets = server.requests().iter().map(|request| target(request)).collect();
    (found, targets)
}

/// Method and target of a request.
fn target(request: &str) -> String {
    let line = request.lines().next().expect("a request line");
    line.strip_suffix(" HTTP/1.1").expect("HTTP/1.1").to_owned()
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("head and body").1
}

fn has_field(request: &str, field: &str) -> bool {
    request.lines().any(|line| line.eq_ignore_ascii_case(field))
}

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
async fn a_redirect_is_not_followed() {
    let location = "Location: /rest/oauth2/latest/token?code=1\r\n";
    let cause = cause_of(json(302, location, "")).await;
    assert_eq!(cause, Cause::Redirect { status: StatusCode::FOUND, host: None });
}

#[tokio::test]
async fn a_connection_closed_too_early_sends_nothing_again() {
    for answer in
        ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
    {
        let cause = cause_of(Reply::Bytes(answer.into())).await;
        assert_eq!(cause, Cause::Broken, "{answer}");
        assert!(!cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let endless =
        |head: &str, chunk: &str| Reply::Endless { head: head.into(), chunk: chunk.into() };
    for reply in [
        json(200, "", &" ".repeat(64 * 1024 + 1)),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\n    \r\n"),
        endless("HTTP/1.1 200 OK\r\n\r\n", "    "),
        endless("HTTP/1.1 200 OK\r\nX-Long: ", "xxxx"),
    ] {
        assert_eq!(cause_of(reply).await, Cause::TooLarge);
    }
    let whole = format!("{TOKENS}{}", " ".repeat(64 * 1024 - TOKENS.len()));
    let server = Server::start([json(200, "", &whole)]).await;
    exchange(&client(&settings(&server.base()))).await.expect("64 KiB are not too many");
}

#[tokio::test]
async fn what_is_not_http_is_told() {
    assert_eq!(cause_of(Reply::Bytes("SSH-2.0-OpenSSH_9.6\r\n".into())).await, Cause::NotHttp);
}

#[tokio::test]
async fn trouble_is_told_with_its_wait() {
    let reply = "HTTP/1.1 503 Down\r\nContent-Type: text/html\r\nRetry-After: 7\r\n\r\n<p>no</p>";
    let server = Server::start([Reply::Bytes(reply.into())]).await;
    let error = exchange(&client(&settings(&server.base()))).await.expect_err("no tokens");
    let expected = TokenError::Unreachable {
        cause: Cause::Status {
            status: StatusCode::SERVICE_UNAVAILABLE,
            content_type: Some("text/html".into()),
        },
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_call_ends_in_time_and_tells_whether_it_was_sent() {
    let after = Duration::from_secs(1);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
    for sent in ["", half] {
        let reply = Reply::Stall(sent.into());
        let server = Server::start([reply]).await;
        let error = exchange(&client(&impatient(&server.base()))).await.expect_err("no answer");
        assert_eq!(cause(error), Cause::TimedOut { after, sent: true });
        assert_eq!(server.requests().len(), 1);
    }
    // A server that never shakes hands.
    let server = Server::start([Reply::Stall(String::new())]).await;
    let error = exchange(&client(&impatient(&server.https_base()))).await.expect_err("no answer");
    assert_eq!(cause(error), Cause::TimedOut { after, sent: false });
}

#[tokio::test]
async fn a_place_that_cannot_be_reached_is_told() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    // No name server is asked: no label is that long.
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    for (base, expected) in [
        (format!("http://{address}"), Cause::NoConnection(io::ErrorKind::ConnectionRefused)),
        (nowhere, Cause::Unresolved),
    ] {
        let cause = cause(exchange(&client(&settings(&base))).await.expect_err("nobody there"));
        assert_eq!(cause, expected);
        assert!(cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.acceptor("localhost"), [json(200, "", TOKENS)]).await;
    let mut settings = settings(&server.https_base());
    let cause = cause(exchange(&client(&settings)).await.expect_err("not trusted"));
    assert!(matches!(cause, Cause::Untrusted { .. }), "{cause}");
    assert!(cause.to_string().contains("bitbucket.ca_file"), "{cause}");

    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority.pem()).expect("written");
    settings.ca_file = Some(file.path().to_owned());
    // The first connection took the only reply with it.
    let server = Server::start_tls(authority.acceptor("localhost"), [json(200, "", TOKENS)]).await;
    settings.token_url = format!("{}/token", server.https_base()).parse().expect("a URL");
    exchange(&client(&settings)).await.expect("tokens");

    let server = Server::start_tls(authority.acceptor("example.com"), []).await;
    settings.token_url = format!("{}/token", server.https_base()).parse().expect("a URL");
    let cause = self::cause(exchange(&client(&settings)).await.expect_err("another name"));
    assert!(matches!(cause, Cause::Tls { .. }), "{cause}");
}

#[tokio::test]
async fn https_goes_through_a_tunnel_of_the_proxy() {
    let (authority, proxy) = (Authority::new(), Proxy::start(200).await);
    let server = Server::start_tls(authority.acceptor("localhost"), [json(200, "", TOKENS)]).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority.pem()).expect("written");
    let mut settings = settings(&server.https_base());
    settings.ca_file = Some(file.path().to_owned());
    settings.proxy_url = Some(Secret::new(format!("http://me:p%40ss@{}", proxy.address)));
    exchange(&Client::new(&settings).expect("usable")).await.expect("tokens");

    let connect = &proxy.requests()[0];
    let authority = format!("localhost:{}", server.address.port());
    assert_eq!(target(connect), format!("CONNECT {authority}"));
    assert!(has_field(connect, &format!("host: {authority}")), "{connect}");
    assert!(has_field(connect, "proxy-authorization: Basic bWU6cEBzcw=="), "{connect}");
    let request = &server.requests()[0];
    assert_eq!(target(request), "POST /rest/oauth2/latest/token");
    assert!(!request.to_lowercase().contains("proxy-authorization"), "{request}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_from_bitbucket() {
    for (status, expected) in
        [(407, ProxyFault::Credentials), (502, ProxyFault::Refused(StatusCode::BAD_GATEWAY))]
    {
        let proxy = Proxy::start(status).await;
        let mut settings = settings("https://bitbucket.example.com");
        settings.proxy_url = Some(Secret::new(format!("http://me:s3cr3t@{}", proxy.address)));
        let client = Client::new(&settings).expect("usable");
        let cause = cause(exchange(&client).await.expect_err("refused"));
        assert_eq!(cause, Cause::Proxy(expected));
        assert!(cause.nothing_was_sent());
    }
}

#[tokio::test]
async fn plain_http_is_handed_to_the_proxy_whole() {
    let proxy = Server::start([json(200, "", TOKENS)]).await;
    let mut settings = settings("http://bitbucket.example.com:7990");
    settings.proxy_url = Some(Secret::new(format!("http://me:pw@{}", proxy.address)));
    exchange(&Client::new(&settings).expect("usable")).await.expect("tokens");
    let request = &proxy.requests()[0];
    let expected = "POST http://bitbucket.example.com:7990/rest/oauth2/latest/token";
    assert_eq!(target(request), expected);
    assert!(has_field(request, "host: bitbucket.example.com:7990"), "{request}");
    assert!(has_field(request, "proxy-authorization: Basic bWU6cHc="), "{request}");
}

#[tokio::test]
async fn what_no_proxy_names_is_asked_straight() {
    let server = Server::start([json(200, "", TOKENS)]).await;
    let proxies = Matcher::builder().all("http://127.0.0.1:1").no("127.0.0.1").build();
    let client = Client::behind(proxies, &settings(&server.base())).expect("usable");
    exchange(&client).await.expect("tokens");
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

#[tokio::test]
async fn bitbucket_is_well_only_when_it_says_so() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>up</p>";
    for (reply, expected) in [
        (json(200, "", r#"{"state":"RUNNING"}"#), Ok(())),
        (json(200, "", r#"{"state":"STARTING"}"#), Err("not_running")),
        (json(503, "", r#"{"state":"MAINTENANCE"}"#), Err("not_running")),
        (json(503, "", ""), Err("status")),
        (json(302, "Location: /setup\r\n", ""), Err("redirect")),
        (Reply::Bytes(html.into()), Err("not_json")),
    ] {
        let server = Server::start([reply]).await;
        let found = client(&settings(&format!("{}/bitbucket", server.base()))).status().await;
        assert_eq!(found.map_err(|Unreachable { cause, .. }| cause.kind()), expected);
        assert_eq!(target(&server.requests()[0]), "GET /bitbucket/status");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named() {
    let good = settings("https://bitbucket.example.com");
    for proxy in ["socks5://proxy:1080", "https://proxy:8443", "http://", "pr oxy", ""] {
        let settings = Bitbucket { proxy_url: Some(Secret::new(proxy)), ..good.clone() };
        let error = Client::new(&settings).expect_err(proxy);
        assert!(error.to_string().starts_with("bitbucket.proxy_url"), "{error}");
    }
    let settings = Bitbucket { ca_file: Some("/nowhere/ca.pem".into()), ..good.clone() };
    let error = Client::new(&settings).expect_err("no such file").to_string();
    assert!(error.starts_with("bitbucket.ca_file: /nowhere/ca.pem"), "{error}");

    let socks = Matcher::builder().all("socks5://proxy:1080").build();
    let error = Client::behind(socks, &good).expect_err("not http");
    assert!(matches!(error, SetupError::ProxyInEnvironment), "{error}");
}

/// Calls run as tasks of a runtime with several threads.
#[test]
fn calls_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let client = client(&settings("https://bitbucket.example.com"));
    let secret = Secret::new("x");
    is_send(&client.exchange(secret.clone(), secret.clone()));
    is_send(&client.refresh(&secret));
    is_send(&client.revoke(&secret, None));
    is_send(&client.whoami(&secret));
    is_send(&client.status());
}
