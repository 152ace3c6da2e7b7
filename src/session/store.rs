//! The seam between sessions and where they are kept besides the memory that serves them.
//!
//! All that the two kinds of store do differently is named here; the rest of the room does not
//! know which of them it has. What waits is for the control runtime.

use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use super::id::{SessionId, SessionKey};
use super::shared::Shared;
use super::shared::claims::Claim;
use super::shared::turn::Turn;
use super::{Lifetimes, Session};
use crate::store::StoreError;

/// Where sessions are kept.
pub enum Store {
    /// In the memory of this process and nowhere else: it knows all there is to know.
    Memory(Arc<Held>),
    /// In a Redis or Valkey, for all replicas: what this process holds is a cache of it.
    Shared(Arc<Shared>),
}

/// Whether this process is the one to refresh a session now.
pub enum Whose {
    Ours(Turn),
    /// Another replica did, or the session has ended: all that there is to know is known here.
    Settled,
}

/// What has become of new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// They are kept, or are tried to be kept until they are.
    Yes,
    /// The session was ended elsewhere meanwhile: nobody will use them.
    Ended,
}

impl Store {
    /// Keeps a new session. Returns it, and those that are now too many of its person.
    pub async fn keep(
        &self,
        session: Session,
        lifetimes: Lifetimes,
        per_person: usize,
    ) -> Result<(Arc<Session>, Vec<SessionKey>), StoreError> {
        match self {
            Self::Memory(held) => {
                let session = held.insert(session);
                let surplus = held.join_person(&session, per_person);
                Ok((session, surplus.iter().map(|session| session.key).collect()))
            }
            Self::Shared(shared) => shared.keep(session, lifetimes, per_person).await,
        }
    }

    /// A live session that this process does not hold; from now on it does.
    pub async fn fetch(
        &self,
        id: &SessionId,
        lifetimes: Lifetimes,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        match self {
            Self::Memory(_) => Ok(None),
            Self::Shared(shared) => shared.fetch(id, lifetimes).await,
        }
    }

    /// Makes sure that what is held of a session is the newest. An error leaves it as it is.
    pub async fn look_up(&self, session: &Arc<Session>) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Shared(shared) => shared.look_up(session).await,
        }
    }

    /// A request used the session; heard about once a minute.
    pub fn note_use(&self, session: &Arc<Session>, lifetimes: Lifetimes) {
        if let Self::Shared(shared) = self {
            shared.note_use(session, lifetimes);
        }
    }

    /// The session's life is over by what is known here.
    pub fn run_out(&self, session: &Session) {
        match self {
            Self::Memory(held) => held.end(session),
            // Another replica may have seen it used.
            Self::Shared(shared) => shared.held.forget(session),
        }
    }

    /// Ends a session, everywhere.
    pub fn end(&self, key: &SessionKey, session: Option<&Session>) {
        match self {
            Self::Memory(held) => {
                if let Some(session) = session {
                    held.end(session);
                }
            }
            Self::Shared(shared) => shared.end(key, session),
        }
    }

    /// A session that has ended takes nobody's place among its person's any more.
    pub async fn count_out(&self, session: &Session) {
        match self {
            Self::Memory(_) => {}
            Self::Shared(shared) => shared.count_out(session).await,
        }
    }

    /// Claims what is to be done once, by whichever replica comes first; waits for so long for
    /// what another one makes of it. `secret` is known to those alone whom the result is for.
    pub async fn claim(&self, secret: &[u8; 32], patience: Duration) -> Result<Claim, StoreError> {
        match self {
            Self::Memory(_) => Ok(Claim::Ours),
            Self::Shared(shared) => shared.claim(secret, patience).await,
        }
    }

    /// Tells what came of a claim.
    pub async fn settle(&self, secret: &[u8; 32], session: Option<&SessionId>) {
        match self {
            Self::Memory(_) => {}
            Self::Shared(shared) => shared.settle(secret, session).await,
        }
    }

    /// Waits until nobody else refreshes the session. `call` is the longest that the call to
    /// Bitbucket may take.
    pub async fn take_turn(
        &self,
        session: &Arc<Session>,
        call: Duration,
    ) -> Result<Whose, StoreError> {
        match self {
            Self::Memory(_) => Ok(Whose::Ours(Turn::only_one())),
            Self::Shared(shared) => shared.take_turn(session, call).await,
        }
    }

    /// To be called right before the refresh token is sent. An error: it must not be sent.
    pub async fn about_to_send(&self, session: &Session) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Shared(shared) => shared.about_to_send(session).await,
        }
    }

    /// Keeps the tokens that the session now has, and gives the turn back.
    pub async fn save(&self, session: &Arc<Session>, turn: &mut Turn) -> Saved {
        match self {
            Self::Memory(_) => Saved::Yes,
            Self::Shared(shared) => shared.save(session, turn).await,
        }
    }

    /// Keeps what is now known of the session's person.
    pub async fn save_person(&self, session: &Arc<Session>) {
        match self {
            Self::Memory(_) => {}
            Self::Shared(shared) => shared.save_person(session).await,
        }
    }

    /// Whether another replica has stored newer tokens than those that Bitbucket has just refused.
    /// Waits for one that may be about to.
    pub async fn has_newer(&self, session: &Arc<Session>, turn: &Turn) -> Result<bool, StoreError> {
        match self {
            Self::Memory(_) => Ok(false),
            Self::Shared(shared) => shared.has_newer(session, turn).await,
        }
    }

    /// Lets others have their turn: no answer of Bitbucket to us can come any more.
    pub fn give_back(&self, session: &Session, turn: Turn) {
        if let Self::Shared(shared) = self {
            shared.give_back(session, turn);
        }
    }
}
