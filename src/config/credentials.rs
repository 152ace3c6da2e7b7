//! Credentials and cookies. No message here quotes what was written.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::settings::CookieSecret;
use crate::secret::Secret;

/// Room for `_login_` and an attempt's id behind it, within what browsers take.
const LONGEST_COOKIE_NAME: usize = 128;

/// Standard alphabet, padded or not; url-safe text is translated first.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `bitbucket.client_id`.
pub(super) fn client_id(text: &str) -> Result<String, String> {
    visible(text).map(ToOwned::to_owned)
}

/// `bitbucket.client_secret`.
pub(super) fn client_secret(text: &str) -> Result<Secret, String> {
    visible(text).map(Secret::new)
}

/// RFC 6749 appendix A lets blanks in; what Bitbucket hands out has none, a bad copy has.
fn visible(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("is empty; copy it from the application link in Bitbucket".into());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(
            "holds a blank or a line end; copy it again, without what stands around it".into()
        );
    }
    if !text.is_ascii() {
        return Err("holds a character that is not ASCII; copy it again from Bitbucket".into());
    }
    Ok(text)
}

/// One entry of `session.cookie_secret`.
pub(super) fn cookie_secret(text: &str) -> Result<CookieSecret, String> {
    const CURE: &str = "`openssl rand -base64 32` makes one";
    if text.is_empty() {
        return Err(format!("is empty; leave it out for a random one, or write one: {CURE}"));
    }
    let standard = Zeroizing::new(text.replace('-', "+").replace('_', "/"));
    let bytes = BASE64.decode(standard.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| format!("is not base64; {CURE}"))?;
    let secret = <[u8; 32]>::try_from(bytes.as_slice()).map(CookieSecret::new);
    secret.map_err(|_| format!("must be exactly 32 bytes; {CURE}"))
}

/// `session.cookie_name`.
pub(super) fn cookie_name(text: &str) -> Result<String, String> {
    if is_token(text) && text.len() <= LONGEST_COOKIE_NAME {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be 1 to {LONGEST_COOKIE_NAME} letters, digits and - _ . (RFC 6265bis §4.1.1)"
        ))
    }
}

/// One entry of `codescan.session_cookies`.
pub(super) fn foreign_cookie_name(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_owned())
    } else {
        Err("has an entry that is no cookie name".into())
    }
}

/// One entry of `bitbucket.scopes`: a `scope-token` (RFC 6749 §3.3).
pub(super) fn scope(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("has an entry that is no scope; write one scope an entry, such as REPO_ADMIN".into())
    }
}

/// `token` of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}
