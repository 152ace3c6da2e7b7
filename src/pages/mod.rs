//! Draws problems and questions: HTML for people, JSON for machines, with the fields that every
//! answer made by the proxy has.
//!
//! It decides nothing: which of the two is wanted, and what went wrong, it is told.

mod html;
mod respond;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

pub use self::html::{logout_question, signed_out};
pub use self::respond::respond;
