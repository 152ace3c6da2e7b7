//! What is refused before anything else is asked: it cannot be served, or read in one way only.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::config::Settings;
use crate::error::Problem;
use crate::server::raw_head::HeadFault;

/// What `Allow` tells of methods that are never forwarded.
pub(super) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Checks the head against limits, RFC 9110 §7.2 (one `Host`), RFC 9112 §3.2 (the target's form)
/// and §6.1 (its coding), RFC 9113 §8 (fields and `:path`).
pub fn admit(head: &Parts, settings: &Settings) -> Result<(), Box<Problem>> {
    if let Some(fault) = head.extensions.get::<HeadFault>() {
        return Err(Problem::invalid_request(fault.words()).into());
    }
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        return Err(Problem::method_not_allowed(ALLOWED).into());
    }
    if head_size(head) > settings.server.max_header_size {
        return Err(Problem::header_too_large(settings.server.max_header_size).into());
    }
    if let Some(fault) = malformed_http2(head) {
        return Err(Problem::invalid_request(fault).into());
    }
    if !has_one_host(head) {
        return Err(Problem::invalid_request("This request does not name one host.").into());
    }
    if is_authority_form(&head.uri) || is_misplaced_asterisk(head) {
        return Err(Problem::invalid_request("This request does not name a path.").into());
    }
    if !is_decodable(&head.headers) {
        let fault = "This request's body has a transfer coding other than chunked.";
        return Err(Problem::invalid_request(fault).into());
    }
    if let (Some(limit), Some(length)) = (settings.server.max_body_size, length(&head.headers))
        && length > limit
    {
        return Err(Problem::body_too_large(limit).into());
    }
    Ok(())
}

/// Gives a request of HTTP/2, which names its host in `:authority`, the field that says the same
/// in HTTP/1.1 (RFC 9113 §8.3.1), so that nobody has to look in two places.
pub fn name_host(head: &mut Parts) {
    if head.version == Version::HTTP_2
        && !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
}

/// Bytes that the head had on the wire, white space aside.
fn head_size(head: &Parts) -> usize {
    let line = head.method.as_str().len() + target_size(&head.uri) + "  HTTP/1.1\r\n".len();
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    line + fields.sum::<usize>() + 2
}

fn target_size(uri: &Uri) -> usize {
    uri.path_and_query().map_or(1, |target| target.as_str().len())
        + uri.authority().map_or(0, |authority| authority.as_str().len() + "https://".len())
}

/// HTTP/1.0 may leave it out.
fn has_one_host(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let in_target = head.uri.authority();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            (host.is_empty() || is_host(host.as_bytes())) && agrees(head, host.as_bytes())
        }
        (None, _) => head.version == Version::HTTP_10,
        (Some(_), Some(_)) => false,
    };
    named && in_target.is_none_or(|authority| is_host(authority.as_str().as_bytes()))
}

/// RFC 9113 §8.3.1: `:authority` and `Host` name the same. In HTTP/1.1 an absolute target simply
/// wins (RFC 9112 §3.2.2).
fn agrees(head: &Parts, host: &[u8]) -> bool {
    let authority = head.uri.authority().filter(|_| head.version == Version::HTTP_2);
    authority.is_none_or(|authority| authority.as_str().as_bytes().eq_ignore_ascii_case(host))
}

/// `uri-host [ ":" port ]`, so without the user that a URI's authority may have.
fn is_host(field: &[u8]) -> bool {
    is_plain_host(field)
        || Authority::try_from(field).is_ok_and(|authority| {
            let without_port = authority.as_str().len() <= authority.host().len() + 1;
            !field.contains(&b'@') && (without_port || authority.port().is_some())
        })
}

/// Whether it is surely one: a name or an IPv4 address without a port or with one. Nearly every
/// `Host` is, and is not parsed in full.
fn is_plain_host(field: &[u8]) -> bool {
    let in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match field.split_at(field.iter().take_while(in_name).count()) {
        ([], _) => false,
        (_, []) => true,
        (_, [b':', port @ ..]) => is_port(port),
        _ => false,
    }
}

fn is_port(digits: &[u8]) -> bool {
    let number =
        |sum: u32, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'));
    let is_short = (1..=5).contains(&digits.len());
    is_short && digits.iter().try_fold(0, number).is_some_and(|port| u16::try_from(port).is_ok())
}

/// What RFC 9113 calls malformed and the h2 crate lets through: a value with white space around it
/// (§8.2.1), a `content-length` without a digit (§8.1.1), a `:path` that is a query alone (§8.3.1).
fn malformed_http2(head: &Parts) -> Option<&'static str> {
    if head.version != Version::HTTP_2 {
        return None;
    }
    let is_padded =
        |value: &HeaderValue| matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
    if head.headers.values().any(is_padded) {
        return Some("A field of this request begins or ends with white space.");
    }
    if head.headers.get_all(CONTENT_LENGTH).iter().any(HeaderValue::is_empty) {
        return Some("This request has a length that is no number.");
    }
    let is_query = head.uri.path_and_query().is_some_and(|it| it.as_str().starts_with('?'));
    is_query.then_some("This request does not name a path.")
}

/// Only CONNECT may ask for a host and nothing at it.
fn is_authority_form(uri: &Uri) -> bool {
    uri.scheme().is_none() && uri.authority().is_some()
}

/// Only OPTIONS may ask the server as a whole (RFC 9112 §3.2.4).
fn is_misplaced_asterisk(head: &Parts) -> bool {
    head.uri.path() == "*" && head.method != Method::OPTIONS
}

/// The parser decodes one chunked coding; what else it lets through would reach `CodeScan` as
/// if it were plain.
fn is_decodable(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_surely_a_host_is_one_by_the_grammar_too() {
        let table = [
            ("cs.example", true),
            ("CS-1.example:443", true),
            ("127.0.0.1:65535", true),
            ("[::1]:81", false),
            ("cs.example:", false),
            ("cs.example:65536", false),
            ("cs.example:123456", false),
            ("user@cs.example", false),
            ("cs.example/x", false),
            (":80", false),
            ("", false),
        ];
        for (host, surely) in table {
            assert_eq!(is_plain_host(host.as_bytes()), surely, "{host}");
            assert!(!surely || Authority::try_from(host).is_ok(), "{host}");
        }
        assert!(is_host(b"[::1]:81") && !is_host(b"user@cs.example") && !is_host(b"a:65536"));
    }
}
