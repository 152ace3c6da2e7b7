//! Fields of requests: `forward/forwarded.rs`, `gateway/negotiate.rs`.

use std::net::IpAddr;

use codescan_oauth_proxy::config::public_url::PublicUrl;
use codescan_oauth_proxy::config::settings::TrustedProxies;
use codescan_oauth_proxy::forward::forwarded::{Forwarded, PublicFields};
use codescan_oauth_proxy::gateway::negotiate::Sender;
use http::header::{ACCEPT, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is told on is a list of addresses that ends with the peer's, and is read as it was meant;
/// the client is the rightmost that no trusted proxy added.
pub fn forwarded(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    for name in [X_FORWARDED_FOR, FORWARDED] {
        let headers = HeaderMap::from_iter([(name, value.clone())]);
        let (chain, client) = told(&headers, true);
        let trusted = |address: &&IpAddr| network().contains(**address);
        let stranger = chain.iter().rev().find(|address| !trusted(address));
        assert_eq!(client, stranger.or(chain.first()).copied());
        let (_, announced) = chain.split_last().expect("the peer");
        let again: Vec<String> = announced.iter().map(ToString::to_string).collect();
        let again = HeaderValue::from_str(&again.join(", ")).expect("addresses");
        let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, again)]);
        assert_eq!(told(&headers, true), (chain, client), "told on, it is read otherwise");
        assert_eq!(told(&headers, false), (vec![peer()], Some(peer())), "a stranger is believed");
    }
}

fn peer() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn network() -> TrustedProxies {
    TrustedProxies { networks: vec!["10.0.0.0/8".parse().expect("a network")], unix: false }
}

fn told(headers: &HeaderMap, is_trusted: bool) -> (Vec<IpAddr>, Option<IpAddr>) {
    let forwarded = Forwarded::new(headers, Some(peer()), is_trusted, &network());
    let public_url = PublicUrl::parse("https://cs.example").expect("a URL");
    let mut lines = Vec::new();
    forwarded.write(&PublicFields::new(&public_url), &mut lines);
    let lines = String::from_utf8(lines).expect("ASCII");
    let fields: Vec<_> = lines.trim_end().split("\r\n").map(|it| it.split_once(": ")).collect();
    assert_eq!(fields.len(), 5, "{lines}");
    let value = |name| fields.iter().flatten().find(|it| it.0 == name).expect("all are there").1;
    let chain: Vec<IpAddr> = value("x-forwarded-for")
        .split(", ")
        .map(|address| address.parse().expect("an address"))
        .collect();
    assert_eq!(value("forwarded").matches("for=").count(), chain.len());
    (chain, forwarded.client)
}

/// A list is the same in one field and in several (RFC 9110 §5.3), and nobody gets a page who
/// does not name one.
pub fn accept(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let whole = HeaderMap::from_iter([(ACCEPT, value)]);
    let sender = Sender::of(&Method::GET, &whole, false);
    let names_html = data.to_ascii_lowercase().windows(9).any(|it| it == b"text/html");
    assert!(names_html || sender == Sender::Machine);
    assert_eq!(Sender::of(&Method::GET, &whole, true), Sender::Machine, "an upgrade");
    // A value that is no text says nothing as a whole.
    if data.is_ascii() {
        let parts = data.split(|byte| *byte == b',').map(HeaderValue::from_bytes);
        let parts = parts.map(|part| (ACCEPT, part.expect("a part of a value")));
        let mut fields = HeaderMap::new();
        fields.extend(parts.fold(HeaderMap::new(), |mut all, (name, part)| {
            all.append(name, part);
            all
        }));
        assert_eq!(Sender::of(&Method::GET, &fields, false), sender);
    }
}
