//! Waiting for something to become true, with a deadline that fails the test.

use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Asks every 20 ms until `probe` gives something; panics with `what` after `patience`.
pub fn until<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
