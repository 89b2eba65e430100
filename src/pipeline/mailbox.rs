//! Bounded queues between the steps. A push never waits: intake's permits leave room for everything in flight (rule T1).

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked left whole items behind: every critical section is one push or one take.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Many push, one drains; a push wakes the owner.
pub struct Mailbox<T> {
    items: Mutex<VecDeque<T>>,
    bound: usize,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<T> Mailbox<T> {
    pub fn new(bound: usize, wake: impl Fn() + Send + Sync + 'static) -> Mailbox<T> {
        Mailbox { items: Mutex::new(VecDeque::new()), bound, wake: Box::new(wake) }
    }

    /// # Panics
    /// When the bound is passed: then the permits were not counted right.
    pub fn push(&self, item: T) {
        let mut items = lock(&self.items);
        assert!(items.len() < self.bound, "T1: a mailbox has room for everything in flight ({})", self.bound);
        items.push_back(item);
        drop(items);
        (self.wake)();
    }

    /// Moves everything to the end of `into`.
    pub fn drain(&self, into: &mut VecDeque<T>) {
        let mut items = lock(&self.items);
        if into.is_empty() {
            std::mem::swap(&mut *items, into);
        } else {
            into.append(&mut items);
        }
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.items).is_empty()
    }
}

/// One pushes, many threads take; closing it means "no more".
pub struct WorkQueue<T> {
    state: Mutex<(VecDeque<T>, bool)>,
    filled: Condvar,
    bound: usize,
}

impl<T> WorkQueue<T> {
    pub fn new(bound: usize) -> WorkQueue<T> {
        WorkQueue { state: Mutex::new((VecDeque::new(), false)), filled: Condvar::new(), bound }
    }

    /// # Panics
    /// When the bound is passed: then the permits were not counted right.
    pub fn push(&self, item: T) {
        let mut state = lock(&self.state);
        assert!(state.0.len() < self.bound, "T1: the mill has room for all permits ({})", self.bound);
        state.0.push_back(item);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for the next item; `None` once the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            if let Some(item) = state.0.pop_front() {
                return Some(item);
            }
            if state.1 {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn close(&self) {
        lock(&self.state).1 = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_push_wakes_and_a_drain_keeps_order() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let mailbox = Mailbox::new(4, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (0..3).for_each(|i| mailbox.push(i));
        let mut got = VecDeque::from([-1]);
        mailbox.drain(&mut got);
        assert_eq!((got, woken.load(Ordering::Relaxed)), (VecDeque::from([-1, 0, 1, 2]), 3));
        assert!(mailbox.is_empty());
    }

    #[test]
    #[should_panic(expected = "T1")]
    fn t1_a_mailbox_never_grows_past_its_bound() {
        let mailbox = Mailbox::new(1, || {});
        mailbox.push(1);
        mailbox.push(2);
    }

    #[test]
    fn closing_means_no_more() {
        let queue = Arc::new(WorkQueue::new(8));
        (0..5).for_each(|i| queue.push(i));
        let taker = {
            let q = queue.clone();
            std::thread::spawn(move || std::iter::from_fn(|| q.pop()).count())
        };
        queue.close();
        assert_eq!(taker.join().ok(), Some(5));
    }
}
