//! What a test sets: some of it when the double starts, the rest at any time.

use crate::bitbucket::Bitbucket;
use std::path::PathBuf;

/// How the double starts; [`Default`] is plain http on a free port, open to everybody.
#[derive(Clone, Default)]
pub struct CodescanOptions {
    /// TCP port on loopback; 0 takes a free one.
    pub port: u16,
    /// Listen on this socket file instead.
    pub unix_socket: Option<PathBuf>,
    /// How to encrypt.
    pub tls: Tls,
    /// Speak HTTP/2 as well: by ALPN over TLS, by prior knowledge without.
    pub http2: bool,
    /// Path that everything is below, such as `/codescan` (`sonar.web.context`).
    pub context_path: String,
    /// Whose Bearer tokens are known.
    pub bitbucket: Option<Bitbucket>,
    /// How it behaves at first.
    pub faults: CodescanFaults,
}

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    #[default]
    Off,
    /// https with a certificate of a private authority ([`super::Codescan::ca_pem`]).
    Server,
    /// The same, and clients must show a certificate ([`super::Codescan::client_identity`]).
    Mutual,
}

/// Everything that can be switched while the double runs.
#[derive(Clone, Debug)]
pub struct CodescanFaults {
    /// Who gets in.
    pub login: Login,
    /// So many requests get 401 with nothing in it, as if their token had expired.
    pub unauthorized_next: u32,
    /// Status of `POST /api/authentication/logout`; below 300 it logs out.
    pub logout_status: u16,
    /// `status` of `/api/system/status`.
    pub system_status: String,
    /// `status` of `/_codescan/actuator/health`; anything but `UP` is a 503.
    pub health: String,
    /// Request bodies are left unread until this is switched off.
    pub hold_bodies: bool,
}

impl Default for CodescanFaults {
    fn default() -> Self {
        Self {
            login: Login::Open,
            unauthorized_next: 0,
            logout_status: 200,
            system_status: "UP".to_owned(),
            health: "UP".to_owned(),
            hold_bodies: false,
        }
    }
}

/// Who gets in. Where somebody is refused: 401 without a body on `/api`, 302 to `/sessions/new`
/// on pages, as `SonarQube` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// Everybody; who it is, is shown if known.
    #[default]
    Open,
    /// Whoever has a session cookie, a Bearer that the Bitbucket double knows, or a token of
    /// `SonarQube`'s forms (`squ_…`).
    Required,
    /// As [`Login::Required`], and above all whoever the header `X-Forwarded-Login` names
    /// (`sonar.web.sso.enable`).
    Headers,
}
