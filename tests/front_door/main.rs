//! The real binary over real sockets, between a Bitbucket simulator and a small upstream.
//!
//! `harness` sets the stage; each other module tells of one subject.

mod harness;

mod main_job;
