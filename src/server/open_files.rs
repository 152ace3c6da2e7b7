//! The limit of open files, which every connection counts against.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as this process may: to the hard limit, and beyond it where it may do
/// that and `needed` is more. What is allowed then; `None` is any number.
pub fn raise(needed: u64) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let beyond = limit.maximum.map(|most| most.max(needed));
    let wishes = [
        Rlimit { current: beyond, maximum: beyond },
        Rlimit { current: limit.maximum, maximum: limit.maximum },
        // Where the hard limit is none, the system may have one that it does not tell.
        Rlimit { current: Some(needed), maximum: limit.maximum },
    ];
    let _ = wishes.into_iter().find(|wish| setrlimit(Resource::Nofile, *wish).is_ok());
    getrlimit(Resource::Nofile).current
}
