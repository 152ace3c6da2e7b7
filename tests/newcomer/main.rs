//! What somebody new is told to do works: the demo, and every command and setting of the README.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod demo;
mod image;
mod process;
mod readme;
