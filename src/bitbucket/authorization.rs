//! The authorization request: the address to which a browser is sent.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Client;
use crate::secret::Secret;

impl Client {
    /// Where a browser goes to log in (RFC 6749 §4.1.1, RFC 7636 §4.3). `state` comes back with
    /// the code; `verifier` (43 to 128 unreserved characters, RFC 7636 §4.1) must be brought to
    /// [`Client::exchange`] and does not appear in the address, only its S256 challenge.
    pub fn authorize_url(&self, state: &str, verifier: &Secret) -> String {
        let settings = &self.shared.settings;
        let mut url = settings.authorize_url.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &settings.redirect_url)
            .append_pair("scope", &settings.scopes.join(" "))
            .append_pair("state", state)
            .append_pair("code_challenge", &challenge(verifier))
            // Of the spellings seen, the one that the most clients and Atlassian's example use.
            .append_pair("code_challenge_method", "S256");
        url.into()
    }
}

/// RFC 7636 §4.2.
fn challenge(verifier: &Secret) -> String {
    let hash = digest::digest(&digest::SHA256, verifier.expose().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitbucket::testing::{client, settings};

    /// The pair of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_address_has_each_parameter_once_and_in_order() {
        let mut settings = settings("https://bitbucket.example.com/bitbucket");
        settings.scopes = vec!["REPO_READ".into(), "PROJECT_ADMIN".into()];
        let url = client(&settings).authorize_url("cop1.kJ0xw1b0-S8_", &Secret::new(VERIFIER));
        let expected = format!(
            "https://bitbucket.example.com/bitbucket/rest/oauth2/latest/authorize\
             ?response_type=code\
             &client_id=4f1c0e7a9b2d4c5e8f60718293a4b5c6\
             &redirect_uri=https%3A%2F%2Fcodescan.example.com%2F_codescan%2Foauth2%2Fauthorize\
             &scope=REPO_READ+PROJECT_ADMIN\
             &state=cop1.kJ0xw1b0-S8_\
             &code_challenge={CHALLENGE}\
             &code_challenge_method=S256"
        );
        assert_eq!(url, expected);
    }

    #[test]
    fn a_query_that_the_setting_has_is_kept() {
        let mut settings = settings("https://bitbucket.example.com");
        settings.authorize_url = "https://sso.example.com/go?app=7".parse().expect("a URL");
        let url = client(&settings).authorize_url("s", &Secret::new(VERIFIER));
        assert!(url.starts_with("https://sso.example.com/go?app=7&response_type=code&"), "{url}");
    }
}
