//! The sessions in the memory of this process: found by their key, bounded in number.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use moka::notification::RemovalCause;

use super::id::SessionKey;
use super::index::Index;
use super::people::People;
use super::{Lifetimes, Session};
use crate::bitbucket::Person;

/// Called when a session is removed because there are too many.
pub type OverCapacity = Box<dyn Fn() + Send + Sync>;

pub struct Held {
    /// Owns them: their number, and which of them goes first.
    live: moka::sync::Cache<SessionKey, Arc<Session>>,
    index: Arc<Index>,
    people: People,
    /// Those of the last login: they are the same for nearly all, and held once.
    scopes: Mutex<Arc<[String]>>,
    surplus: Surplus,
}

/// What becomes of a session for which there is no room any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// It is over, as it is kept nowhere else.
    Ends,
    /// It goes on, as it is kept elsewhere; found as long as somebody uses it here.
    LivesOn,
}

impl Held {
    pub fn new(capacity: u64, surplus: Surplus, over_capacity: OverCapacity) -> Self {
        let index = Arc::new(Index::new());
        let indexed = Arc::clone(&index);
        let live = moka::sync::Cache::builder()
            .max_capacity(capacity)
            // The default policy refuses new keys when full: a fresh login would vanish.
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .eviction_listener(move |_, session: Arc<Session>, cause| {
                match (cause, surplus) {
                    // By itself.
                    (RemovalCause::Replaced, _) => {}
                    (RemovalCause::Size, Surplus::Ends) => {
                        session.mark_ended();
                        indexed.remove(&session);
                        over_capacity();
                    }
                    (RemovalCause::Size, Surplus::LivesOn) if is_used(&session, 2) => {}
                    _ => indexed.remove(&session),
                }
            })
            .build();
        Self { live, index, people: People::default(), scopes: Mutex::default(), surplus }
    }

    /// Holds a session from now on; the one that is held, should there be one with its key.
    pub fn insert(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let held = self.index.get_or_insert(session);
        self.live.insert(held.key, Arc::clone(&held));
        held
    }

    pub fn find(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.index.find(key)
    }

    /// A session is in use: others go first.
    pub fn note_use(&self, key: &SessionKey) {
        self.live.get(key);
    }

    /// Lets go of a session, which goes on elsewhere.
    pub fn forget(&self, session: &Session) {
        self.live.invalidate(&session.key);
        // One that moka had no room for is in the index alone.
        self.index.remove(session);
    }

    /// The session is over: from now on no request finds it, on any worker.
    pub fn end(&self, session: &Session) {
        session.mark_ended();
        // It may have been forgotten and fetched again.
        if let Some(held) = self.find(&session.key) {
            held.mark_ended();
        }
        self.forget(session);
    }

    /// How many there are, roughly.
    pub fn count(&self) -> u64 {
        self.live.entry_count()
    }

    /// Looks at all of them.
    pub fn all_that(&self, is_wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        self.index.all_that(is_wanted)
    }

    /// Counts a session as its person's. Returns those that are over the limit, the longest
    /// unused first.
    pub fn join_person(&self, session: &Arc<Session>, at_most: usize) -> Vec<Arc<Session>> {
        self.people.add(session, at_most)
    }

    /// Those of the same person.
    pub fn fellows(&self, session: &Session) -> Vec<Arc<Session>> {
        self.people.all_of(session)
    }

    /// The person as other sessions hold it, if nothing has changed.
    pub fn share_person(&self, person: Person) -> Arc<Person> {
        self.people.share(person)
    }

    pub fn share_scopes(&self, scopes: &mut Arc<[String]>) {
        let mut last = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == *scopes {
            *scopes = Arc::clone(&last);
        } else {
            *last = Arc::clone(scopes);
        }
    }

