//! What somebody new is told to do works: the demo, and every command and setting of the README.

mod browser;
mod demo;
mod process;
mod readme;
