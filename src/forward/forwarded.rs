//! Who the client is, and what `CodeScan` is told of it (RFC 7239, `X-Forwarded-*`).

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::sink::{Prepared, Sink};
use crate::config::public_url::PublicUrl;
use crate::config::settings::TrustedProxies;
use crate::digits::push_address;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses that a chain may have; the nearest are kept.
const LONGEST_CHAIN: usize = 32;

/// How browsers reach the place, as `public_url` says: written once, as it stands in a head.
#[derive(Debug, Clone)]
pub struct PublicFields {
    /// `X-Forwarded-Proto`, `-Host` and `-Port`.
    fields: Prepared,
    /// The end of the last element of `Forwarded`.
    element: String,
}

impl PublicFields {
    pub fn new(public_url: &PublicUrl) -> Self {
        let (scheme, host) = (public_url.scheme(), public_url.authority());
        let port = public_url.port();
        let fields = [
            ("x-forwarded-proto", HeaderValue::from_str(scheme)),
            ("x-forwarded-host", HeaderValue::from_str(host)),
            ("x-forwarded-port", Ok(HeaderValue::from(port))),
        ];
        // A URL's parts are visible ASCII.
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), value.ok()?)));
        Self { fields: Prepared::new(fields), element: format!(";host=\"{host}\";proto={scheme}") }
    }
}

/// What one request's forwarding fields say.
pub struct Forwarded {
    /// The rightmost address that no trusted proxy added.
    pub client: Option<IpAddr>,
    /// What a trusted peer announced, nearest last.
    announced: Vec<IpAddr>,
    peer: Option<IpAddr>,
}

impl Forwarded {
    /// Reads the chain of a trusted peer, and begins a new one for anybody else. `peer` is `None`
    /// where it has no address.
    pub fn new(
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        peer_is_trusted: bool,
        trusted: &TrustedProxies,
    ) -> Self {
        let announced = if peer_is_trusted { announced(headers) } else { Vec::new() };
        let mut forwarded = Self { client: None, announced, peer };
        let stranger = |address: &IpAddr| !trusted.contains(*address);
        let nearest_stranger = forwarded.chain().rev().find(stranger);
        let farthest = forwarded.chain().next();
        forwarded.client = nearest_stranger.or(farthest);
        forwarded
    }

    fn chain(&self) -> impl DoubleEndedIterator<Item = IpAddr> {
        self.announced.iter().copied().chain(self.peer)
    }

    /// Writes the fields.
    pub fn write<S: Sink>(&self, public: &PublicFields, out: &mut S) {
        out.prepared(&public.fields);
        if self.chain().next().is_some() {
            out.made(&X_FORWARDED_FOR, |out| self.write_x_forwarded_for(out));
        }
        out.made(&FORWARDED, |out| self.write_forwarded(public, out));
    }

    fn write_x_forwarded_for(&self, out: &mut Vec<u8>) {
        let mut before: &[u8] = b"";
        for address in self.chain() {
            out.extend_from_slice(before);
            push_address(out, address);
            before = b", ";
        }
    }

    /// `for=` for each, the last with how browsers reach us (RFC 7239 §4).
    fn write_forwarded(&self, public: &PublicFields, out: &mut Vec<u8>) {
        let mut before: &[u8] = b"for=";
        for address in self.chain() {
            out.extend_from_slice(before);
            push_node(out, address);
            before = b", for=";
        }
        if self.chain().next().is_none() {
            out.extend_from_slice(b"for=unknown");
        }
        out.extend_from_slice(public.element.as_bytes());
    }
}

/// RFC 7239 §6: an IPv6 address stands in brackets and quotes.
fn push_node(out: &mut Vec<u8>, address: IpAddr) {
    let is_v6 = address.is_ipv6();
    out.extend_from_slice(if is_v6 { b"\"[" } else { b"" });
    push_address(out, address);
    out.extend_from_slice(if is_v6 { b"]\"" } else { b"" });
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
    use http::HeaderValue;

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
        let peer: IpAddr = peer.parse().expect("address");
        let is_trusted = trusted.contains(peer);
        let peer = Some(peer.to_canonical());
        let forwarded = Forwarded::new(&headers, peer, is_trusted, &trusted);
        let client = forwarded.client.expect("a client").to_string();
        (line(&forwarded, "https://cs.example", "x-forwarded-for: "), client)
    }

    /// What one of the lines says.
    fn line(forwarded: &Forwarded, public_url: &str, name: &str) -> String {
        let public = PublicFields::new(&PublicUrl::parse(public_url).expect("a URL"));
        let mut out = Vec::new();
        forwarded.write(&public, &mut out);
        let out = String::from_utf8(out).expect("ASCII");
        out.split("\r\n").find_map(|line| line.strip_prefix(name)).expect("a line").to_owned()
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
        let forwarded = Forwarded {
            client: None,
            announced: vec!["2001:db8::1".parse().expect("v6")],
            peer: Some("10.0.0.1".parse().expect("v4")),
        };
        let wanted = "for=\"[2001:db8::1]\", for=10.0.0.1;host=\"cs.example\";proto=https";
        assert_eq!(line(&forwarded, "https://cs.example", "forwarded: "), wanted);
        assert_eq!(line(&forwarded, "https://cs.example", "x-forwarded-port: "), "443");
    }

    #[test]
    fn a_peer_without_an_address_is_unknown() {
        let forwarded = Forwarded { client: None, announced: Vec::new(), peer: None };
        let wanted = "for=unknown;host=\"[::1]:81\";proto=http";
        assert_eq!(line(&forwarded, "http://[::1]:81", "forwarded: "), wanted);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        assert_eq!(told("::ffff:9.9.9.9", "", &[]).1, "9.9.9.9");
    }
}
