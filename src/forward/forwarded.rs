//! Who the client is, and what `CodeScan` is told of it (RFC 7239, `X-Forwarded-*`).

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::public_url::PublicUrl;
use crate::config::settings::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Addresses that a chain may have; the nearest are kept.
const LONGEST_CHAIN: usize = 32;

/// How browsers reach the place, as `public_url` says: rendered once.
#[derive(Debug, Clone)]
pub struct PublicFields {
    proto: HeaderValue,
    host: HeaderValue,
    port: HeaderValue,
    element: String,
}

impl PublicFields {
    pub fn new(public_url: &PublicUrl) -> Self {
        let value = |text: &str| {
            HeaderValue::from_str(text).expect("scheme, host and port of a URL are visible ASCII")
        };
        Self {
            proto: value(public_url.scheme()),
            host: value(public_url.authority()),
            port: value(&public_url.port().to_string()),
            element: format!(";host=\"{}\";proto={}", public_url.authority(), public_url.scheme()),
        }
    }
}

/// What one request's forwarding fields say.
pub struct Forwarded {
    /// The rightmost address that no trusted proxy added.
    pub client: Option<IpAddr>,
    x_forwarded_for: Option<HeaderValue>,
    elements: HeaderValue,
    public: PublicFields,
}

impl Forwarded {
    /// Reads the chain of a trusted peer, and begins a new one for anybody else. `peer` is `None`
    /// where it has no address.
    pub fn new(
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        peer_is_trusted: bool,
        trusted: &TrustedProxies,
        public: &PublicFields,
    ) -> Self {
        let mut chain = if peer_is_trusted { announced(headers) } else { Vec::new() };
        chain.extend(peer);
        let client =
            chain.iter().rev().find(|address| !trusted.contains(**address)).or(chain.first());
        Self {
            client: client.copied(),
            x_forwarded_for: x_forwarded_for(&chain),
            elements: elements(&chain, &public.element),
            public: public.clone(),
        }
    }

    /// Hands each field to `put`.
    pub fn each(&self, mut put: impl FnMut(&HeaderName, &HeaderValue)) {
        if let Some(chain) = &self.x_forwarded_for {
            put(&X_FORWARDED_FOR, chain);
        }
        put(&X_FORWARDED_PROTO, &self.public.proto);
        put(&X_FORWARDED_HOST, &self.public.host);
        put(&X_FORWARDED_PORT, &self.public.port);
        put(&FORWARDED, &self.elements);
    }
}

fn x_forwarded_for(chain: &[IpAddr]) -> Option<HeaderValue> {
    let addresses: Vec<String> = chain.iter().map(ToString::to_string).collect();
    (!addresses.is_empty()).then(|| ascii(&addresses.join(", ")))
}

/// `for=` for each, the last with how browsers reach us.
fn elements(chain: &[IpAddr], public: &str) -> HeaderValue {
    let mut nodes: Vec<String> =
        chain.iter().map(|address| format!("for={}", node(*address))).collect();
    if nodes.is_empty() {
        nodes.push("for=unknown".to_owned());
    }
    ascii(&format!("{}{public}", nodes.join(", ")))
}

/// RFC 7239 §6: an IPv6 address stands in brackets and quotes.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("addresses, scheme and host are visible ASCII")
}

/// The addresses that a trusted peer announces, nearest last: from `X-Forwarded-For`, or without
/// it from `Forwarded`. What is left of something that is no address is not believed.
fn announced(headers: &HeaderMap) -> Vec<IpAddr> {
    let entries: Vec<&str> = if headers.contains_key(X_FORWARDED_FOR) {
        entries(headers, &X_FORWARDED_FOR).collect()
    } else {
        entries(headers, &FORWARDED).map(for_parameter).collect()
    };
    let mut chain: Vec<IpAddr> =
        entries.into_iter().rev().map_while(address).take(LONGEST_CHAIN).collect();
    chain.reverse();
    chain
}

fn entries<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|field| field.to_str().unwrap_or("?").split(','))
        .map(str::trim)
}

fn for_parameter(element: &str) -> &str {
    element
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("for"))
        .map_or("?", |(_, value)| value.trim_matches('"'))
}

/// An address, with or without a port, an IPv6 one with or without brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        peer: &str,
        trusted: &str,
        fields: &[(&'static str, &'static str)],
    ) -> (String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let networks = trusted.split_whitespace().map(|net| net.parse().expect("net")).collect();
        let trusted = TrustedProxies { networks, unix: false };
        let public = PublicFields::new(&PublicUrl::parse("https://cs.example").expect("a URL"));
        let peer: IpAddr = peer.parse().expect("address");
        let is_trusted = trusted.contains(peer);
        let peer = Some(peer.to_canonical());
        let forwarded = Forwarded::new(&headers, peer, is_trusted, &trusted, &public);
        let chain = forwarded.x_forwarded_for.expect("a chain");
        let client = forwarded.client.expect("a client").to_string();
        (chain.to_str().expect("ascii").to_owned(), client)
    }

    #[test]
    fn only_a_trusted_peer_extends_the_chain() {
        let spoofed = [("x-forwarded-for", "6.6.6.6")];
        assert_eq!(told("9.9.9.9", "", &spoofed), ("9.9.9.9".into(), "9.9.9.9".into()));
        let through = told("10.0.0.1", "10.0.0.0/8", &spoofed);
        assert_eq!(through, ("6.6.6.6, 10.0.0.1".into(), "6.6.6.6".into()));
    }

    #[test]
    fn the_client_is_the_rightmost_that_no_trusted_proxy_added() {
        let chain = [("x-forwarded-for", "6.6.6.6, 8.8.8.8"), ("x-forwarded-for", "10.0.0.2")];
        let (_, client) = told("10.0.0.1", "10.0.0.0/8", &chain);
        assert_eq!(client, "8.8.8.8");
    }

    #[test]
    fn what_is_left_of_nonsense_is_not_believed() {
        let chain = [("x-forwarded-for", "1.1.1.1, evil\", 8.8.8.8:4711, [2001:db8::1]")];
        let (chain, client) = told("10.0.0.1", "10.0.0.0/8", &chain);
        assert_eq!(chain, "8.8.8.8, 2001:db8::1, 10.0.0.1");
        assert_eq!(client, "2001:db8::1");
    }

    #[test]
    fn forwarded_is_read_where_there_is_nothing_else_and_written_with_quotes() {
        let fields = [("forwarded", "for=\"[2001:db8::1]:47\";proto=http;host=evil")];
        assert_eq!(told("10.0.0.1", "10.0.0.0/8", &fields).1, "2001:db8::1");
        let chain = ["2001:db8::1".parse().expect("v6"), "10.0.0.1".parse().expect("v4")];
        let value = elements(&chain, ";host=\"cs.example\";proto=https");
        let wanted = "for=\"[2001:db8::1]\", for=10.0.0.1;host=\"cs.example\";proto=https";
        assert_eq!(value.to_str().expect("ascii"), wanted);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        assert_eq!(told("::ffff:9.9.9.9", "", &[]).1, "9.9.9.9");
    }
}
