//! The token response (RFC 6749 §5.1), read as leniently as is safe.

use std::time::Duration;

use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::{TokenError, TokenSet};
use crate::secret::Secret;

/// Bitbucket's default, for an answer that does not say.
const DEFAULT_LIFE_SECONDS: u64 = 3600;
/// Longer is taken for nonsense, and deadlines must stay computable.
const MAX_LIFE_SECONDS: u64 = 366 * 24 * 3600;

/// As it came. Unknown fields are ignored.
#[derive(Debug, Deserialize, Serialize)]
pub struct TokenAnswer {
    access_token: AccessToken,
    /// Required by the RFC; taken for `bearer` where it is missing, as no other type is made.
    #[serde(default)]
    token_type: TokenType,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    refresh_token: Option<RefreshToken>,
    #[serde(default, rename = "scope", deserialize_with = "scopes")]
    scopes: Option<Vec<Scope>>,
}

/// Any type, as it came; compared without case (RFC 6749 §7.1).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct TokenType(String);

impl Default for TokenType {
    fn default() -> Self {
        Self("bearer".to_owned())
    }
}

impl oauth2::TokenType for TokenType {}

impl TokenResponse for TokenAnswer {
    type TokenType = TokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &TokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.scopes.as_ref()
    }
}

impl TokenAnswer {
    /// Checks what a caller relies on, and fills in what was left out; `asked` are the scopes
    /// that were asked for.
    pub fn into_tokens(self, asked: &[String]) -> Result<TokenSet, TokenError> {
        if !self.token_type.0.eq_ignore_ascii_case("bearer") {
            return Err(TokenError::Nonsense("the token_type is not bearer"));
        }
        let access_token = self.access_token.into_secret();
        if access_token.is_empty() {
            return Err(TokenError::Nonsense("the access_token is empty"));
        }
        if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Nonsense("the access_token holds what a header cannot carry"));
        }
        let refresh_token = self.refresh_token.map(RefreshToken::into_secret);
        let seconds = self.expires_in.unwrap_or(DEFAULT_LIFE_SECONDS);
        Ok(TokenSet {
            access_token: Secret::new(access_token),
            refresh_token: refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
            expires_in: Duration::from_secs(seconds.clamp(1, MAX_LIFE_SECONDS)),
            scopes: self.scopes.map_or_else(|| asked.to_vec(), names),
        })
    }
}

fn names(scopes: Vec<Scope>) -> Vec<String> {
    scopes.into_iter().map(|scope| String::clone(&scope)).collect()
}

/// A number, a string of digits, or nothing. What is none of these counts as nothing: a token was
/// made, and to lose it for its label would be worse. Below zero is zero, a fraction is dropped.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Whole(u64),
        Number(f64),
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Whole(seconds) => Some(seconds),
        // Saturates, and the bounds of a life come later.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Form::Number(seconds) => Some(seconds as u64),
        Form::Text(text) => text.trim().parse().ok(),
        Form::Other(_) => None,
    })
}

/// A space-separated list (RFC 6749 §3.3); an empty one, or another type, says nothing.
fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Scope>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Other(IgnoredAny),
    }
    let Form::Text(text) = Form::deserialize(deserializer)? else { return Ok(None) };
    let names: Vec<_> = text.split_whitespace().map(|name| Scope::new(name.into())).collect();
    Ok(Some(names).filter(|names| !names.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<TokenSet, TokenError> {
        let answer: TokenAnswer = serde_json::from_str(json).expect(json);
        answer.into_tokens(&["REPO_ADMIN".to_owned()])
    }

    #[test]
    fn a_life_may_be_told_in_many_ways() {
        for (field, seconds) in [
            (r#","expires_in":7200"#, 7200),
            (r#","expires_in":"7200""#, 7200),
            (r#","expires_in":" 60 ""#, 60),
            (r#","expires_in":59.9"#, 59),
            ("", 3600),
            (r#","expires_in":null"#, 3600),
            (r#","expires_in":"soon""#, 3600),
            (r#","expires_in":[]"#, 3600),
            (r#","expires_in":true"#, 3600),
            (r#","expires_in":0"#, 1),
            (r#","expires_in":-5"#, 1),
            (r#","expires_in":18446744073709551615"#, MAX_LIFE_SECONDS),
            (r#","expires_in":1e300"#, MAX_LIFE_SECONDS),
        ] {
            let tokens = read(&format!(r#"{{"access_token":"t"{field}}}"#)).expect(field);
            assert_eq!(tokens.expires_in, Duration::from_secs(seconds), "{field}");
        }
    }

    #[test]
    fn the_rest_is_taken_as_it_comes() {
        let tokens = read(
            r#"{"scope":"REPO_ADMIN REPO_READ","access_token":"eyJ.a-b_c","token_type":"Bearer",
                "expires_in":3600,"refresh_token":"r","scopes":"account","x":{"y":[1]}}"#,
        )
        .expect("tokens");
        assert_eq!(tokens.access_token, Secret::new("eyJ.a-b_c"));
        assert_eq!(tokens.refresh_token, Some(Secret::new("r")));
        assert_eq!(tokens.scopes, ["REPO_ADMIN", "REPO_READ"]);
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        for extra in ["", r#","scope":"","refresh_token":"""#, r#","scope":7"#] {
            let tokens = read(&format!(r#"{{"access_token":"t"{extra}}}"#)).expect(extra);
            assert_eq!(tokens.scopes, ["REPO_ADMIN"], "{extra}");
            assert_eq!(tokens.refresh_token, None, "{extra}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_used_is_nonsense() {
        for json in [
            r#"{"access_token":""}"#,
            r#"{"access_token":"a b"}"#,
            r#"{"access_token":"a\r\nX-Evil: 1"}"#,
            r#"{"access_token":"t","token_type":"mac"}"#,
        ] {
            assert!(matches!(read(json), Err(TokenError::Nonsense(_))), "{json}");
        }
        let huge = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(8192));
        assert!(read(&huge).is_ok());
    }

    #[test]
    fn tokens_do_not_show_in_debug() {
        let shown = format!("{:?}", read(r#"{"access_token":"s3cr3t","refresh_token":"s3cr3t"}"#));
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
