//! No address, however crooked, makes the login lead to another site.

use std::fs;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use simulator::bitbucket::Consent;

use crate::walk::Walk;

/// How many of the collection are walked; the ordinary tests go through all of them.
const OF_THE_COLLECTION: usize = 20;

/// Forms that browsers are known to read in their own way.
const CROOKED: [&str; 42] = [
    "//evil.example",
    "///evil.example",
    "////evil.example/%2e%2e",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/./\\evil.example",
    "/%2e//evil.example",
    "/%2f/evil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    "//localhost:1/",
    "//evil.example@127.0.0.1/",
    "//127.0.0.1@evil.example/",
    "//127.0.0.1%2f@evil.example/",
    "http://evil.example",
    "https://evil.example/",
    "https:evil.example",
    "http:/evil.example",
    "HtTp://evil.example",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>location='https://evil.example'</script>",
    "/\u{2f}evil.example",
    "/\u{ff0f}evil.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "/\u{2028}/evil.example",
    "/sessions/new?return_to=//evil.example",
    "/sessions/new?return_to=%2F%5Cevil.example",
    "/_codescan/oauth2/authorize?rd=//evil.example",
    "/x\r\nLocation: https://evil.example",
];

#[tokio::test]
async fn a_crooked_destination_stays_at_home() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.stage.bitbucket.faults(|faults| faults.consent = Consent::Approve);
    let home = walk.at("");
    for crooked in CROOKED.iter().map(ToString::to_string).chain(collection()) {
        let encoded = utf8_percent_encode(&crooked, NON_ALPHANUMERIC);
        let start = walk.at(&format!("/_codescan/oauth2/authorize?rd={encoded}"));
        walk.browser.open(&start).await;
        let origin = walk.browser.run("return location.origin").await;
        assert_eq!(origin, json!(home), "{crooked:?}");
        walk.is_logged_in("jcitizen").await;
    }
    walk.browser.complains_of_nothing("a login").await;
}

/// Some of the same forms, as addresses that somebody opens who is not logged in.
#[tokio::test]
async fn a_crooked_deep_link_stays_at_home() {
    let Some(walk) = Walk::logged_in("jcitizen").await else { return };
    walk.stage.bitbucket.faults(|faults| faults.consent = Consent::Approve);
    let home = walk.at("");
    for crooked in CROOKED.iter().filter(|crooked| crooked.starts_with('/')).step_by(2) {
        walk.browser.forget_cookies().await;
        walk.browser.open(&walk.stage.bitbucket.url()).await;
        // Joined by hand: a parser would resolve what is to be tried.
        let address = json!(format!("{home}{crooked}"));
        walk.browser.run(&format!("location.assign({address})")).await;
        walk.browser.arrives(crooked, |url| url.host_str() == Some("127.0.0.1")).await;
        walk.is_logged_in("jcitizen").await;
        let origin = walk.browser.run("return location.origin").await;
        assert_eq!(origin, json!(home), "{crooked:?}");
    }
}

/// A sample of the forms that others have tried, one JSON string a line.
fn collection() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/open_redirect.txt");
    let text = fs::read_to_string(file).unwrap_or_default();
    let forms: Vec<String> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let step = forms.len().div_ceil(OF_THE_COLLECTION).max(1);
    forms.into_iter().step_by(step).collect()
}
