//! `codescan.response_timeout` without a timer for each request: who waits is noted, and the
//! worker's tick looks at all. A wait may so last longer by two ticks.

use std::cell::RefCell;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::body::Upload;

/// The exchanges of one worker whose answer has not begun.
#[derive(Default)]
pub struct Silences(RefCell<Slab<Entry>>);

struct Entry {
    upload: Upload,
    limit: Duration,
    waker: Waker,
    /// When a look first found the request sent.
    since: Option<Instant>,
    is_over: bool,
}

impl Silences {
    /// Runs from the last byte of the request, or since `CodeScan` took one while there was one
    /// for it.
    pub fn watch<'a>(&'a self, upload: &'a Upload, limit: Duration) -> Silence<'a> {
        Silence { silences: self, upload, limit, key: None }
    }

    /// Wakes those who have waited long enough. Called from the worker's tick.
    pub fn look(&self, now: Instant) {
        for (_, entry) in &mut *self.0.borrow_mut() {
            let since = if entry.upload.has_ended() {
                Some(*entry.since.get_or_insert(now))
            } else {
                entry.upload.stuck_since()
            };
            if since.is_some_and(|since| now.saturating_duration_since(since) >= entry.limit) {
                entry.is_over = true;
                entry.waker.wake_by_ref();
            }
        }
    }
}

/// One wait. Dropped, it is forgotten.
pub struct Silence<'a> {
    silences: &'a Silences,
    upload: &'a Upload,
    limit: Duration,
    key: Option<usize>,
}

impl Silence<'_> {
    /// Whether it has lasted too long; if not, the task is woken when it has.
    pub fn is_over(&mut self, cx: &Context<'_>) -> bool {
        let mut entries = self.silences.0.borrow_mut();
        let known = self.key.and_then(|key| entries.get_mut(key));
        if let Some(entry) = known {
            entry.waker.clone_from(cx.waker());
            return entry.is_over;
        }
        self.key = Some(entries.insert(Entry {
            upload: self.upload.clone(),
            limit: self.limit,
            waker: cx.waker().clone(),
            since: None,
            is_over: false,
        }));
        false
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.silences.0.borrow_mut().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::body::RequestBody;

    #[test]
    fn a_wait_begins_with_the_end_of_the_request_and_is_forgotten_with_it() {
        let (silences, upload) =
            (Silences::default(), Upload::new(None, None, http::Version::HTTP_11));
        let limit = Duration::from_secs(5);
        let cx = Context::from_waker(Waker::noop());
        let later = |seconds| Instant::now() + Duration::from_secs(seconds);
        let mut silence = silences.watch(&upload, limit);
        assert!(!silence.is_over(&cx));
        silences.look(later(3600));
        assert!(!silence.is_over(&cx), "the request is still being sent");
        drop(RequestBody::new(None, upload.clone()));
        silences.look(later(3601));
        silences.look(later(3605));
        assert!(!silence.is_over(&cx));
        silences.look(later(3607));
        assert!(silence.is_over(&cx));
        drop(silence);
        assert!(silences.0.borrow().is_empty());
    }
}
