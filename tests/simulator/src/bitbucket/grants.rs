//! Codes and tokens: what was given to whom, and what is still worth something. It knows values
//! and times, and nothing of HTTP.

use super::faults::{Faults, Pkce, Reuse};
use crate::random;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// An entry of the person's "Authorized applications". Every login makes one more.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) slug: String,
    pub(super) scopes: Vec<String>,
}

/// What a code is bound to.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_url: String,
    pub(super) challenge: Option<Challenge>,
}

/// A PKCE challenge (RFC 7636 §4.3).
#[derive(Clone, Debug)]
pub(super) enum Challenge {
    Plain(String),
    S256(String),
}

/// A new pair.
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) scopes: Vec<String>,
}

/// Why there are no tokens; each is an `invalid_grant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    UnknownCode,
    ExpiredCode,
    UsedCode,
    OtherRedirectUrl,
    WrongVerifier,
    DeadRefreshToken,
}

struct Token {
    grant: u64,
    ends: Instant,
}

struct IssuedCode {
    code: Code,
    ends: Instant,
    spent: Option<u64>,
}

/// All grants of one Bitbucket.
#[derive(Default)]
pub(super) struct Grants {
    codes: HashMap<String, IssuedCode>,
    granted: HashMap<u64, Grant>,
    access: HashMap<String, Token>,
    refresh: HashMap<String, Token>,
    rotated: HashMap<String, u64>,
    last: u64,
    /// Grows without bound: a test asks whether any secret at all shows up in a log.
    issued: Vec<String>,
}

impl Grants {
    /// A code for what the person allowed.
    pub(super) fn issue_code(&mut self, code: Code, faults: &Faults) -> String {
        let text = random::hex(16);
        let ends = Instant::now() + faults.code_lifetime;
        self.codes.insert(text.clone(), IssuedCode { code, ends, spent: None });
        self.issued.push(text.clone());
        text
    }

    /// Spends a code. One that was presented by the right client is used up whatever comes of it.
    pub(super) fn exchange(
        &mut self,
        code: &str,
        redirect_url: &str,
        verifier: Option<&str>,
        faults: &Faults,
    ) -> Result<Pair, Refused> {
        let issued = self.codes.get_mut(code).ok_or(Refused::UnknownCode)?;
        if let Some(grant) = issued.spent {
            if faults.code_reuse == Reuse::Revokes {
                self.end_grant(grant);
            }
            return Err(Refused::UsedCode);
        }
        self.last += 1;
        issued.spent = Some(self.last);
        if issued.ends <= Instant::now() {
            return Err(Refused::ExpiredCode);
        }
        if issued.code.redirect_url != redirect_url {
            return Err(Refused::OtherRedirectUrl);
        }
        if faults.pkce == Pkce::Checked && !answers(issued.code.challenge.as_ref(), verifier) {
            return Err(Refused::WrongVerifier);
        }
        self.granted.insert(self.last, issued.code.grant.clone());
        Ok(self.issue_pair(self.last, faults))
    }

    /// Rotates: the old refresh token and the old access token are dead from here on.
    pub(super) fn rotate(&mut self, token: &str, faults: &Faults) -> Result<Pair, Refused> {
        if let (Some(grant), Reuse::Revokes) = (self.rotated.get(token), faults.refresh_reuse) {
            self.end_grant(*grant);
        }
        let old = self.refresh.remove(token).ok_or(Refused::DeadRefreshToken)?;
        if old.ends <= Instant::now() {
            return Err(Refused::DeadRefreshToken);
        }
        self.rotated.insert(token.to_owned(), old.grant);
        self.access.retain(|_, access| access.grant != old.grant);
        Ok(self.issue_pair(old.grant, faults))
    }

    /// A token of its own, not made through the authorize endpoint.
    pub(super) fn issue_access(&mut self, grant: Grant, life: Duration) -> String {
        self.last += 1;
        self.granted.insert(self.last, grant);
        let token = self.token(false);
        self.access.insert(token.clone(), Token { grant: self.last, ends: Instant::now() + life });
        token
    }

    /// Whose the access token is, if it is alive.
    pub(super) fn bearer(&self, token: &str) -> Option<&Grant> {
        let token = self.access.get(token).filter(|token| token.ends > Instant::now())?;
        self.granted.get(&token.grant)
    }

    /// Ends one token; a refresh token takes its access tokens along (RFC 7009 §2.1).
    pub(super) fn kill(&mut self, token: &str) -> bool {
        match self.refresh.remove(token) {
            Some(refresh) => {
                self.access.retain(|_, access| access.grant != refresh.grant);
                true
            }
            None => self.access.remove(token).is_some(),
        }
    }

    /// Ends every token of the grants that `which` picks.
    pub(super) fn end_grants(&mut self, which: impl Fn(&Grant) -> bool) {
        let chosen = self.granted.iter().filter(|(_, grant)| which(grant)).map(|(id, _)| *id);
        for id in chosen.collect::<Vec<_>>() {
            self.end_grant(id);
        }
    }

    /// Access tokens only: what a passing of time does, made at once.
    pub(super) fn expire_access(&mut self) {
        self.access.clear();
    }

    /// How many entries the person has among "Authorized applications".
    pub(super) fn count(&self, slug: &str) -> usize {
        self.granted.values().filter(|grant| grant.slug == slug).count()
    }

    pub(super) fn issued(&self) -> &[String] {
        &self.issued
    }

    fn end_grant(&mut self, id: u64) {
        self.granted.remove(&id);
        self.access.retain(|_, token| token.grant != id);
        self.refresh.retain(|_, token| token.grant != id);
    }

    fn issue_pair(&mut self, grant: u64, faults: &Faults) -> Pair {
        let huge = faults.token_answer.huge;
        let (access, refresh) = (self.token(huge), self.token(huge));
        let now = Instant::now();
        let ends = now + faults.access_token_lifetime;
        self.access.insert(access.clone(), Token { grant, ends });
        let ends = now + faults.refresh_token_lifetime;
        self.refresh.insert(refresh.clone(), Token { grant, ends });
        let scopes = self.granted.get(&grant).map(|grant| grant.scopes.clone()).unwrap_or_default();
        Pair { access, refresh, scopes }
    }

    /// Looks like a JSON Web Token and is none: clients must not look inside.
    fn token(&mut self, huge: bool) -> String {
        let claims = format!(r#"{{"jti":"{}"}}"#, random::hex(if huge { 3100 } else { 24 }));
        let parts = [r#"{"alg":"HS256"}"#, claims.as_str(), &random::hex(32)];
        let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        self.issued.push(token.clone());
        token
    }
}

/// Whether the verifier answers the challenge (RFC 7636 §4.6). One without a challenge is refused
/// too: somebody removed the challenge on its way (RFC 9700 §4.8).
fn answers(challenge: Option<&Challenge>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some(Challenge::Plain(challenge)), Some(verifier)) => challenge == verifier,
        (Some(Challenge::S256(challenge)), Some(verifier)) => {
            well_formed(verifier) && *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// RFC 7636 §4.1.
fn well_formed(verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved)
}
