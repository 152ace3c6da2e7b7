//! The sessions of each person: what is known of the person is held once, and how many there may
//! be is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Session;
use crate::bitbucket::Person;

#[derive(Default)]
pub struct People(Mutex<HashMap<String, Own>>);

/// What one person has.
struct Own {
    person: Arc<Person>,
    sessions: Vec<Weak<Session>>,
}

impl People {
    /// The person as other sessions hold it, if nothing has changed.
    pub fn share(&self, person: Person) -> Arc<Person> {
        let mut people = self.lock();
        match people.get_mut(&identity(&person)) {
            Some(own) if *own.person == person => Arc::clone(&own.person),
            Some(own) => {
                own.person = Arc::new(person);
                Arc::clone(&own.person)
            }
            None => Arc::new(person),
        }
    }

    /// Counts a new session. Returns those that are over the limit, the longest unused first.
    pub fn add(&self, session: &Arc<Session>, per_person: usize) -> Vec<Arc<Session>> {
        let person = session.person();
        let Some(person) = person.as_ref() else { return Vec::new() };
        let mut people = self.lock();
        let own = people
            .entry(identity(person))
            .or_insert_with(|| Own { person: Arc::clone(person), sessions: Vec::new() });
        own.sessions.retain(is_held);
        own.sessions.push(Arc::downgrade(session));
        surplus(&own.sessions, per_person)
    }

    /// The sessions of this one's person.
    pub fn all_of(&self, session: &Session) -> Vec<Arc<Session>> {
        let person = session.person();
        let people = self.lock();
        let own = person.as_ref().and_then(|person| people.get(&identity(person)));
        own.map_or_else(Vec::new, |own| own.sessions.iter().filter_map(Weak::upgrade).collect())
    }

    /// Forgets sessions that have ended.
    pub fn tidy(&self) {
        self.lock().retain(|_, own| {
            own.sessions.retain(is_held);
            !own.sessions.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stays the same where a person is renamed; the name where there is no more.
pub fn identity(person: &Person) -> String {
    person.id.map_or_else(|| person.name.to_lowercase(), |id| format!("#{id}"))
}

fn is_held(session: &Weak<Session>) -> bool {
    session.upgrade().is_some_and(|session| !session.has_ended())
}

fn surplus(own: &[Weak<Session>], limit: usize) -> Vec<Arc<Session>> {
    let mut own: Vec<_> = own.iter().filter_map(Weak::upgrade).collect();
    let over = own.len().saturating_sub(limit);
    // Stable, so that of two used in the same second the older login goes.
    own.sort_by_key(|session| session.last_use());
    own.truncate(over);
    own
}
