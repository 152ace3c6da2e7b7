//! `access.public`: which requests need no login.
//!
//! Judged on the decoded, normalised path alone, never the query; and a path whose raw form could
//! be read in two ways matches nothing, so that what is judged is what is forwarded
//! (CVE-2021-29492, CVE-2019-9901: a path checked in one form and forwarded in another).

use http::Method;
use percent_encoding::percent_decode_str;

use crate::config::rule::RouteRule;

/// Whether a request falls under one of the rules: `access.public`, and `session.logout_routes`,
/// which are judged the same. `prefix` is `public_url`'s.
pub fn falls_under(method: &Method, raw_path: &str, rules: &[RouteRule], prefix: &str) -> bool {
    // Most requests stop here: a path is not decoded for rules that ask for another method.
    if !rules.iter().any(|rule| rule.allows(method)) {
        return false;
    }
    let Some(path) = normal_path(raw_path) else { return false };
    let Some(path) = below(&path, prefix) else { return false };
    rules.iter().any(|rule| rule.matches(method, path))
}

/// Whether `path` lies below the prefix, and its rest.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    rest.starts_with('/').then_some(rest)
}

/// The decoded path, if the raw one is already in its normal form and can be read in one way only.
pub fn normal_path(raw: &str) -> Option<String> {
    if !raw.starts_with('/') || !escapes_are_well_formed(raw) {
        return None;
    }
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    let doubtful = |c: char| c.is_control() || matches!(c, '\\' | ';' | '#' | '?' | '%');
    if decoded.contains(doubtful) || slashes(&decoded) != slashes(raw) {
        return None;
    }
    let segments: Vec<&str> = decoded[1..].split('/').collect();
    let (last, before) = segments.split_last()?;
    let dots = |segment: &&str| matches!(*segment, "." | "..");
    // An empty last segment is a trailing slash; an empty one before it a doubled slash.
    if before.iter().any(|segment| segment.is_empty() || dots(segment)) || dots(last) {
        return None;
    }
    Some(decoded.into_owned())
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count()
}

fn escapes_are_well_formed(raw: &str) -> bool {
    raw.split('%').skip(1).all(|rest| {
        rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_can_be_read_in_one_way() {
        for (raw, wanted) in [
            ("/", "/"),
            ("/api/system/status", "/api/system/status"),
            ("/a/", "/a/"),
            ("/a%20b", "/a b"),
            ("/%C3%A9", "/é"),
            ("/a/..b", "/a/..b"),
        ] {
            assert_eq!(normal_path(raw).as_deref(), Some(wanted), "{raw}");
        }
    }

    #[test]
    fn paths_that_could_be_read_in_two_ways_match_nothing() {
        for raw in [
            "",
            "*",
            "a",
            "//a",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/.",
            "/%2e%2e/a",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a%3bb",
            "/a%00",
            "/a%0ab",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%23b",
            "/a#b",
            "/a%3fb",
            "/a%25",
            "/%ff",
            "/a%c2%85",
        ] {
            assert_eq!(normal_path(raw), None, "{raw}");
        }
    }

    #[test]
    fn rules_are_judged_below_the_prefix() {
        let rules = [RouteRule::parse("GET /open").expect("a rule")];
        assert!(falls_under(&Method::GET, "/cs/open", &rules, "/cs"));
        assert!(falls_under(&Method::HEAD, "/open", &rules, ""));
        for (path, prefix) in [("/open", "/cs"), ("/csopen", "/cs"), ("/cs", "/cs")] {
            assert!(!falls_under(&Method::GET, path, &rules, prefix), "{path}");
        }
    }
}
