//! `METHOD /path` rules.

use codescan_oauth_proxy::config::rule::RouteRule;
use http::Method;

use crate::support::{assert_contains, fault_of};

#[track_caller]
fn matches(rule: &str, request: &str) -> bool {
    let (method, path) = request.split_once(' ').expect("METHOD /path");
    let method: Method = method.parse().expect("a method");
    RouteRule::parse(rule).expect(rule).matches(&method, path)
}

#[test]
fn what_matches() {
    for (rule, request) in [
        ("GET /a", "GET /a"),
        ("GET /a", "HEAD /a"),
        ("/a", "DELETE /a"),
        ("/", "GET /"),
        ("/a/", "GET /a/"),
        ("/*", "GET /a"),
        ("/a/*/c", "GET /a/b/c"),
        ("/**", "GET /"),
        ("/**", "GET /a/b/c"),
        ("/a/**", "GET /a"),
        ("/a/**", "GET /a/"),
        ("/a/**", "GET /a/b/c"),
        ("/a/**/z", "GET /a/z"),
        ("/a/**/z", "GET /a/b/z/c/z"),
        ("/**/b/*/**/d", "GET /a/b/c/d"),
        ("/**/*.js/**".replace("*.js", "x").as_str(), "GET /x"),
        ("GET /a/*/b/**", "GET /a/1/b/2/3"),
        ("/ä", "GET /ä"),
    ] {
        assert!(matches(rule, request), "{rule} must match {request}");
    }
}

#[test]
fn what_does_not() {
    for (rule, request) in [
        ("GET /a", "POST /a"),
        ("HEAD /a", "GET /a"),
        ("/a", "GET /A"),
        ("/a", "GET /a/"),
        ("/a", "GET /a/b"),
        ("/a", "GET /ab"),
        ("/a/*", "GET /a"),
        ("/a/*", "GET /a/"),
        ("/a/*", "GET /a/b/c"),
        ("/a/**", "GET /ab"),
        ("/a/**/z", "GET /a/b"),
        ("/**/b/*/**/d", "GET /a/b/d"),
        ("/**", "OPTIONS *"),
        ("/a", "GET a"),
    ] {
        assert!(!matches(rule, request), "{rule} must not match {request}");
    }
}

#[test]
fn a_long_path_takes_no_long_time() {
    let rule = format!("{}/z", "/**/a".repeat(200));
    let path = format!("GET {}", "/a".repeat(10_000));
    assert!(!matches(&rule, &path));
}

#[test]
fn rules_that_make_no_sense_are_faults() {
    for (rule, message) in [
        ("", "is not a rule"),
        ("GET /a /b", "is not a rule"),
        ("get /a", "does not begin with a method"),
        ("TRACE /a", "does not begin with a method"),
        ("GET a", "does not begin with /"),
        ("/a?b=c", "has '?' in its path"),
        ("/a%20b", "has '%' in its path"),
        ("/a;b", "has ';' in its path"),
        ("/a//b", "has // in its path"),
        ("/a/../b", "has . or .. in its path"),
        ("/a*", "has * within a segment"),
        ("/***", "has * within a segment"),
    ] {
        assert_contains(&RouteRule::parse(rule).expect_err(rule), message);
    }
    assert_contains(
        &fault_of("access.public=GET /a,a"),
        "access.public has a path that does not begin",
    );
    assert_contains(
        &fault_of("session.logout_routes=POST"),
        "session.logout_routes has a path that",
    );
}
