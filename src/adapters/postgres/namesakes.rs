//! Sources whose rows cannot be told from ours: where the result table keeps the topic's name instead of the source's number,
//! every other source of a topic of that name has rows that look the same.

use super::connect::Lease;

const OTHERS: &str = "SELECT id, pipeline, retired_at IS NOT NULL FROM tidemill.source
    WHERE topic = $1 AND id <> $2 ORDER BY id";

/// The others of a topic, as one tells a person of them.
pub(super) async fn others(lease: &Lease, topic: &str, source: i16) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = lease.query(OTHERS, &[&topic, &source]).await?;
    let tell = |(id, pipeline, retired): (i16, &str, bool)| match retired {
        true => format!("pipeline {pipeline} (retired source {id})"),
        false => format!("pipeline {pipeline} (source {id})"),
    };
    Ok(rows.iter().map(|r| tell((r.get(0), r.get(1), r.get(2)))).collect())
}
