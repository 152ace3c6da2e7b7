//! The token endpoint: a code for tokens (RFC 6749 §4.1.3), a refresh token for new ones (§6),
//! and revocation where an installation has it (RFC 7009).

mod answer;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, StandardRevocableToken, TokenUrl,
};
use serde::Deserialize;
use url::form_urlencoded;

use super::transport::{Answer, Transport};
use super::unreachable::{Cause, Unreachable};
use super::{Client, SetupError};
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

use answer::TokenAnswer;

/// What Bitbucket gives for a code or a refresh token.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// Opaque; visible ASCII only, so a header can carry it.
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    /// From now, between a second and 366 days.
    pub expires_in: Duration,
    /// As Bitbucket says, or as asked where it does not say (RFC 6749 §5.1).
    pub scopes: Vec<String>,
}

/// Why there are no tokens; a variant for each thing that is done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "Bitbucket does not accept this client: check bitbucket.client_id and \
         bitbucket.client_secret against the application link"
    )]
    WrongClient,
    /// At the exchange only.
    #[error(
        "Bitbucket says that the redirect URL differs: bitbucket.redirect_url must equal the \
         application link's, character for character"
    )]
    RedirectMismatch,
    /// The code or the refresh token is used, expired, revoked or another client's, or the
    /// verifier is wrong. This alone ends a session.
    #[error("Bitbucket does not accept the code or the refresh token any more")]
    InvalidGrant,
    /// Another error of RFC 6749 §5.2; `error` is lower-case letters and underscores, 64 at most.
    #[error("Bitbucket refused the request: {error}")]
    Refused { error: String },
    /// Nothing is known of the grant; [`Cause::nothing_was_sent`] tells whether it is unspent.
    #[error("Bitbucket is unreachable: {cause}")]
    Unreachable { cause: Cause, retry_after: Option<Duration> },
    /// Well-formed JSON that is no token response. The grant may be spent.
    #[error("Bitbucket's answer is not a token response: {0}")]
    Nonsense(&'static str),
}

impl From<Unreachable> for TokenError {
    fn from(Unreachable { cause, retry_after }: Unreachable) -> Self {
        Self::Unreachable { cause, retry_after }
    }
}

impl From<Cause> for TokenError {
    fn from(cause: Cause) -> Self {
        Unreachable::from(cause).into()
    }
}

pub(super) type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Sends id and secret in the body, never by Basic: Bitbucket reads Basic as a person's name and
/// password, and counts failures towards its lock-out.
pub(super) fn oauth_client(settings: &Bitbucket) -> Result<OAuthClient, SetupError> {
    let redirect_url = RedirectUrl::new(settings.redirect_url.clone())
        .map_err(|_| SetupError::Address("bitbucket.redirect_url"))?;
    Ok(oauth2::Client::new(ClientId::new(settings.client_id.clone()))
        .set_client_secret(ClientSecret::new(settings.client_secret.expose().to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_redirect_uri(redirect_url)
        .set_token_uri(TokenUrl::from_url(settings.token_url.clone())))
}

impl Client {
    /// Buys tokens for a code, which lives ten seconds and is good once: it is sent once, and
    /// spent unless the error says otherwise. Dropping the future leaves that open.
    pub async fn exchange(&self, code: Secret, verifier: Secret) -> Result<TokenSet, TokenError> {
        let answer = self
            .shared
            .oauth
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()))
            .request_async(&self.shared.transport)
            .await
            .map_err(token_error)?;
        answer.into_tokens(&self.shared.settings.scopes)
    }

    /// New tokens for old. A success kills both old tokens; dropping the future leaves open
    /// whether it was one. Where the answer holds no new refresh token the old one stays good
    /// (RFC 6749 §6) and is returned.
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<TokenSet, TokenError> {
        let answer = self
            .shared
            .oauth
            .exchange_refresh_token(&RefreshToken::new(refresh_token.expose().to_owned()))
            .request_async(&self.shared.transport)
            .await
            .map_err(|error| match token_error(error) {
                // No redirect takes part in a refresh, whatever the description speaks of.
                TokenError::RedirectMismatch => TokenError::InvalidGrant,
                error => error,
            })?;
        let mut tokens = answer.into_tokens(&self.shared.settings.scopes)?;
        tokens.refresh_token.get_or_insert_with(|| refresh_token.clone());
        Ok(tokens)
    }

    /// Revokes both tokens (RFC 7009 §2.1), the refresh token first: it is the longer-lived, and
    /// should take its access tokens with it. `Ok(false)`: this installation has no revocation,
    /// by its settings or by its answer (404 or 405, said once in the log).
    pub async fn revoke(
        &self,
        access_token: &Secret,
        refresh_token: Option<&Secret>,
    ) -> Result<bool, TokenError> {
        if let Some(token) = refresh_token
            && !self.revoke_one(token, "refresh_token").await?
        {
            return Ok(false);
        }
        self.revoke_one(access_token, "access_token").await
    }

    async fn revoke_one(&self, token: &Secret, hint: &str) -> Result<bool, TokenError> {
        let settings = &self.shared.settings;
        let Some(uri) = &self.shared.addresses.revoke else { return Ok(false) };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", hint)
            .append_pair("client_id", &settings.client_id)
            .append_pair("client_secret", settings.client_secret.expose())
            .finish();
        let mut request = Request::new(form.into_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        self.judge_revocation(&self.shared.transport.send(request).await?)
    }

    fn judge_revocation(&self, answer: &Answer) -> Result<bool, TokenError> {
        match answer.status {
            status if status.is_success() => Ok(true),
            status @ (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                if !self.shared.said_no_revocation.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%status, "nothing revokes tokens at bitbucket.revoke_url");
                }
                Ok(false)
            }
            _ => Err(refusal(answer)),
        }
    }
}

