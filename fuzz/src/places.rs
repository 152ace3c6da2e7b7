//! Paths and destinations: `access/public.rs`, `login/return_to.rs`. The `url` crate, which reads
//! as browsers do, is the judge.

use codescan_oauth_proxy::access::public::normal_path;
use codescan_oauth_proxy::config::public_url::PublicUrl;
use codescan_oauth_proxy::login::return_to::ReturnTo;
use http::Uri;
use percent_encoding::percent_decode_str;
use url::Url;

/// A path that can be judged has no other reading.
pub fn public_path(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    // Nothing else gets through the parser of requests.
    if !raw.parse::<Uri>().is_ok_and(|uri| uri.path() == raw) {
        return;
    }
    let Some(path) = normal_path(raw) else { return };
    assert_eq!(normal_path(&path).as_ref(), Some(&path), "there is a second decoding");
    let decode = |text: &str| percent_decode_str(text).decode_utf8().expect("text").into_owned();
    assert_eq!(decode(raw), path);
    let url = Url::parse("http://cs.example").and_then(|base| base.join(raw)).expect("a path");
    assert_eq!(decode(url.path()), path, "browsers read it otherwise");
    assert_eq!((url.host_str(), url.query(), url.fragment()), (Some("cs.example"), None, None));
    let odd = |segment: &str| matches!(segment, "." | "..");
    assert!(!path.split('/').any(odd) && !path.contains("//"), "{path}");
}

/// Nobody is led to another origin, nor out of the prefix, nor round in a circle.
pub fn return_to(data: &[u8]) {
    let Ok(wanted) = std::str::from_utf8(data) else { return };
    for (public_url, prefix) in [("https://cs.example", ""), ("https://cs.example:8443/cs", "/cs")]
    {
        let public_url = PublicUrl::parse(public_url).expect("a URL");
        let place = ReturnTo::parse(wanted, &public_url);
        let base = Url::parse(public_url.origin()).expect("an origin");
        for written in [place.as_str(), &place.absolute(&public_url)] {
            let url = base.join(written).expect("an address");
            assert_eq!(url.origin(), base.origin(), "{wanted:?} leads to {written}");
            assert!(url.path().starts_with(&format!("{prefix}/")), "{wanted:?} leads to {written}");
            assert!(!url.path().starts_with("/sessions/new"), "{wanted:?} leads to {written}");
            assert!(url.username().is_empty() && url.password().is_none());
        }
        let text = place.as_str();
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 2048, "{text}");
        assert_eq!(ReturnTo::parse(text, &public_url), place, "{wanted:?} is not settled");
    }
}
