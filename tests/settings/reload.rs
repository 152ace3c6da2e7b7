//! A second reading, compared with the first.

use codescan_oauth_proxy::config::changed_at_run_time;

use crate::support::{COOKIE_SECRET, needed};

#[test]
fn only_what_needs_a_new_start_is_named() {
    let old = needed().loaded();
    let new = needed()
        .set("server.listen=0.0.0.0:9090")
        .set("server.workers=77")
        .set("session.store=redis://cache.example.com")
        .set(&format!("session.cookie_secret={COOKIE_SECRET}"))
        .set("log.level=debug")
        .set("bitbucket.client_secret=another")
        .loaded();
    assert_eq!(
        changed_at_run_time(&old, &new),
        ["server.listen", "server.workers", "session.store"]
    );
    assert!(changed_at_run_time(&old, &needed().loaded()).is_empty());
}

#[test]
fn the_same_value_from_another_source_is_no_change() {
    let new = needed().variable("CODESCAN_PROXY_SERVER_LISTEN", "0.0.0.0:8080").loaded();
    assert!(changed_at_run_time(&needed().loaded(), &new).is_empty());
}
