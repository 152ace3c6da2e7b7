//! The head of a request (RFC 9113 §8.3.1).

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use http_body::Body;

use crate::forward::body::RequestBody;
use crate::forward::sink::FieldMap;

/// `target` goes out byte for byte, as `:path`.
pub fn head(
    method: &Method,
    target: &Uri,
    scheme: Scheme,
    map: FieldMap,
    body: &RequestBody,
) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = uri(target, scheme, map.authority.as_ref());
    *request.headers_mut() = map.fields;
    if let Some(length) = said_length(method, body) {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *request.method_mut() = method.clone();
    request
}

/// Where the client named no host that can be one, `:authority` is left out.
fn uri(target: &Uri, scheme: Scheme, host: Option<&HeaderValue>) -> Uri {
    let root = PathAndQuery::from_static("/");
    let path = target.path_and_query().cloned().unwrap_or(root);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    if let Some(authority) = authority {
        parts.authority = Some(authority);
        parts.scheme = Some(scheme);
    }
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_default()
}

/// Its absence is said where a body would be expected (RFC 9110 §8.6).
fn said_length(method: &Method, body: &RequestBody) -> Option<u64> {
    let expects_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    body.size_hint().exact().filter(|length| *length > 0 || expects_body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_goes_out_as_it_came() {
        let host = HeaderValue::from_static("codescan.test:8443");
        for target in ["/", "/a//b/../c?d=%zz&e", "/%2f;x?", "*", "/a?b=http://c"] {
            let uri = uri(&target.parse().expect("a target"), Scheme::HTTPS, Some(&host));
            assert_eq!(uri.path_and_query().expect("a path").as_str(), target);
            assert_eq!(uri.authority().expect("a host").as_str(), "codescan.test:8443");
            assert_eq!(uri.scheme(), Some(&Scheme::HTTPS));
        }
    }

    #[test]
    fn a_host_that_is_none_is_left_out() {
        for host in ["", "a b", "a/b"] {
            let host = HeaderValue::from_static(host);
            let uri = uri(&Uri::from_static("/x"), Scheme::HTTP, Some(&host));
            assert_eq!((uri.authority(), uri.path()), (None, "/x"));
        }
    }
}