/// For the `oauth2` crate: only a success comes back to it, so that errors are typed here, and
/// its own, which hold the body, are never made of one. By hand, as no closure is `Send` enough.
impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = TokenError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TokenError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.send(request).await?;
            success(&answer)?;
            Ok(HttpResponse::new(answer.body.to_vec()))
        })
    }
}

/// What an answer says of an error (RFC 6749 §5.2), if it is JSON at all. Of a success nothing
/// is kept but that it is one.
#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    error: serde_json::Value,
    #[serde(default)]
    error_description: serde_json::Value,
}

impl ErrorAnswer {
    /// None if the body is no JSON object; serde would take an array for one too.
    fn read(body: &[u8]) -> Option<Self> {
        let is_object = body.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(body).ok()).flatten()
    }
}

/// A 2xx, JSON, and without an `error`: some servers put that into a 200.
fn success(answer: &Answer) -> Result<(), TokenError> {
    if !answer.status.is_success() {
        return Err(refusal(answer));
    }
    match ErrorAnswer::read(&answer.body) {
        Some(found) if found.error.is_null() => Ok(()),
        Some(_) => Err(refusal(answer)),
        None => Err(Unreachable::not_json(&answer.headers).into()),
    }
}

/// By the `error` value first, then by status. A redirect, a 5xx or a 429 is trouble whatever it
/// says: it never ends a session.
fn refusal(answer: &Answer) -> TokenError {
    let trouble = || Unreachable::from_head(answer.status, &answer.headers).into();
    let speaks_for_itself = answer.status.is_client_error() || answer.status.is_success();
    if !speaks_for_itself || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return trouble();
    }
    let found = ErrorAnswer::read(&answer.body).unwrap_or_default();
    let description = found.error_description.as_str().unwrap_or_default();
    match found.error.as_str() {
        Some("invalid_client" | "unauthorized_client") => TokenError::WrongClient,
        Some("invalid_grant") if description.to_lowercase().contains("redirect") => {
            TokenError::RedirectMismatch
        }
        Some("invalid_grant") => TokenError::InvalidGrant,
        Some("server_error" | "temporarily_unavailable") | None => trouble(),
        Some(error) => TokenError::Refused { error: error_code(error).to_owned() },
    }
}

/// The code itself where it looks like one (RFC 6749 §5.2, §8.5). Anything else may hold what was
/// sent, a one-time code or a token, and this goes into the log.
fn error_code(error: &str) -> &str {
    let is_name = error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name && (1..=64).contains(&error.len()) { error } else { "(no error code)" }
}

