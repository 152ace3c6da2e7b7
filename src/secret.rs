//! A value that must not be seen: no `Debug` or `Display` that shows it, wiped when dropped.

use std::fmt;

use zeroize::Zeroizing;

/// A client secret, token, code or key. Reading it takes a call that says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself: for the wire to whom it belongs, never for logs, pages or errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
