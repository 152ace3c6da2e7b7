//! What is refused before anything else is asked: it cannot be served, or read in one way only.

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version};

use crate::config::Settings;
use crate::error::Problem;

/// What `Allow` tells of methods that are never forwarded.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Checks the head against limits and against RFC 9110 §7.2 (one `Host`).
pub fn admit(head: &Parts, settings: &Settings) -> Result<(), Box<Problem>> {
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        return Err(Problem::method_not_allowed(ALLOWED).into());
    }
    if head_size(head) > settings.server.max_header_size {
        return Err(Problem::header_too_large(settings.server.max_header_size).into());
    }
    if !has_one_host(head) {
        return Err(Problem::invalid_request("This request does not name one host.").into());
    }
    if let (Some(limit), Some(length)) = (settings.server.max_body_size, length(&head.headers))
        && length > limit
    {
        return Err(Problem::body_too_large(limit).into());
    }
    Ok(())
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
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            host.is_empty() || http::uri::Authority::try_from(host.as_bytes()).is_ok()
        }
        (None, _) => head.version == Version::HTTP_10 || head.uri.authority().is_some(),
        (Some(_), Some(_)) => false,
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
