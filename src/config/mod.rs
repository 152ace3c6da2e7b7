//! Settings: one table of keys, read from file, environment and flags, checked at once.
//!
//! Types of this room are used everywhere; the room itself uses no other.

pub mod public_url;
pub mod rule;
pub mod settings;
pub mod template;

pub use settings::Settings;
