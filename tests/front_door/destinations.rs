//! Where a person arrives after a login.

use http::{Method, StatusCode};

use crate::harness::{AUTHORIZE, Stage};

/// Where a login that begins at `target` ends.
async fn arrival(stage: &Stage, target: &str) -> String {
    let mut browser = stage.browser();
    let way_back = browser.go_to_bitbucket_and_agree(target, "jcitizen").await;
    let back = browser.get(&way_back).await;
    assert_eq!(back.status, StatusCode::FOUND, "{target}: {}", back.text());
    browser.target_of(back.location())
}

#[tokio::test]
async fn people_arrive_where_they_were_going() {
    let stage = Stage::set().await;
    for target in [
        "/",
        "/project/overview?id=crm&tab=a%20b&x=%2F%2Fevil.example",
        "/a/b;c=d/%C3%BC?q=https://elsewhere.example/#/no",
        "/dashboard?regex=a\\.b%5Cc&list[]=1&{x}|y^z",
        "/_codescan/analysis/reports/7?format=pdf",
        "/sessionsx?y",
    ] {
        let wanted = target.split('#').next().expect("a part");
        assert_eq!(arrival(&stage, target).await, wanted);
    }
}

#[tokio::test]
async fn rd_names_a_place_of_ours() {
    let stage = Stage::set().await;
    for (query, wanted) in [
        ("", "/"),
        ("?", "/"),
        ("?rd=", "/"),
        ("?rd=/projects", "/projects"),
        ("?rd=%2Fprojects%3Fa%3Db%26c%3D%252F", "/projects?a=b&c=%2F"),
        ("?rd=projects", "/"),
        ("?rd=/a&rd=/b", "/"),
        ("?rd=https%3A%2F%2Fevil.example", "/"),
        ("?rd=/_codescan/oauth2/authorize", "/"),
        ("?rd=/_codescan/oauth2/logout", "/"),
        ("?rd=%2F_codescan%2Foauth2%2Fauthorize%3Frd%3D%2Fa", "/"),
    ] {
        assert_eq!(arrival(&stage, &format!("{AUTHORIZE}{query}")).await, wanted, "{query}");
    }
}

#[tokio::test]
async fn codescans_login_page_stands_for_where_it_leads() {
    let stage = Stage::set().await;
    for (target, wanted) in [
        ("/sessions/new", "/"),
        ("/sessions/new?return_to=%2Fprojects%3Fsort%3Dname", "/projects?sort=name"),
        ("/sessions/new?return_to=%2Fprojects%23top", "/projects"),
        ("/sessions/new?return_to=%2Fsessions%2Fnew%3Freturn_to%3D%2Fa", "/a"),
        ("/sessions/new?return_to=//evil.example", "/"),
        ("/sessions/new?other=1", "/"),
        ("/sessions/logout", "/"),
        ("/sessions/init/github", "/"),
        ("/%73essions/new?return_to=%2Fprojects", "/projects"),
        ("/%73essions/logout", "/"),
        ("/x/../sessions/logout", "/"),
        ("/_codescan/oauth2/authorize?rd=/sessions/logout", "/"),
    ] {
        assert_eq!(arrival(&stage, target).await, wanted, "{target}");
    }
}

#[tokio::test]
async fn long_destinations_are_cut() {
    let stage = Stage::set().await;
    let path = |length: usize| format!("/{}", "p".repeat(length - 1));
    let (fits, query) = (format!("/a?{}", "q".repeat(2045)), "q".repeat(2046));
    assert_eq!(arrival(&stage, &fits).await, fits);
    assert_eq!(arrival(&stage, &format!("/a?{query}")).await, "/a");
    assert_eq!(arrival(&stage, &path(2048)).await, path(2048));
    assert_eq!(arrival(&stage, &path(2049)).await, "/");
    assert_eq!(arrival(&stage, &format!("{}?q", path(2048))).await, path(2048));
}

#[tokio::test]
async fn another_host_is_left_for_the_public_one_first() {
    let stage = Stage::set().await;
    let mut browser = stage.browser().at_host("codescan:9000");
    let moved = browser.get("/projects?id=a").await;
    assert_eq!(moved.status, StatusCode::FOUND);
    assert_eq!(moved.location(), format!("{}/projects?id=a", stage.proxy.public_url()));
    assert_eq!(browser.cookies_named("codescan_login_"), [""; 0]);
    let mut at_home = stage.browser();
    assert_eq!(at_home.log_in_at("/projects?id=a", "jcitizen").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_sign_in_link_at_another_host_leads_to_the_public_one_too() {
    let stage = Stage::set().await;
    let mut browser = stage.browser().at_host("codescan:9000");
    let moved = browser.get(&format!("{AUTHORIZE}?rd=/projects%3Fid%3Da")).await;
    let start = format!("{}{AUTHORIZE}?rd=/projects%3Fid%3Da", stage.proxy.public_url());
    assert_eq!(moved.location(), start);
    assert_eq!(browser.cookies_named("codescan_login_"), [""; 0]);
}

#[tokio::test]
async fn a_front_that_changes_the_host_makes_no_circle() {
    let stage = Stage::set().await;
    for target in ["/projects", "/_codescan/oauth2/authorize?rd=/projects"] {
        // To the browser it is the public host; the front tells us another.
        let mut browser = stage.browser().at_host("internal:8080");
        let moved = browser.get(target).await;
        let again = browser.target_of(moved.location());
        let way_back = browser.go_to_bitbucket_and_agree(&again, "jcitizen").await;
        let back = browser.get(&way_back).await;
        assert_eq!(browser.target_of(back.location()), "/projects");
        assert_eq!(browser.get("/projects").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn spellings_of_the_public_host_are_the_public_host() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "https://codescan.example.com");
    })
    .await;
    for host in ["codescan.example.com", "codescan.example.com:443", "CodeScan.Example.COM"] {
        stage.browser().at_host(host).go_to_bitbucket("/").await;
    }
}

#[tokio::test]
async fn below_a_path_prefix_all_stays_below_it() {
    let stage = Stage::with(|settings| {
        settings.text("server.public_url", "https://example.com/scan");
    })
    .await;
    for (target, wanted) in [
        ("/scan/projects?a=b", "/scan/projects?a=b"),
        ("/scan/sessions/new?return_to=%2Fscan%2Fprojects", "/scan/projects"),
        ("/scan/_codescan/oauth2/authorize?rd=/scan/projects", "/scan/projects"),
        ("/scan/_codescan/oauth2/authorize?rd=/other", "/scan/"),
        ("/other", "/scan/"),
    ] {
        assert_eq!(arrival(&stage, target).await, wanted, "{target}");
    }
}

#[tokio::test]
async fn a_head_starts_a_login_where_a_get_does() {
    let stage = Stage::set().await;
    let sent = stage.browser().navigate(Method::HEAD, "/projects", &[], "").await;
    assert_eq!(sent.status, StatusCode::FOUND);
    assert!(sent.location().starts_with(&stage.bitbucket.url()));
}
