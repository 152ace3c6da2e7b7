//! The house is as the texts about it say: its arrows point one way, and what it is told by is
//! there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arrows;
mod texts;
mod tree;
