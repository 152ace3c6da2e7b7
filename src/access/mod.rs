//! The one decision about who gets through.
//!
//! Pure: it sees values, not connections, stores or clocks. Ordinary requests go through it, and
//! whatever asks on behalf of another proxy goes through the same function, as two would drift.

pub mod client_tokens;
pub mod cross_site;
pub mod public;

use http::{HeaderMap, Method};

use self::client_tokens::ClientToken;
use crate::config::public_url::PublicUrl;
use crate::config::settings::{Access, ClientTokens};

/// What the decision is about.
pub struct Asked<'a> {
    pub method: &'a Method,
    /// The raw path, as it came.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// The request has a live session.
    pub has_session: bool,
    /// It asks for another protocol (RFC 9110 §7.8).
    pub is_upgrade: bool,
}

/// As whom a request may pass, or why it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// With the fields of the session.
    AsSession,
    /// With nothing of ours, and without a client's own `Authorization`.
    AsPublic,
    /// As public, but what the client brings as `Authorization` goes through.
    AsPublicWithToken,
    /// With the client's own `Authorization`; `CodeScan` decides.
    AsClientToken,
    Refused(Refusal),
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    LoginRequired,
    /// `access.client_tokens` is `deny`.
    ClientTokenRefused,
    /// They pass, but this is none that can.
    ClientTokenMalformed,
    CrossSite,
}

/// The order is the contract's: a live session, else a public rule, else the client's own token.
pub fn decide(asked: &Asked<'_>, rules: &Access, public_url: &PublicUrl) -> Decision {
    if asked.has_session {
        return if cross_site::is_foreign(asked, public_url) {
            Decision::Refused(Refusal::CrossSite)
        } else {
            Decision::AsSession
        };
    }
    let token = ClientToken::of(asked.headers);
    if public::falls_under(asked.method, asked.path, &rules.public, public_url.prefix()) {
        return match (rules.client_tokens, token) {
            (ClientTokens::Pass, ClientToken::WellFormed) => Decision::AsPublicWithToken,
            (ClientTokens::Pass | ClientTokens::Deny, _) => Decision::AsPublic,
        };
    }
    match (token, rules.client_tokens) {
        (ClientToken::Absent, _) => Decision::Refused(Refusal::LoginRequired),
        (ClientToken::WellFormed, ClientTokens::Pass) => Decision::AsClientToken,
        (ClientToken::Malformed, ClientTokens::Pass) => {
            Decision::Refused(Refusal::ClientTokenMalformed)
        }
        (ClientToken::WellFormed | ClientToken::Malformed, ClientTokens::Deny) => {
            Decision::Refused(Refusal::ClientTokenRefused)
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{AUTHORIZATION, ORIGIN};

    use super::*;
    use crate::config::rule::RouteRule;

    fn rules(client_tokens: ClientTokens) -> Access {
        Access { public: vec![RouteRule::parse("GET /open").expect("a rule")], client_tokens }
    }

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_table_of_decisions() {
        use ClientTokens::{Deny, Pass};
        let none = headers(&[]);
        let bearer = headers(&[(AUTHORIZATION, "Bearer abc")]);
        let strange = headers(&[(AUTHORIZATION, "Digest x=y")]);
        let foreign = headers(&[(ORIGIN, "https://evil.example")]);
        let own = headers(&[(ORIGIN, "https://cs.example")]);
        let login = Decision::Refused(Refusal::LoginRequired);
        let refused = Decision::Refused(Refusal::ClientTokenRefused);
        let malformed = Decision::Refused(Refusal::ClientTokenMalformed);
        let cross_site = Decision::Refused(Refusal::CrossSite);
        let (get, post) = (Method::GET, Method::POST);
        #[rustfmt::skip]
        let table = [
            // method, path, headers, session, upgrade, tokens => decision
            (&get,  "/x",    &none,    true,  false, Deny, Decision::AsSession),
            (&get,  "/open", &none,    true,  false, Deny, Decision::AsSession),
            (&get,  "/x",    &bearer,  true,  false, Deny, Decision::AsSession),
            (&post, "/x",    &own,     true,  false, Deny, Decision::AsSession),
            (&post, "/x",    &foreign, true,  false, Deny, cross_site),
            (&post, "/open", &foreign, true,  false, Deny, cross_site),
            (&get,  "/x",    &foreign, true,  false, Deny, Decision::AsSession),
            (&get,  "/x",    &foreign, true,  true,  Deny, cross_site),
            (&get,  "/open", &none,    false, false, Deny, Decision::AsPublic),
            (&get,  "/open", &bearer,  false, false, Deny, Decision::AsPublic),
            (&get,  "/open", &bearer,  false, false, Pass, Decision::AsPublicWithToken),
            (&get,  "/open", &strange, false, false, Pass, Decision::AsPublic),
            (&post, "/open", &none,    false, false, Deny, login),
            (&get,  "/x",    &none,    false, false, Deny, login),
            (&get,  "/x",    &none,    false, false, Pass, login),
            (&get,  "/x",    &bearer,  false, false, Deny, refused),
            (&get,  "/x",    &bearer,  false, false, Pass, Decision::AsClientToken),
            (&get,  "/x",    &strange, false, false, Deny, refused),
            (&get,  "/x",    &strange, false, false, Pass, malformed),
        ];
        let public_url = PublicUrl::parse("https://cs.example").expect("a URL");
        for (method, path, headers, has_session, is_upgrade, tokens, wanted) in table {
            let asked = Asked { method, path, headers, has_session, is_upgrade };
            let decision = decide(&asked, &rules(tokens), &public_url);
            assert_eq!(decision, wanted, "{method} {path} {headers:?} {has_session} {is_upgrade}");
        }
    }
}
