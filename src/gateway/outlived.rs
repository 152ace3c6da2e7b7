//! Ends an answer that outlives its session: an event stream would go on telling what only
//! somebody who is signed in may know.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::session::{Lifetimes, Session};

/// How often a stream looks, and so how long an answer may take that a logout overtakes.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// What breaks such an answer off. It must not seem to be whole.
#[derive(Debug, thiserror::Error)]
#[error("the session of this answer has ended")]
pub struct Outlived;

/// Looks now and then whether the session of an answer is over.
pub struct Watch {
    lifetimes: Lifetimes,
    next_look: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    pub fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, next_look: None }
    }

    /// Asked only while the answer lets us wait: most come at once, and never pay for a timer.
    pub fn poll_over(&mut self, session: &Session, cx: &mut Context<'_>) -> Poll<Outlived> {
        loop {
            let look =
                self.next_look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOKED_AT_EVERY)));
            ready!(look.as_mut().poll(cx));
            self.next_look = None;
            let left = session.remaining(self.lifetimes, Instant::now());
            if session.has_ended() || left.is_zero() {
                return Poll::Ready(Outlived);
            }
        }
    }
}
