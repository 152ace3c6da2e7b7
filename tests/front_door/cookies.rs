//! Our cookies stay between the browser and us; `CodeScan`'s pass as they are.

use crate::harness::Stage;

const SESSION: &str = "codescan_session";

/// The `Cookie` lines that arrive of those sent, each with `OURS` for the session cookie.
async fn arrive(stage: &Stage, ours: &str, sent: &[&str]) -> Vec<String> {
    let lines: String =
        sent.iter().map(|line| format!("Cookie: {}\r\n", line.replace("OURS", ours))).collect();
    let answer = stage.client().open().await.get("/api/x", &lines).await;
    assert_eq!(answer.status, 200, "{sent:?}: {}", answer.text());
    stage.received("/api/x").all("cookie").map(str::to_owned).collect()
}

#[tokio::test]
async fn ours_are_cut_out_and_the_others_pass_byte_for_byte() {
    let stage = Stage::set().await;
    let browser = stage.logged_in("jcitizen").await;
    let ours = format!("{SESSION}={}", browser.cookie(SESSION).expect("a session"));
    let table: [(&[&str], &[&str]); 12] = [
        (&["OURS"], &[]),
        (&["a=1; OURS; b=2"], &["a=1; b=2"]),
        (&["OURS; a=1; b=2"], &["a=1; b=2"]),
        (&["a=1; b=2; OURS"], &["a=1; b=2"]),
        (&["b=2;a=1;OURS;a=3"], &["b=2;a=1;a=3"]),
        (&["a=\"x y\" ;  b = 2 ; OURS"], &["a=\"x y\" ;  b = 2"]),
        (&["a=1", "OURS", "b=2"], &["a=1", "b=2"]),
        (&["a=1; OURS", "OURS; b=2"], &["a=1", "b=2"]),
        (&["OURS; ;; =x; novalue; JWT-SESSION=j"], &[";; =x; novalue; JWT-SESSION=j"]),
        (&["a=é%3B=\\,; OURS"], &["a=é%3B=\\,"]),
        (&["OURS; codescan_login_abc=1; codescan_signed_in=1; codescan_moved=1"], &[]),
        (
            &["x_codescan_session=1; codescan_session2=2; CODESCAN_SESSION=3; OURS"],
            &["x_codescan_session=1; codescan_session2=2; CODESCAN_SESSION=3"],
        ),
    ];
    for (sent, wanted) in table {
        assert_eq!(arrive(&stage, &ours, sent).await, wanted, "{sent:?}");
    }
}

#[tokio::test]
async fn two_different_session_cookies_are_both_disbelieved() {
    let stage = Stage::set().await;
    let browser = stage.logged_in("jcitizen").await;
    let other = stage.logged_in("asmith").await;
    let both = format!("{}; {}", browser.cookie_header(), other.cookie_header());
    let answer = stage.client().get_with("/api/x", &[("cookie", &both)]).await;
    assert_eq!(answer.error_code().as_deref(), Some("login_required"));
    let twice = format!("{0}; {0}", browser.cookie_header());
    assert_eq!(stage.client().get_with("/api/x", &[("cookie", &twice)]).await.status, 200);
}

#[tokio::test]
async fn odd_cookies_harm_nobody() {
    let stage = Stage::set().await;
    for odd in
        ["codescan_session", "codescan_session=", "codescan_session=%00", "=", ";;;", "\u{1}"]
    {
        let request =
            format!("GET /api/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: {odd}\r\n\r\n");
        let answer = String::from_utf8(stage.client().raw(request.as_bytes()).await).expect("text");
        let status = answer.split(' ').nth(1).expect("a status");
        assert!(["400", "401"].contains(&status), "{odd:?}: {answer}");
    }
    let long = "x".repeat(20_000);
    let cookie = format!("codescan_session={long}; codescan_login_{long}=1");
    let answer = stage.client().get_with("/api/x", &[("cookie", &cookie)]).await;
    assert!(
        ["login_required", "header_too_large"].map(Some).contains(&answer.error_code().as_deref())
    );
}

#[tokio::test]
async fn cookies_that_codescan_sets_pass_byte_for_byte() {
    let stage = Stage::set().await;
    let session = stage.session_of("jcitizen").await;
    let lines = [
        "JWT-SESSION=a.b-c_d; Path=/; Max-Age=259200; HttpOnly; SameSite=Lax",
        "XSRF-TOKEN=x; path=/;secure ;  Odd=\"a,b\"",
        "a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
        "a=2",
        "empty=",
    ];
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(lines.iter().map(|line| ("cookie", line)))
        .finish();
    let answer = session.get(&format!("/set-cookie?{query}")).await;
    assert_eq!(answer.set_cookies(), lines);
}

#[tokio::test]
async fn codescan_cannot_overwrite_ours() {
    let stage = Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    for evil in [
        "codescan_session=evil; Path=/",
        " codescan_session = evil",
        "codescan_session",
        "codescan_login_abc=1",
        "codescan_signed_in=1",
        "codescan_signed_out=1",
        // A browser sends a nameless cookie as its value alone (RFC 6265bis §5.8.3).
        "=codescan_session=evil",
        " = codescan_session=evil; Path=/",
    ] {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("cookie", "a=1"), ("cookie", evil), ("cookie", "b=2")])
            .finish();
        let answer = stage.client().get(&format!("/set-cookie?{query}")).await;
        assert_eq!(answer.set_cookies(), ["a=1", "b=2"], "{evil:?}");
    }
}

#[tokio::test]
async fn over_https_the_guarded_names_are_ours() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "https://codescan.example.com");
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let sent = "__Host-codescan_session=1; codescan_session=2; __Host-codescan_login_a=3";
    stage.client().get_with("/api/x", &[("cookie", sent)]).await;
    assert_eq!(stage.received("/api/x").header("cookie"), Some("codescan_session=2"));
}
