//! Closing the client under a watchdog: librdkafka's close can hang, and can crash when its coordinator is gone.
//!
//! Decide the exit code first, close second, and leave the process whatever the answer is.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::adapters::kafka::broker::KafkaBroker;

/// How a close ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The group knows that we left.
    Cleanly,
    /// It did not come back in time; the group notices after the session timeout.
    TimedOut,
    /// Not tried, since no broker can be reached: librdkafka 2.12 may crash then (its issue 5347).
    NotTried,
}

impl KafkaBroker {
    /// Closes the client, for `within` at most. Unless it is [`Closed::Cleanly`], the process must exit soon: threads of the
    /// client live on.
    pub fn close(self, within: Duration) -> Closed {
        if self.is_down() {
            std::mem::forget(self);
            return Closed::NotTried;
        }
        if drop_within(self, within) { Closed::Cleanly } else { Closed::TimedOut }
    }
}

/// Drops something on a thread of its own and says whether that ended in time.
pub fn drop_within<T: Send + 'static>(thing: T, within: Duration) -> bool {
    let (done, ended) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("kafka-close".into()).spawn(move || {
        drop(thing);
        // Nobody listens any more when it took too long.
        let _ = done.send(());
    });
    thread.is_ok() && ended.recv_timeout(within).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Duration);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(self.0);
        }
    }

    #[test]
    fn a_drop_that_hangs_does_not_hold_the_caller() {
        let start = std::time::Instant::now();
        assert!(!drop_within(Slow(Duration::from_secs(30)), Duration::from_millis(50)));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(drop_within(Slow(Duration::ZERO), Duration::from_secs(30)));
    }
}
