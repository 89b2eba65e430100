//! Tells who holds an old snapshot in the database: it makes every group slower, and only a person may end it.

use std::time::Duration;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::horizon::Holder;
use crate::adapters::postgres::horizon::oldest;
use crate::telemetry::metrics::Snapshots;

/// Older than this many transactions it is said in the log, once a holder.
const SAID_FROM: i64 = 50_000;

/// Asks for the oldest snapshot.
pub struct Horizon {
    pub database: Database,
    pub metrics: Snapshots,
}

impl Horizon {
    /// Asks every `pace`. A database that is away, or does not let us, leaves the numbers as they are.
    pub async fn watch(self, pace: Duration) {
        let (mut before, mut said): (Option<Holder>, Option<String>) = (None, None);
        loop {
            if let Ok(holder) = oldest(&self.database).await {
                self.show(before.as_ref(), holder.as_ref());
                if let Some(h) = holder.as_ref().filter(|h| h.age >= SAID_FROM && said.as_ref() != Some(&h.name)) {
                    tracing::warn!(
                        holder = h.name,
                        transactions = h.age,
                        "an old snapshot keeps vacuum from removing dead rows, so that writing slows down: end it if you can"
                    );
                    said = Some(h.name.clone());
                }
                before = holder;
            }
            tokio::time::sleep(pace).await;
        }
    }

    fn show(&self, before: Option<&Holder>, now: Option<&Holder>) {
        if let Some(gone) = before.filter(|b| now.is_none_or(|n| n.kind != b.kind)) {
            self.metrics.of(&gone.kind).set(0.0);
        }
        if let Some(now) = now {
            self.metrics.of(&now.kind).set(now.age as f64);
        }
    }
}
