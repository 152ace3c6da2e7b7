//! How many connections to `CodeScan` the whole program may have: `codescan.max_connections`.
//!
//! A connection holds a [`Permit`] from before it is opened until it is closed, also while it
//! idles, so that an exchange on a kept connection asks nobody. Who gets none stands in one queue
//! for all workers, first come, first served. A worker that has idle connections is woken to close
//! some ([`Lender`]), and one that ends an exchange looks first whether somebody waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// Shared by all workers.
pub struct Bound {
    queue: Mutex<Queue>,
    /// As many as stand in the queue: read without its lock.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    /// Permits that are held.
    taken: usize,
    limit: usize,
    waiting: VecDeque<Waiter>,
    numbers: u64,
    lenders: Vec<Arc<Lender>>,
}

/// One who waits for a connection.
pub struct Waiter {
    pub number: u64,
    worker: usize,
    grant: oneshot::Sender<Grant>,
}

impl Waiter {
    /// Tells it that a connection of its own worker is there for it. False if it has left.
    pub fn hand(self) -> bool {
        self.grant.send(Grant::Handed).is_ok()
    }
}

/// What a wait ends with.
pub enum Grant {
    /// A connection may be opened.
    Permit(Permit),
    /// A connection of the same worker is kept for the one who waited.
    Handed,
}

