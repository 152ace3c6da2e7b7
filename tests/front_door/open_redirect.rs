//! No address, however it is written, leads a login to another origin.
//!
//! `tests/corpus/open_redirect.txt` holds one JSON string a line; each goes the whole way of a
//! login, and where that ends is judged as a browser would resolve it.

use std::sync::Arc;

use http::StatusCode;
use tokio::task::JoinSet;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::harness::{AUTHORIZE, Browser, Stage};

const CORPUS: &str = include_str!("../corpus/open_redirect.txt");

/// Logins under way at a time.
const AT_A_TIME: usize = 8;

fn corpus() -> Vec<String> {
    let lines = CORPUS.lines().map(|line| serde_json::from_str(line).expect("a JSON string"));
    lines.collect()
}

#[test]
fn the_corpus_is_large_and_says_nothing_twice() {
    let corpus = corpus();
    assert!(corpus.len() >= 300, "{}", corpus.len());
    let distinct: std::collections::BTreeSet<&String> = corpus.iter().collect();
    assert_eq!(distinct.len(), corpus.len());
}

#[tokio::test]
async fn as_rd_none_leads_away() {
    none_leads_away(|value| Some(format!("{AUTHORIZE}?rd={}", encoded(value)))).await;
}

#[tokio::test]
async fn as_return_to_of_codescans_login_page_none_leads_away() {
    none_leads_away(|value| Some(format!("/sessions/new?return_to={}", encoded(value)))).await;
}

#[tokio::test]
async fn as_the_address_itself_none_leads_away() {
    // Those that a browser could send as they are.
    let sendable = |value: &str| value.starts_with('/') && value.parse::<http::Uri>().is_ok();
    none_leads_away(|value| sendable(value).then(|| value.to_owned())).await;
}

#[tokio::test]
async fn as_rd_without_any_encoding_none_leads_away() {
    let sendable = |target: &String| target.parse::<http::Uri>().is_ok();
    none_leads_away(|value| Some(format!("{AUTHORIZE}?rd={value}")).filter(sendable)).await;
}

fn encoded(value: &str) -> String {
    byte_serialize(value.as_bytes()).collect()
}

/// Logs in at each target that `target_of` makes of the corpus.
async fn none_leads_away(target_of: impl Fn(&str) -> Option<String>) {
    let stage = Stage::with(|settings| {
        settings.text("log.level", "warn");
        settings.text("server.public_url", "https://codescan.example.com");
        settings.text("bitbucket.whoami_url", "");
    })
    .await;
    let public_url = Arc::new(Url::parse(stage.proxy.public_url()).expect("a URL"));
    let mut under_way = JoinSet::new();
    for target in corpus().iter().filter_map(|value| target_of(value)) {
        if under_way.len() == AT_A_TIME {
            under_way.join_next().await.expect("some are").expect("stays at home");
        }
        under_way.spawn(stays_at_home(stage.browser(), target, Arc::clone(&public_url)));
    }
    under_way.join_all().await;
    // A thousand logins that are all alike: the hunt for leaks would take minutes over them.
    let evidence = stage.evidence.folder().to_owned();
    drop(stage);
    std::fs::remove_dir_all(evidence).expect("a folder of this test");
}

async fn stays_at_home(mut browser: Browser, target: String, public_url: Arc<Url>) {
    let sent = browser.get(&target).await;
    if sent.status != StatusCode::FOUND {
        // Refused for its form, or a page of ours: that leads nowhere.
        assert_eq!(sent.header("location"), None, "{target:?}");
        return;
    }
    let way_back = browser.agree(sent.location(), "jcitizen");
    let back = browser.get(&way_back).await;
    assert_eq!(back.status, StatusCode::FOUND, "{target:?}: {}", back.text());
    let place = public_url.join(back.location()).expect("an address");
    assert_eq!(place.origin(), public_url.origin(), "{target:?} led to {place}");
    assert!(place.username().is_empty() && !place.path().starts_with("//"), "{place}");
}
