//! Header fields on their way: what is removed, what is set, what passes.

use http::Method;

use crate::harness::upstream::Upstream;
use crate::harness::wire::{get, head};
use crate::harness::{Stage, pattern};

/// Every name that says who the client is, where the request came to, or who is logged in.
const SPOOFED: [&str; 26] = [
    "X-Forwarded-Proto",
    "x_forwarded_proto",
    "X-Forwarded_Host",
    "X-FORWARDED-HOST",
    "X-Forwarded-Port",
    "X_Forwarded_For",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Uri",
    "X_Forwarded-Method",
    "X-Forwarded-User",
    "X-Forwarded-Login",
    "x_forwarded_login",
    "X-Forwarded-Name",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Forwarded",
    "X-Original-URL",
    "X-Original-Method",
    "X_Original_Host",
    "X-Rewrite-URL",
    "X_Rewrite_Url",
    "X-Real-IP",
    "x_real-ip",
    "Forwarded",
];

fn spoofed() -> String {
    SPOOFED.iter().map(|name| format!("{name}: spoofed-by-client\r\n")).collect()
}

/// Each kind of caller there is, by the fields that make it one.
async fn callers(stage: &Stage) -> [(&'static str, String); 3] {
    [
        ("session", stage.session_of("jcitizen").await.lines()),
        ("public", String::new()),
        ("client token", "Authorization: Bearer squ_1\r\n".to_owned()),
    ]
}

async fn open_to_callers() -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/api/public/**\"]");
        settings.text("access.client_tokens", "pass");
        settings.header("Authorization", "Bearer {access_token}");
        settings.header("X-SSO-Login", "{user}");
    })
    .await
}

fn path_of(caller: &str) -> &'static str {
    if caller == "public" { "/api/public/x" } else { "/api/x" }
}

#[tokio::test]
async fn nobody_can_say_who_they_are_or_where_they_came_to() {
    let stage = open_to_callers().await;
    for (caller, fields) in callers(&stage).await {
        let mut wire = stage.client().open().await;
        wire.get(path_of(caller), &format!("{fields}{}", spoofed())).await;
        let received = stage.received(path_of(caller));
        let arrived = received.headers.iter().filter(|(_, value)| value.contains("spoofed"));
        assert_eq!(arrived.collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "{caller}");
    }
}

#[tokio::test]
async fn nor_by_a_handshake_or_the_callback_that_codescan_shares_with_us() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, fields) in [("/ws", upgrade), ("/_codescan/oauth2/authorize", "")] {
        let mut wire = session.open().await;
        let fields = format!("{}{fields}{}", session.lines(), spoofed());
        wire.send(get(&format!("{path}?state=theirs&code=a%20b"), &fields)).await;
        wire.head().await;
        let received = stage.received(path);
        assert!(received.headers.iter().all(|(_, value)| !value.contains("spoofed")), "{path}");
        assert_eq!(received.query(), Some("state=theirs&code=a%20b"));
    }
}

#[tokio::test]
async fn names_of_the_header_map_are_ours_alone() {
    let stage = open_to_callers().await;
    let spellings = ["X-SSO-Login", "x-sso-login", "X_SSO_Login", "X-SSO_LOGIN", "x_sso-login"];
    let mine: String = spellings.iter().map(|name| format!("{name}: root\r\n")).collect();
    for (caller, fields) in callers(&stage).await {
        let mut wire = stage.client().open().await;
        wire.get(path_of(caller), &format!("{mine}{fields}")).await;
        let received = stage.received(path_of(caller));
        let named = received
            .headers
            .iter()
            .filter(|(name, _)| name.to_lowercase().replace('_', "-") == "x-sso-login");
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        let wanted = if caller == "session" { vec!["jcitizen"] } else { vec![] };
        assert_eq!(values, wanted, "{caller}");
    }
}

#[tokio::test]
async fn the_clients_authorization_is_replaced() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields =
        format!("{}Authorization: Basic cm9vdDo=\r\nauthorization: Bearer x\r\n", session.lines());
    session.open().await.get("/api/x", &fields).await;
    let received = stage.received("/api/x");
    let tokens: Vec<&str> = received.all("authorization").collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    let token = tokens[0].strip_prefix("Bearer ").expect("a Bearer");
    assert!(stage.bitbucket.person_of(token).is_some());
}

#[tokio::test]
async fn connection_cannot_name_our_fields_away() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!(
        "{}Cookie: theirs=1\r\nConnection: close, Authorization, X-Forwarded-For\r\n\
         Connection: x-forwarded-proto,forwarded,x-request-id,host,traceparent\r\n",
        session.lines()
    );
    session.open().await.get("/api/x", &fields).await;
    let received = stage.received("/api/x");
    for name in [
        "authorization",
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "x-request-id",
        "host",
    ] {
        assert_eq!(received.all(name).count(), 1, "{name}");
    }
}

#[tokio::test]
async fn naming_the_cookie_away_logs_nobody_in_or_out() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}Cookie: theirs=1\r\nConnection: cookie\r\n", session.lines());
    let answer = session.open().await.get("/api/x", &fields).await;
    assert_eq!(answer.status, 200);
    let received = stage.received("/api/x");
    assert!(received.header("authorization").is_some(), "it is still that session's request");
    assert!(received.all("cookie").all(|it| !it.contains("codescan_session")));
}

#[tokio::test]
async fn what_is_between_neighbours_stays_there() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!(
        "{}Connection: keep-alive, X-Hop, x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\n\
         Trailer: x\r\nX-Passes: 1\r\n",
        session.lines()
    );
    session.open().await.get("/api/x", &fields).await;
    let received = stage.received("/api/x");
    for name in ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    for name in ["proxy-authorization", "te", "trailer", "upgrade"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(received.header("x-passes"), Some("1"));
}

#[tokio::test]
async fn what_is_between_codescan_and_us_stays_there() {
    let upstream = Upstream::start().await;
    let stage = Stage::with(|settings| {
        settings.text("codescan.url", upstream.url());
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.send(get("/", "")).await;
    upstream
        .call()
        .await
        .answer(
            "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\n\
             keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\n\
             x-passes: 1\r\ncontent-length: 2\r\n\r\nok",
        )
        .await;
    let answer = wire.answer().await;
    assert_eq!((answer.text().as_str(), answer.header("x-passes")), ("ok", Some("1")));
    for name in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade", "connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn other_fields_pass_underscores_and_odd_bytes_included() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!(
        "{}PROJECT_KEY: my_project\r\nX-Odd:   a  b\tc=\"d\" \r\nX-Latin: \u{fc}\r\nX-Empty:\r\n\
         User-Agent: ScannerCLI/5.0\r\nX-XSRF-TOKEN: t\r\nX-ForwardedFor: 1\r\nXForwarded-For: 1\r\n",
        session.lines()
    );
    session.open().await.get("/api/x", &fields).await;
    let received = stage.received("/api/x");
    for (name, value) in [
        ("project_key", "my_project"),
        ("x-odd", "a  b\tc=\"d\""),
        ("x-latin", "\u{fc}"),
        ("x-empty", ""),
        ("user-agent", "ScannerCLI/5.0"),
        ("x-xsrf-token", "t"),
        ("x-forwardedfor", "1"),
        ("xforwarded-for", "1"),
    ] {
        assert_eq!(received.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
}

#[tokio::test]
async fn fields_of_one_name_keep_their_order() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let fields = format!("{}X-Many: 1\r\nAccept: a\r\nX-Many: 2\r\nx-many: 3\r\n", session.lines());
    session.open().await.get("/api/x", &fields).await;
    assert_eq!(stage.received("/api/x").all("x-many").collect::<Vec<_>>(), ["1", "2", "3"]);
    let answer = session
        .get("/status/200?header=X-Many:1&header=Link:a&header=X-Many:2&header=X-Many:3")
        .await;
    let values: Vec<_> = answer.headers.get_all("x-many").iter().collect();
    assert_eq!(values, ["1", "2", "3"]);
}

#[tokio::test]
async fn what_scanners_look_for_in_answers_is_there() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let target = "/status/200?header=Sonar-MD5:d41d8cd9&header=ETag:%22x%22\
                  &header=SonarQube-Authentication-Token-Expiration:2027-01-01T00:00:00%2B0000\
                  &header=Server:CodeScan&header=Date:Thu,%2001%20Jan%202026%2000:00:00%20GMT";
    let answer = session.get(target).await;
    assert_eq!(answer.header("sonar-md5"), Some("d41d8cd9"));
    let expires = answer.header("sonarqube-authentication-token-expiration");
    assert_eq!(expires, Some("2027-01-01T00:00:00+0000"));
    assert_eq!(answer.header("server"), Some("CodeScan"));
    assert_eq!(answer.headers.get_all("date").iter().count(), 1);
    assert_eq!(answer.header("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn shared_caches_are_kept_from_answers_to_a_session() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    for (codescan_says, client_sees) in [
        ("", vec!["private"]),
        ("max-age=60", vec!["max-age=60", "private"]),
        ("no-cache", vec!["no-cache", "private"]),
        ("x-public=1, s-maxage=5", vec!["x-public=1, s-maxage=5", "private"]),
        ("public, max-age=60", vec!["public, max-age=60"]),
        ("max-age=60,PUBLIC", vec!["max-age=60,PUBLIC"]),
        ("private", vec!["private"]),
        ("private=\"x-a\"", vec!["private=\"x-a\""]),
        ("no-store", vec!["no-store"]),
    ] {
        let field = format!(
            "header=Cache-Control:{}",
            codescan_says.replace(' ', "%20").replace('"', "%22")
        );
        let field = if codescan_says.is_empty() { String::new() } else { field };
        let answer = session.get(&format!("/status/200?{field}")).await;
        let seen: Vec<_> = answer.headers.get_all("cache-control").iter().collect();
        assert_eq!(seen, client_sees, "{codescan_says}");
    }
}

#[tokio::test]
async fn answers_to_others_say_of_caches_what_codescan_says() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let answer = stage.client().get("/status/200?header=Cache-Control:max-age=60").await;
    assert_eq!(answer.headers.get_all("cache-control").iter().collect::<Vec<_>>(), ["max-age=60"]);
    assert_eq!(stage.client().get("/status/200").await.header("cache-control"), None);
}

#[tokio::test]
async fn the_host_is_the_clients_or_codescans() {
    for (preserve, wanted) in [(true, None), (false, Some("codescan"))] {
        let stage = Stage::with(|settings| {
            settings.set("codescan.preserve_host", &preserve.to_string());
            settings.set("access.public", "[\"/**\"]");
        })
        .await;
        let codescan = stage.codescan.url().trim_start_matches("http://").to_owned();
        let wanted = wanted.map_or("codescan.example:8443".to_owned(), |_| codescan);
        stage.client().called("codescan.example:8443").get("/api/x").await;
        assert_eq!(stage.received("/api/x").all("host").collect::<Vec<_>>(), [wanted]);
    }
}

#[tokio::test]
async fn an_absolute_target_wins_over_the_host() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let mut wire = stage.client().open().await;
    wire.get("http://other.example:81/api/x?q=%41//b", "").await;
    let received = stage.received("/api/x");
    assert_eq!(received.target, "/api/x?q=%41//b");
    assert_eq!(received.all("host").collect::<Vec<_>>(), ["other.example:81"]);
    assert_eq!(wire.get("http://other.example", "").await.status, 200);
    assert_eq!(stage.received("/").target, "/");
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_believed() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let mut wire = session.open().await;
    let fields = format!("{}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", session.lines());
    wire.send(head("POST", "/api/ce/submit", &fields)).await;
    wire.send("5\r\nhello\r\n0\r\n\r\n").await;
    let answer = wire.answer().await;
    if answer.status == 200 {
        let received = stage.received("/api/ce/submit");
        assert_eq!(received.text(), Some("hello"));
        assert_eq!(received.header("content-length"), None, "one framing only");
    }
    assert_eq!(session.send(Method::GET, "/bytes/3", &[], "").await.body, pattern(3));
}