/// The right to one connection. Dropped, it goes to the one who waits longest.
pub struct Permit(Arc<Bound>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A worker that may have idle connections to lend.
#[derive(Default)]
pub struct Lender {
    idle: AtomicUsize,
    wanted: Notify,
}

impl Lender {
    /// Says how many idle connections there are.
    pub fn has(&self, idle: usize) {
        self.idle.store(idle, Ordering::SeqCst);
    }

    /// Resolves when somebody waits and this worker has idle connections.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// A place in the queue. Dropped, it is given up.
pub struct Ticket {
    pub number: u64,
    pub granted: oneshot::Receiver<Grant>,
    bound: Arc<Bound>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queue = self.bound.lock();
        queue.waiting.retain(|waiter| waiter.number != self.number);
        self.bound.count(&queue);
    }
}

impl Bound {
    /// Of at most `limit` connections.
    pub fn new(limit: usize) -> Self {
        let queue = Queue { limit, ..Queue::default() };
        Self { queue: Mutex::new(queue), waiting: AtomicUsize::new(0) }
    }

    /// After a reload: a lower one holds as connections end, a higher one at once.
    pub fn limit_to(self: &Arc<Self>, limit: usize) {
        let mut queue = self.lock();
        queue.limit = limit;
        let free = limit.saturating_sub(queue.taken).min(queue.waiting.len());
        queue.taken += free;
        let next: Vec<Waiter> = queue.waiting.drain(..free).collect();
        self.count(&queue);
        drop(queue);
        for waiter in next {
            self.grant(waiter);
        }
    }

    /// A new worker and its number.
    pub fn enter(&self) -> (usize, Arc<Lender>) {
        let lender = Arc::new(Lender::default());
        let mut queue = self.lock();
        queue.lenders.push(Arc::clone(&lender));
        (queue.lenders.len() - 1, lender)
    }

    /// A permit, or a place in the queue for one.
    pub fn acquire(self: &Arc<Self>, worker: usize) -> Result<Permit, Ticket> {
        let mut queue = self.lock();
        if queue.taken < queue.limit && queue.waiting.is_empty() {
            queue.taken += 1;
            return Ok(Permit(Arc::clone(self)));
        }
        let (grant, granted) = oneshot::channel();
        queue.numbers += 1;
        let number = queue.numbers;
        queue.waiting.push_back(Waiter { number, worker, grant });
        self.count(&queue);
        // After it is counted: who idles a connection later than this look sees the count.
        for lender in queue.lenders.iter().filter(|it| it.idle.load(Ordering::SeqCst) > 0) {
            lender.wanted.notify_one();
        }
        Err(Ticket { number, granted, bound: Arc::clone(self) })
    }

    /// Whether somebody waits for a connection.
    pub fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Takes the first of the queue, if it is of this worker: it must be handed a connection.
    pub fn next_of(&self, worker: usize) -> Option<Waiter> {
        let mut queue = self.lock();
        let next = queue.waiting.pop_front_if(|waiter| waiter.worker == worker);
        self.count(&queue);
        next
    }

    fn release(self: &Arc<Self>) {
        let mut queue = self.lock();
        // Above the limit that a reload has lowered nobody gets it.
        let is_free = queue.taken <= queue.limit;
        let next = if is_free { queue.waiting.pop_front() } else { None };
        self.count(&queue);
        let Some(next) = next else {
            queue.taken -= 1;
            return;
        };
        drop(queue);
        self.grant(next);
    }

    /// Hands on a permit that is counted as taken. Must not be called under the lock.
    fn grant(self: &Arc<Self>, waiter: Waiter) {
        // If it has just left, the permit is dropped here and goes to the one behind.
        let _ = waiter.grant.send(Grant::Permit(Permit(Arc::clone(self))));
    }

    fn count(&self, queue: &Queue) {
        self.waiting.store(queue.waiting.len(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(granted: Result<Grant, oneshot::error::TryRecvError>) -> Option<Permit> {
        match granted {
            Ok(Grant::Permit(permit)) => Some(permit),
            Ok(Grant::Handed) | Err(_) => None,
        }
    }

    #[test]
    fn who_came_first_gets_it_first_whatever_the_worker() {
        let bound = Arc::new(Bound::new(1));
        let first = bound.acquire(0).ok().expect("free");
        let mut tickets: Vec<Ticket> =
            [1, 0, 1].map(|worker| bound.acquire(worker).err().expect("full")).into();
        let mut held = first;
        for ticket in &mut tickets {
            assert!(ticket.granted.try_recv().is_err(), "not yet");
            drop(held);
            held = permit(ticket.granted.try_recv()).expect("its turn");
        }
        assert!(!bound.is_waited_for());
    }

    #[test]
    fn who_left_is_passed_by_and_loses_nothing() {
        let bound = Arc::new(Bound::new(1));
        let held = bound.acquire(0).ok().expect("free");
        let left = bound.acquire(0).err().expect("full");
        let mut stays = bound.acquire(0).err().expect("full");
        drop(left);
        drop(held);
        let granted_and_left = stays.granted.try_recv().map(|grant| permit(Ok(grant)));
        drop(granted_and_left);
        drop(stays);
        assert!(bound.acquire(0).is_ok(), "nothing was lost");
    }

    #[test]
    fn a_grant_that_nobody_took_goes_to_the_next() {
        let bound = Arc::new(Bound::new(1));
        let held = bound.acquire(0).ok().expect("free");
        let first = bound.acquire(0).err().expect("full");
        let mut second = bound.acquire(1).err().expect("full");
        drop(held);
        drop(first);
        assert!(permit(second.granted.try_recv()).is_some());
    }

    #[test]
    fn nobody_overtakes_those_who_wait() {
        let bound = Arc::new(Bound::new(1));
        let held = bound.acquire(0).ok().expect("free");
        let waits = bound.acquire(0).err().expect("full");
        drop(held);
        assert!(bound.acquire(0).is_err(), "the permit is under way to the one who waits");
        drop(waits);
    }

    #[test]
    fn a_lowered_limit_holds_as_connections_end() {
        let bound = Arc::new(Bound::new(3));
        let held = [0, 1, 2].map(|_| bound.acquire(0).ok().expect("free"));
        bound.limit_to(1);
        let mut waits = bound.acquire(0).err().expect("full");
        let [first, second, third] = held;
        drop(first);
        drop(second);
        assert!(waits.granted.try_recv().is_err(), "one is still the most");
        drop(third);
        assert!(permit(waits.granted.try_recv()).is_some());
    }

    #[test]
    fn a_raised_limit_serves_those_who_wait() {
        let bound = Arc::new(Bound::new(1));
        let _held = bound.acquire(0).ok().expect("free");
        let mut waits = [0, 1, 0].map(|worker| bound.acquire(worker).err().expect("full"));
        bound.limit_to(3);
        let served = waits.each_mut().map(|ticket| permit(ticket.granted.try_recv()));
        assert_eq!(served.each_ref().map(Option::is_some), [true, true, false]);
        assert!(bound.is_waited_for());
    }

    #[test]
    fn a_connection_is_handed_to_the_first_only_and_only_within_its_worker() {
        let bound = Arc::new(Bound::new(1));
        let _held = bound.acquire(0).ok().expect("free");
        let mut waits = bound.acquire(1).err().expect("full");
        let _behind = bound.acquire(0).err().expect("full");
        assert!(bound.next_of(0).is_none());
        assert!(bound.next_of(1).expect("the first").hand());
        assert!(matches!(waits.granted.try_recv(), Ok(Grant::Handed)));
    }
}
