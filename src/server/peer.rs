//! Who sits at the other end of a connection.

use std::net::IpAddr;

use crate::config::settings::TrustedProxies;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Ip(IpAddr),
    /// A process on this machine, by a unix socket.
    Unix,
}

impl Peer {
    pub fn is_trusted(self, trusted: &TrustedProxies) -> bool {
        match self {
            Self::Ip(address) => trusted.contains(address),
            Self::Unix => trusted.unix,
        }
    }

    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.to_canonical()),
            Self::Unix => None,
        }
    }
}