/// What the `oauth2` crate makes of a success. Its own words and the body it kept are dropped.
fn token_error(error: RequestTokenError<TokenError, BasicErrorResponse>) -> TokenError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::Parse(..) => TokenError::Nonsense("a field is missing or malformed"),
        RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            TokenError::Nonsense("it is neither a success nor an error")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitbucket::testing::answer;

    fn refused(error: &str) -> TokenError {
        TokenError::Refused { error: error.into() }
    }

    fn status(status: u16, content_type: &str) -> TokenError {
        let status = StatusCode::from_u16(status).expect("a status");
        Cause::Status { status, content_type: Some(content_type.into()) }.into()
    }

    #[test]
    fn an_error_is_typed_by_its_value_then_by_its_status() {
        const JSON: &str = "application/json;charset=UTF-8";
        let redirect = r#"{"error":"invalid_grant","error_description":"Redirect_URI differs"}"#;
        let grant = r#"{"error":"invalid_grant","error_description":"expired"}"#;
        for (code, content_type, body, expected) in [
            (401, JSON, r#"{"error":"invalid_client"}"#, TokenError::WrongClient),
            (400, JSON, r#"{"error":"invalid_client"}"#, TokenError::WrongClient),
            (400, JSON, r#"{"error":"unauthorized_client"}"#, TokenError::WrongClient),
            (400, JSON, redirect, TokenError::RedirectMismatch),
            (400, JSON, grant, TokenError::InvalidGrant),
            (401, JSON, r#"{"error":"invalid_grant"}"#, TokenError::InvalidGrant),
            (200, JSON, r#"{"error":"invalid_grant"}"#, TokenError::InvalidGrant),
            (400, JSON, r#"{"error":"invalid_request"}"#, refused("invalid_request")),
            (400, JSON, r#"{"error":"application_disabled"}"#, refused("application_disabled")),
            (400, JSON, r#"{"error":"temporarily_unavailable"}"#, status(400, "application/json")),
            (400, "application/json", r#"["invalid_grant"]"#, status(400, "application/json")),
            (400, "text/html", "<p>invalid_grant</p>", status(400, "text/html")),
            (401, "text/html", "<p>who?</p>", status(401, "text/html")),
            (404, "application/json", r#"{"errors":[]}"#, status(404, "application/json")),
            (429, "text/html", "slow down", status(429, "text/html")),
            (429, "application/json", grant, status(429, "application/json")),
            (500, "application/json", grant, status(500, "application/json")),
            (503, "text/html", "<p>maintenance</p>", status(503, "text/html")),
        ] {
            let found = success(&answer(code, content_type, body)).expect_err(body);
            assert_eq!(found, expected, "{code} {content_type} {body}");
        }
    }

    #[test]
    fn a_success_is_a_json_object() {
        let not_json = |content_type: &str| {
            TokenError::from(Cause::NotJson { content_type: Some(content_type.into()) })
        };
        for (content_type, body, expected) in [
            ("application/json", r#"{"access_token":"t"}"#, Ok(())),
            ("application/json", r#"{"access_token":"t","error":null}"#, Ok(())),
            ("application/json", r#"{"access_token":"#, Err(not_json("application/json"))),
            ("application/json", "", Err(not_json("application/json"))),
            ("text/html", "<p>log in</p>", Err(not_json("text/html"))),
        ] {
            assert_eq!(success(&answer(200, content_type, body)), expected, "{body}");
        }
    }

    /// It goes into the log, and what was sent may come back in it: a code, a token.
    #[test]
    fn an_error_that_is_no_name_is_not_repeated() {
        let long = "x".repeat(5000);
        for error in [
            "9b3e07c4d5f1a2680e1d2c3b4a596877",
            "Unknown code: 9b3e07c4d5f1a2680e1d2c3b4a596877",
            "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIx",
            "a\\u0000\\r\\nb",
            "",
            &long,
        ] {
            let body = format!(r#"{{"error":"{error}"}}"#);
            let found = refusal(&answer(400, "application/json", &body));
            assert_eq!(found, refused("(no error code)"), "{error}");
        }
    }
}
