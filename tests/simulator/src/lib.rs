//! Doubles of the two servers that the proxy stands between: [`Bitbucket`], the OAuth 2.0
//! provider, and [`Codescan`], the upstream. Tests start them in-process, the demo and a browser
//! meet them on loopback. They never ship, and never use the proxy's own code: a mistake shared
//! by both sides would pass every test.
//!
//! ```text
//! bitbucket/   options, faults     what a test sets, at start and at any time
//!              authorize, pages    what a person meets: log in, consent
//!              token, grants       codes and tokens: exchange, refresh, revoke
//!              rest, resources     who is it, and what may they see
//!              people              the sample people, groups and projects
//!              trouble             bringing faults about
//! codescan/    options, session    how the upstream decides who is logged in
//!              paths, pages, ...   what it answers
//! listener     sockets, TLS, going down and coming back
//! record, wire what was received, as it stood on the wire
//! ```

mod answer;
pub mod bitbucket;
mod certificates;
pub mod codescan;
mod form;
mod listener;
mod page;
mod random;
mod record;
mod waiting;
mod wire;

pub use bitbucket::{Bitbucket, BitbucketOptions, Call};
pub use codescan::{Codescan, CodescanOptions};
pub use record::Received;
