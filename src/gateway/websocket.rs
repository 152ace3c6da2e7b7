//! WebSocket over HTTP/2: an extended CONNECT (RFC 8441) becomes the handshake of HTTP/1.1
//! (RFC 6455 §4), which all rules know and `CodeScan` understands, and the answer is put back.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::ext::Protocol;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const WEBSOCKET: &str = "websocket";

/// A handshake that we made of an extended CONNECT.
pub struct Handshake {
    /// What `Sec-WebSocket-Accept` has to be.
    accept: String,
}

impl Handshake {
    /// Makes one of `head`, if it is an extended CONNECT that asks for WebSocket.
    pub fn begin(head: &mut Parts) -> Option<Self> {
        if head.method != Method::CONNECT {
            return None;
        }
        head.extensions.get::<Protocol>().filter(|it| it.as_str() == WEBSOCKET)?;
        // A nonce, no secret.
        let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
        let accept = accept_for(key.as_bytes());
        head.method = Method::GET;
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
        head.headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).ok()?);
        Some(Self { accept })
    }

    /// Whether the answer can be the client's: any 2xx would tell it of a tunnel.
    pub fn is_answered_by<B>(&self, response: &Response<B>) -> bool {
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => accept.is_some_and(|it| it == self.accept.as_str()),
            status => !status.is_success(),
        }
    }

    /// RFC 8441 §5: a 200 stands for the 101, and nothing for its proof.
    pub fn translate<B>(response: &mut Response<B>) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        }
    }
}

fn accept_for(key: &[u8]) -> String {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_101_with_the_proof_and_refusals_are_answers() {
        let handshake = Handshake { accept: "right".into() };
        for (status, accept, answers) in [
            (101, "right", true),
            (101, "wrong", false),
            (101, "", false),
            (200, "right", false),
            (204, "", false),
            (302, "", true),
            (403, "", true),
            (500, "", true),
        ] {
            let response = Response::builder().status(status).header(SEC_WEBSOCKET_ACCEPT, accept);
            let response = response.body(()).expect("a response");
            assert_eq!(handshake.is_answered_by(&response), answers, "{status} {accept}");
        }
    }
}
