//! The doubles are judged here by the documents that they stand for, so that tests of the proxy
//! may trust them.

mod client;
mod codescan;
mod login;
mod outages;
mod rest;
mod token_faults;
