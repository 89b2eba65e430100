//! How late the async runtime wakes a task: the first sign that somebody blocks a worker.

use std::time::Duration;

use metrics::Histogram;
use tokio::time::Instant;

/// How long each nap is meant to last.
pub const NAP: Duration = Duration::from_millis(100);

/// Naps for ever and records how much longer each nap took. Spawn one on each runtime that is to be watched.
pub async fn measure(lag: Histogram) {
    loop {
        let wake = Instant::now() + NAP;
        tokio::time::sleep_until(wake).await;
        lag.record(Instant::now().saturating_duration_since(wake).as_secs_f64());
    }
}
