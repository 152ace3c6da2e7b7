//! What can be wrong with the store, in words that hold no secret, no key and no address.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::CertificateError;

/// Why an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An outage: what is kept is not lost, and to try again later is right. Whether a write got
    /// through is not known.
    #[error("the store is unavailable: {0}")]
    Unavailable(Trouble),
    /// The record is there but does not open: somebody else wrote or moved it.
    #[error("a record of the store does not open with its key")]
    Damaged,
}

/// What is wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("no connection yet")]
    NotYet,
    #[error("no server of it can be reached")]
    Unreachable,
    #[error("it does not answer in time")]
    TimedOut,
    #[error("the connection broke")]
    Dropped,
    #[error("it refuses the user or password of session.store")]
    SignIn,
    #[error(
        "the user of session.store lacks a permission; it needs the keys ~cop:*, the channel \
         &cop:changes, and commands for scripts, hashes, sorted sets, expiry and channels"
    )]
    NotPermitted,
    #[error("the server is a read-only replica")]
    ReadOnly,
    #[error("no Sentinel tells a master that answers")]
    NoMaster,
    #[error("it is still loading its data")]
    Loading,
    #[error("a part of the cluster is down")]
    ClusterDown,
    #[error("it is out of memory")]
    OutOfMemory,
    #[error("it is older than Redis 6.2")]
    TooOld,
    #[error("TLS: {0}")]
    Tls(String),
    #[error("session.ca_file: {0}")]
    CaFile(String),
    #[error("it answers something that was not asked for")]
    Odd,
}

impl Trouble {
    /// In a few fixed words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotYet => "no connection yet",
            Self::Unreachable => "cannot be reached",
            Self::TimedOut => "no answer in time",
            Self::Dropped => "the connection broke",
            Self::SignIn => "refuses user or password",
            Self::NotPermitted => "lacks a permission",
            Self::ReadOnly => "is a read-only replica",
            Self::NoMaster => "no Sentinel tells a master",
            Self::Loading => "is loading its data",
            Self::ClusterDown => "a part of the cluster is down",
            Self::OutOfMemory => "is out of memory",
            Self::TooOld => "is older than Redis 6.2",
            Self::Tls(_) | Self::CaFile(_) => "TLS failed",
            Self::Odd => "answers oddly",
        }
    }

    /// Of an error of the client crate, whose own words may hold keys and addresses.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::of_io(error),
            ErrorKind::AuthenticationFailed => Self::SignIn,
            ErrorKind::RESP3NotSupported => Self::TooOld,
            ErrorKind::ClusterConnectionNotFound => Self::Unreachable,
            ErrorKind::Server(kind) => Self::of_server(kind, error),
            _ => Self::of_code(error),
        }
    }

    fn of_io(error: &RedisError) -> Self {
        if let Some(words) = tls_words(error) {
            Self::Tls(words)
        } else if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connection_dropped() {
            Self::Dropped
        } else {
            Self::Unreachable
        }
    }

    fn of_server(kind: ServerErrorKind, error: &RedisError) -> Self {
        match kind {
            ServerErrorKind::ReadOnly => Self::ReadOnly,
            ServerErrorKind::NoPerm => Self::NotPermitted,
            ServerErrorKind::BusyLoading => Self::Loading,
            ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask => Self::ClusterDown,
            _ => Self::of_code(error),
        }
    }

    fn of_code(error: &RedisError) -> Self {
        match error.code() {
            Some("NOAUTH" | "WRONGPASS") => Self::SignIn,
            Some("OOM") => Self::OutOfMemory,
            Some("NOPROTO") => Self::TooOld,
            Some("NOGOODSLAVE") => Self::NoMaster,
            _ => Self::Odd,
        }
    }

    /// Whether another connection may do better than the one on which it happened.
    pub(super) fn is_of_the_connection(&self) -> bool {
        match self {
            Self::NotPermitted | Self::OutOfMemory | Self::ClusterDown | Self::Odd => false,
            Self::NotYet
            | Self::Unreachable
            | Self::TimedOut
            | Self::Dropped
            | Self::SignIn
            | Self::ReadOnly
            | Self::NoMaster
            | Self::Loading
            | Self::TooOld
            | Self::Tls(_)
            | Self::CaFile(_) => true,
        }
    }

    /// Whether the next connection is likely to do what this one did not.
    pub(super) fn is_cured_by_another_connection(&self) -> bool {
        matches!(self, Self::Dropped | Self::ReadOnly)
    }
}

/// What is wrong with the TLS of a server, if that is what ended the connection.
fn tls_words(error: &RedisError) -> Option<String> {
    // The crate shares what it was given.
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    let io = shared.downcast_ref::<io::Error>()?;
    let tls = io.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match tls {
        rustls::Error::InvalidCertificate(why) => certificate_words(why),
        other => other.to_string(),
    })
}

/// Without the names that a certificate holds.
fn certificate_words(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "nobody who is trusted signed the server's certificate; see session.ca_file".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".into()
        }
        other => format!("the server's certificate cannot be used ({other})"),
    }
}
