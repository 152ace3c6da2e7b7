//! Tests of the whole room over real sockets: what is sent, how often, and what is made of answers
//! good and bad.

mod faults;
mod people;
mod routes;
mod tokens;

use super::{Cause, Client, TokenError, TokenSet};
use crate::secret::Secret;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKENS: &str = r#"{"scope":"REPO_ADMIN","access_token":"eyJ.new","token_type":"bearer",
    "expires_in":3600,"refresh_token":"eyJ.next"}"#;

async fn exchange(client: &Client) -> Result<TokenSet, TokenError> {
    client.exchange(Secret::new("the/c0de"), Secret::new(VERIFIER)).await
}

fn cause(error: TokenError) -> Cause {
    match error {
        TokenError::Unreachable { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

/// Method and target of a request.
fn target(request: &str) -> String {
    let line = request.lines().next().expect("a request line");
    line.strip_suffix(" HTTP/1.1").expect("HTTP/1.1").to_owned()
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("head and body").1
}

fn has_field(request: &str, field: &str) -> bool {
    request.lines().any(|line| line.eq_ignore_ascii_case(field))
}