    /// Lets `go` have what has run out, so that memory and the count follow time, and forgets what
    /// there was no room for once nobody uses it. Called now and then.
    pub fn tidy(&self, lifetimes: Lifetimes, now: Instant, go: impl Fn(&Session)) {
        for session in self.index.all_that(|session| !session.is_live(lifetimes, now)) {
            go(&session);
        }
        self.live.run_pending_tasks();
        if self.surplus == Surplus::LivesOn {
            self.forget_surplus();
        }
        self.people.tidy();
    }

    fn forget_surplus(&self) {
        for session in self.index.all_that(|session| !self.live.contains_key(&session.key)) {
            // Held by the index and by this loop.
            if !is_used(&session, 2) {
                self.index.remove(&session);
            }
        }
    }
}

/// Whether anybody holds the session besides `others`.
fn is_used(session: &Arc<Session>, others: usize) -> bool {
    Arc::strong_count(session) > others
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::secret::Secret;
    use crate::session::id::SessionId;
    use crate::session::tokens::Tokens;

    const LIFETIMES: Lifetimes =
        Lifetimes { idle: Duration::from_hours(1), absolute: Duration::from_hours(8) };

    fn session(now: Instant) -> Session {
        let tokens = Tokens {
            access: Secret::new("token"),
            refresh: None,
            scopes: Vec::new().into(),
            received: now,
            generation: 0,
            expires_at: now + Duration::from_hours(1),
        };
        Session::new(&SessionId::generate(), None, tokens, now, None)
    }

    fn tidy(held: &Held, now: Instant) {
        held.tidy(LIFETIMES, now, |session| held.end(session));
    }

    /// moka drops what it has let go some time later.
    fn tidy_down_to(number: usize, held: &Held, now: Instant) {
        let left = || held.all_that(|_| true).len();
        for _ in 0..10_000 {
            tidy(held, now);
            if left() == number {
                return;
            }
        }
        assert_eq!(left(), number);
    }

    #[test]
    fn what_moka_lets_go_is_not_found_any_more() {
        let evicted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&evicted);
        let notice = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let held = Held::new(10, Surplus::Ends, Box::new(notice));
        let now = Instant::now();
        let made: Vec<_> = (0..30).map(|_| held.insert(session(now))).collect();
        tidy(&held, now);
        let found = || made.iter().filter(|made| held.find(&made.key).is_some()).count();
        let ended = || made.iter().filter(|made| made.has_ended()).count();
        assert_eq!((found(), held.count(), ended()), (10, 10, 20));
        assert_eq!(evicted.load(Ordering::SeqCst), 20);
        tidy(&held, now + Duration::from_hours(1));
        assert_eq!((found(), held.count(), ended()), (0, 0, 30));
        assert_eq!(held.all_that(|_| true).len(), 0);
    }

    #[test]
    fn what_is_kept_elsewhere_lives_on_and_is_found_while_it_is_used() {
        let held = Held::new(10, Surplus::LivesOn, Box::new(|| {}));
        let now = Instant::now();
        let used = held.insert(session(now));
        for _ in 0..30 {
            held.insert(session(now));
        }
        tidy_down_to(11, &held, now);
        assert!(held.find(&used.key).is_some() && !used.has_ended());
        assert_eq!(held.count(), 10);
        let key = used.key;
        drop(used);
        tidy_down_to(10, &held, now);
        assert!(held.find(&key).is_none());
    }

    #[test]
    fn of_two_with_one_key_the_first_is_held() {
        let held = Held::new(10, Surplus::LivesOn, Box::new(|| {}));
        let (id, now) = (SessionId::generate(), Instant::now());
        let of_id = || {
            let tokens = Tokens::clone(&session(now).tokens());
            Session::new(&id, None, tokens, now, None)
        };
        let first = held.insert(of_id());
        let second = held.insert(of_id());
        assert!(Arc::ptr_eq(&first, &second));
        held.end(&of_id());
        assert!(first.has_ended() && held.find(&id.key()).is_none());
    }
}
