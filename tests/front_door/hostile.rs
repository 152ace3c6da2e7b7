//! What strangers send: nothing breaks, nothing is believed, nothing is kept.

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::browser::ACCEPT_PAGE;
use crate::harness::{AUTHORIZE, Stage};

const SCRIPT: &str = "<script>alert(1)</script>";

#[tokio::test]
async fn odd_callbacks_get_a_sane_answer() {
    let stage = Stage::set().await;
    let mut browser = stage.browser();
    let long = "x".repeat(30_000);
    let many = (0..3000).map(|n| format!("a{n}=b")).collect::<Vec<_>>().join("&");
    for (query, status) in [
        ("code", 302),
        ("code=", 302),
        ("state", 302),
        ("state=&code=&error=", 302),
        ("state=cop1.", 400),
        ("state=cop1.&code=", 400),
        ("state=cop1.A&code=a&code=b", 400),
        ("state=cop1.A&state=cop1.B&code=a", 400),
        ("state=%63%6f%70%31%2e%41&code=a", 400),
        ("stat%65=cop1.A&code=a", 400),
        ("state=cop1.A&code=%", 400),
        ("state=cop1.A&code=%zz%1", 400),
        ("state=cop1.A&code=%00", 400),
        ("state=cop1.A&code=%ff%fe", 400),
        ("state=cop1.A%00&code=a", 302),
        ("state=cop1.%ff&code=a", 302),
        ("state=cop1.A&error=%00%0d%0aSet-Cookie:x=y", 403),
        ("state=cop1.A&error=%ff", 403),
        ("&&&&=&=&", 302),
        ("rd=%00", 302),
        ("rd=%ff%fe%0d%0aLocation:%20//evil.example", 302),
        ("rd[]=1&rd=/a", 302),
        (&format!("state=cop1.{long}&code=a"), 400),
        (&format!("state=cop1.A&code={long}"), 400),
        (&format!("state=cop1.A&error={long}"), 403),
        (&format!("rd=/{long}"), 302),
        (&format!("state=cop1.A&code=a&{many}"), 400),
        (&format!("{many}&rd=/x"), 302),
        (&"&".repeat(30_000), 302),
        (&"x".repeat(33_000), 431),
        (&"x".repeat(60_000), 431),
    ] {
        let shown = &query[..query.len().min(60)];
        let answer = browser.get(&format!("{AUTHORIZE}?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{shown}: {}", answer.text());
        assert_eq!(answer.header("set-cookie").filter(|it| it.contains("x=y")), None, "{shown}");
        browser.forget_all();
    }
    assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn bytes_that_are_no_address_end_in_an_answer_too() {
    let stage = Stage::set().await;
    for target in [&b"/\xff\xfe?\xff"[..], b"/a\0b", b"/?rd=\xc3\x28", b"/%", b"/%00", b"//", b"*"]
    {
        let mut request = b"GET ".to_vec();
        request.extend_from_slice(target);
        request.extend_from_slice(b" HTTP/1.1\r\nhost: a\r\naccept: text/html\r\n");
        request.extend_from_slice(b"cookie: \xff=\xfe; codescan_session=\xff\r\n");
        request.extend_from_slice(b"connection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&stage.client().raw(&request).await).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["302", "400"].contains(&status), "{target:?}: {answer}");
        assert_eq!(stage.browser().get("/").await.status, StatusCode::FOUND);
    }
}

#[tokio::test]
async fn an_address_without_end_is_refused_before_its_end() {
    let stage = Stage::set().await;
    for length in [66_000, 120_000, 1_000_000] {
        let target = format!("{AUTHORIZE}?{}", "x".repeat(length));
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = stage.client().raw(request.as_bytes()).await;
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).map(str::to_owned);
        assert!(matches!(status.as_deref(), Some("414" | "431")), "{length}: {status:?}");
    }
    assert_eq!(stage.browser().get("/").await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn nothing_is_echoed_as_markup_or_as_a_header() {
    let stage = Stage::set().await;
    let escaped: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    let frame = ("sec-fetch-dest", "iframe");
    for (target, headers) in [
        (format!("{AUTHORIZE}?error={escaped}&state=cop1.A"), vec![]),
        (format!("{AUTHORIZE}?error=%22%3E{escaped}&state=cop1.A"), vec![]),
        (format!("{AUTHORIZE}?code={escaped}&state=cop1.A"), vec![]),
        (format!("{AUTHORIZE}?state=cop1.A&x={escaped}"), vec![]),
        (format!("{AUTHORIZE}?rd=/{escaped}"), vec![frame]),
        (format!("{AUTHORIZE}?rd=/%22onclick%3D%22x"), vec![frame]),
        (format!("/{escaped}?{escaped}"), vec![frame]),
        (format!("/x'{escaped}?'{escaped}"), vec![frame]),
        (format!("/_codescan/oauth2/logout?{escaped}"), vec![]),
    ] {
        let page = stage.browser().navigate(Method::GET, &target, &headers, "").await;
        assert!(page.header("content-type").is_some_and(|it| it.starts_with("text/html")));
        let text = page.text().to_lowercase();
        assert!(!text.contains("<script") && !text.contains("\"onclick"), "{target}: {text}");
    }
}

#[tokio::test]
async fn a_name_full_of_markup_is_a_name() {
    let stage = Stage::set().await;
    stage.bitbucket.people(|people| people[0].display_name = SCRIPT.into());
    stage.bitbucket.people(|people| people[0].name = format!("x\"{SCRIPT}"));
    let mut browser = stage.logged_in("jcitizen").await;
    let page = browser.get("/_codescan/oauth2/logout").await;
    assert!(page.text().contains("&#60;script&#62;"), "{}", page.text());
    assert!(!page.text().contains("<script"));
    stage.bitbucket.deactivate_user("jcitizen");
    let way_back = browser.go_to_bitbucket_and_agree(AUTHORIZE, "jcitizen").await;
    let page = browser.get(&way_back).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(!page.text().contains("<script"));
}

#[tokio::test]
async fn twenty_thousand_logins_that_nobody_finishes_cost_no_memory() {
    const A_FEW_MEBIBYTES: usize = 6 << 20;
    let stage = Stage::with(|settings| {
        settings.text("log.level", "warn");
        settings.set("log.access", "false");
    })
    .await;
    start_logins(&stage, 2_000).await;
    let before = stage.proxy.resident();
    start_logins(&stage, 18_000).await;
    let after = stage.proxy.resident();
    assert!(after < before + A_FEW_MEBIBYTES, "from {before} to {after} bytes");
    assert_eq!(stage.metric("logins_started_total").await.to_string(), "20000");
    assert_eq!(stage.metric("sessions").await.to_string(), "0");
    assert_eq!(stage.browser().log_in("jcitizen").await.status, StatusCode::OK);
}

/// Several connections at a time, and many requests on each.
async fn start_logins(stage: &Stage, count: usize) {
    const ON_ONE: usize = 250;
    let port = stage.proxy.port();
    let connections = (0..count / ON_ONE).map(|_| start_on_one_connection(port, ON_ONE));
    futures_in_turn(connections).await;
}

async fn futures_in_turn(all: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    let mut running = tokio::task::JoinSet::new();
    for one in all {
        if running.len() >= 4 {
            running.join_next().await.expect("some run").expect("none panics");
        }
        running.spawn(one);
    }
    running.join_all().await;
}

async fn start_on_one_connection(port: u16, count: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("open");
    let request = |end| {
        format!(
            "GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: {ACCEPT_PAGE}\r\n{end}\r\n"
        )
    };
    let mut all = request("").repeat(count - 1);
    all.push_str(&request("connection: close\r\n"));
    let (mut read, mut write) = stream.split();
    let mut answers = Vec::new();
    let (sent, got) = tokio::join!(write.write_all(all.as_bytes()), read.read_to_end(&mut answers));
    sent.and(got.map(|_| ())).expect("all go through");
    let answers = String::from_utf8(answers).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 302 Found").count(), count);
}
