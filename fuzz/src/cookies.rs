//! Our cookies among a browser's: `session/cookie.rs`.

use std::sync::LazyLock;

use codescan_oauth_proxy::config::{self, Sources};
use codescan_oauth_proxy::secret::Secret;
use codescan_oauth_proxy::session::cookie::CookieNames;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

static NAMES: LazyLock<CookieNames> = LazyLock::new(|| {
    let set = [
        "server.public_url=http://cs.example",
        "bitbucket.url=http://bitbucket.example",
        "bitbucket.client_id=id",
        "bitbucket.client_secret=secret",
        "codescan.url=http://codescan.example",
    ];
    let set = set.into_iter().map(Secret::new).collect();
    let loaded = config::load(&Sources { set, ..Sources::empty() });
    CookieNames::new(&loaded.unwrap_or_else(|_| panic!("good settings")).settings)
});

/// None of ours survives the cutting, and the others are left byte for byte; what would set one
/// of ours is known for it.
pub fn cut_out(data: &[u8]) {
    let Ok(field) = HeaderValue::from_bytes(data) else { return };
    let mut left = Vec::new();
    let is_any = NAMES.cut_out(data, &mut left);
    let others: Vec<&[u8]> = data.split(|byte| *byte == b';').filter(|it| !is_ours(it)).collect();
    let all_pass = others.len() == data.split(|byte| *byte == b';').count();
    let joined = others.join(&b';');
    let wanted = if all_pass { data } else { trim(&joined) };
    assert_eq!(left, wanted);
    assert_eq!(is_any, all_pass || !left.is_empty());
    let mut again = Vec::new();
    NAMES.cut_out(&left, &mut again);
    assert_eq!(again, left, "there was more to cut");
    let found = NAMES.find(&HeaderMap::from_iter([(COOKIE, field.clone())]));
    assert_eq!(found.any, !all_pass, "seen and cut are not the same");
    assert!(found.any || found.session.is_none());
    if data.split(|byte| *byte == b';').next().is_some_and(is_ours) {
        assert!(NAMES.set_by(&field), "it would overwrite one of ours");
    }
}

/// By RFC 6265bis §5.6, and the names that the contract gives.
fn is_ours(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let name = name.trim_matches([' ', '\t']);
    let whole = ["session", "signed_in", "signed_out", "moved"];
    let rest = name.strip_prefix("codescan_");
    rest.is_some_and(|rest| whole.contains(&rest) || rest.starts_with("login_"))
}

/// Without the white space that stands around a field (RFC 9110 §5.5).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
