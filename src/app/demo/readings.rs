//! What the table shows, read from the published snapshot and from the metrics page that any Prometheus would read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::app::launch::Surface;
use crate::demo::source::Progress;
use crate::demo::table::Sample;

const BATCH_ROWS: &str = "tidemill_intake_batch_rows";
const AGE: &str = "tidemill_writer_record_age_seconds";

/// Takes samples; remembers the last one for rates.
pub struct Readings<'a> {
    surface: &'a Surface,
    progress: Arc<Progress>,
    start: Instant,
    rate_wanted: f64,
    last: Instant,
    durable: u64,
    batches: (f64, f64),
    ages: Vec<(f64, f64)>,
}

impl<'a> Readings<'a> {
    pub fn new(surface: &'a Surface, progress: Arc<Progress>, rate: u32) -> Readings<'a> {
        let now = Instant::now();
        Readings {
            surface,
            progress,
            start: now,
            rate_wanted: f64::from(rate),
            last: now,
            durable: 0,
            batches: (0.0, 0.0),
            ages: vec![],
        }
    }

    /// Rows and dead letters so far; tells the generator.
    fn settled(&self) -> (u64, u64) {
        let snapshot = self.surface.published.read();
        let stored = snapshot.topics.iter().map(|t| t.stored).sum();
        let dead = snapshot.topics.iter().flat_map(|t| t.dead.iter().map(|d| d.2)).sum();
        self.progress.durable.store(stored + dead, Ordering::Relaxed);
        (stored, dead)
    }

    pub fn sample(&mut self) -> Sample {
        let (stored, dead_letters) = self.settled();
        let produced = self.progress.produced.load(Ordering::Relaxed);
        let page = self.surface.scrape.render();
        let seconds = self.last.elapsed().as_secs_f64().max(1e-3);
        let rate = (stored + dead_letters - self.durable) as f64 / seconds;
        let batches = (value(&page, &format!("{BATCH_ROWS}_sum")), value(&page, &format!("{BATCH_ROWS}_count")));
        let (rows, count) = (batches.0 - self.batches.0, batches.1 - self.batches.1);
        let ages = buckets(&page, AGE);
        let fresh = since(&ages, &self.ages);
        (self.last, self.durable, self.batches, self.ages) = (Instant::now(), stored + dead_letters, batches, ages);
        Sample {
            elapsed: self.start.elapsed(),
            produced,
            stored,
            dead_letters,
            rate,
            rate_wanted: self.rate_wanted,
            lag: produced.saturating_sub(stored + dead_letters),
            batch_rows: (count > 0.0).then(|| rows / count),
            age_p50: quantile(&fresh, 0.5),
            age_p99: quantile(&fresh, 0.99),
        }
    }

    /// Waits until everything produced is durable.
    pub async fn until_durable(&self, produced: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let (stored, dead) = self.settled();
            if stored + dead >= produced {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

/// The value of a series without labels; 0 when it is not on the page.
fn value(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|v| v.trim().parse().ok()).unwrap_or(0.0)
}

/// Cumulative buckets of a histogram: upper bound in seconds and count.
fn buckets(page: &str, name: &str) -> Vec<(f64, f64)> {
    let of = |line: &str| {
        let (bound, count) = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?.split_once("\"}")?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.trim().parse().ok()?))
    };
    page.lines().filter_map(of).collect()
}

fn since(now: &[(f64, f64)], before: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let old = |i: usize| before.get(i).map_or(0.0, |b| b.1);
    now.iter().enumerate().map(|(i, (bound, count))| (*bound, count - old(i))).collect()
}

/// A quantile by linear interpolation inside its bucket, as Prometheus does it.
fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<Duration> {
    let total = buckets.last().map(|b| b.1).filter(|t| *t > 0.0)?;
    let rank = q * total;
    let mut below = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= rank {
            if bound.is_infinite() {
                return Some(Duration::from_secs_f64(below.0));
            }
            let share = (rank - below.1) / (count - below.1).max(f64::MIN_POSITIVE);
            return Some(Duration::from_secs_f64(below.0 + (bound - below.0) * share.clamp(0.0, 1.0)));
        }
        below = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_rates_and_quantiles() {
        let page =
            "a_sum 12\na_count 3\nb_bucket{le=\"0.1\"} 50\nb_bucket{le=\"0.2\"} 100\nb_bucket{le=\"+Inf\"} 100\n";
        assert_eq!((value(page, "a_sum"), value(page, "a_count"), value(page, "a")), (12.0, 3.0, 0.0));
        let b = buckets(page, "b");
        assert_eq!(quantile(&b, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(quantile(&b, 0.75), Some(Duration::from_millis(150)));
        assert_eq!(quantile(&since(&b, &b), 0.5), None, "nothing new");
    }
}
