//! One read-only snapshot of marks, rows and dead letters: all that `verify` asks the database, it asks inside it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::adapters::postgres::audit::place::Place;
use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::Lease;
use crate::adapters::postgres::connect::OpenError;
use crate::adapters::postgres::fault;
use crate::adapters::postgres::fault::StartError;
use crate::adapters::postgres::namesakes::others;
use crate::adapters::postgres::options::PostgresOptions;
use crate::adapters::postgres::options::TableOptions;
use crate::adapters::postgres::register;
use crate::adapters::postgres::register::Topic;
use crate::adapters::postgres::wire::Uuid;
use crate::domain::units::Millis;

/// A progress row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub next_offset: i64,
    pub stored: i64,
    pub dead_lettered: i64,
    pub skipped: i64,
}

impl Standing {
    /// Records that were ever disposed of.
    pub fn total(&self) -> i64 {
        self.stored + self.dead_lettered + self.skipped
    }
}

/// A topic as the control tables know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub id: i16,
    /// In the metadata of our Kafka commits, as hexadecimal digits.
    pub uid: String,
    pub standings: BTreeMap<i32, Standing>,
}

/// Whose positions are looked at.
#[derive(Clone, Debug)]
pub struct Whose<'a> {
    pub pipeline: &'a str,
    pub cluster_id: &'a str,
    pub group_id: &'a str,
    pub topics: &'a [Topic],
}

/// The open transaction.
pub struct Snapshot {
    pub(super) lease: Lease,
    pub place: Place,
    /// Whether the server keeps commit times (`track_commit_timestamp`).
    pub commit_times: bool,
    /// A replica may lag behind what Kafka was told.
    pub replica: bool,
    /// In the order of the topics; `None` for one that was never registered.
    pub known: Vec<Option<Known>>,
    /// Ranges that an operator set aside: from, and to but not including.
    pub holes: Places<Vec<(i64, i64)>>,
    /// Partitions whose mark an operator set back, or whose rows one deleted, with the highest mark that it was set back from: the
    /// running totals count some records twice.
    pub rewound: Places<i64>,
    /// Sources whose rows cannot be told from ours, in the order of the topics.
    pub namesakes: Vec<Vec<String>>,
}

/// Something by source id and partition.
type Places<T> = BTreeMap<(i16, i32), T>;

const HOLES: &str = "SELECT source, partition, from_offset, to_offset FROM tidemill.hole WHERE source = ANY ($1)";
const REWOUND: &str = "SELECT source, partition, max(from_offset) FROM tidemill.operation
    WHERE source = ANY ($1) AND partition IS NOT NULL AND to_offset < from_offset GROUP BY source, partition";

/// A database for an audit: one connection whose statements may take as long as the audit.
///
/// # Errors
/// When the options cannot be used.
pub fn database(options: &PostgresOptions, limit: Duration) -> Result<Database, OpenError> {
    let limit = Millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).min(i32::MAX as u64));
    let options = PostgresOptions {
        statement_timeout: limit,
        idle_in_transaction_timeout: limit,
        application_name: format!("{} verify", options.application_name),
        ..options.clone()
    };
    Database::new(&options, 1)
}

impl Snapshot {
    /// Opens it; what is read afterwards is as of this call.
    ///
    /// # Errors
    /// When the database cannot be asked, or the positions are those of something else than these topics and this group.
    pub async fn open(database: &Database, options: &TableOptions, whose: &Whose<'_>) -> Result<Snapshot, StartError> {
        let lease = database.lease().await?;
        let failed = |e| fault::sink_error(&e, "opening a snapshot", false);
        let begin = "SET default_transaction_read_only = on; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        lease.batch_execute(begin).await.map_err(failed)?;
        let about =
            "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('track_commit_timestamp') = 'on',
            pg_catalog.to_regclass('tidemill.progress') IS NOT NULL,
            pg_catalog.to_regclass('tidemill.hole') IS NOT NULL";
        let row = lease.query_one(about, &[]).await.map_err(failed)?;
        if !row.get::<_, bool>(2) {
            let problem = "there are no control tables: run `tidemill migrate`, or correct postgres.url";
            return Err(StartError::Contract(vec![problem.into()]));
        }
        let place = Place::find(&lease, options, whose.topics.len()).await?;
        let (mut known, mut namesakes, mut refused) = (vec![], vec![], vec![]);
        for topic in whose.topics {
            let found = find(&lease, whose, topic, &mut refused).await?;
            namesakes.push(match &found {
                Some(source) if place.source.as_ref().is_some_and(|s| s.named) => {
                    others(&lease, &topic.name, source.id).await.map_err(failed)?
                }
                _ => vec![],
            });
            known.push(found);
        }
        if !refused.is_empty() {
            return Err(StartError::Contract(refused));
        }
        let sources: Vec<i16> = known.iter().flatten().map(|k: &Known| k.id).collect();
        let mut holes = Places::<Vec<(i64, i64)>>::new();
        let mut rewound = Places::new();
        if row.get(3) {
            let failed =
                |e| fault::sink_error(&e, "reading tidemill.hole and tidemill.operation (both need SELECT)", false);
            for row in lease.query(HOLES, &[&sources]).await.map_err(failed)? {
                holes.entry((row.get(0), row.get(1))).or_default().push((row.get(2), row.get(3)));
            }
            let rows = lease.query(REWOUND, &[&sources]).await.map_err(failed)?;
            rewound = rows.iter().map(|r| ((r.get(0), r.get(1)), r.get(2))).collect();
        }
        let (replica, commit_times) = (row.get(0), row.get(1));
        Ok(Snapshot { lease, place, commit_times, replica, known, holes, rewound, namesakes })
    }

    /// Ends the transaction.
    pub async fn close(self) {
        if self.lease.batch_execute("ROLLBACK").await.is_ok() {
            self.lease.give_back();
        }
    }
}

async fn find(
    lease: &Lease,
    whose: &Whose<'_>,
    topic: &Topic,
    refused: &mut Vec<String>,
) -> Result<Option<Known>, StartError> {
    const MARKS: &str = "SELECT partition, next_offset, stored, dead_lettered, skipped FROM tidemill.progress
        WHERE source = $1";
    let failed = |e| fault::sink_error(&e, "reading marks", false);
    let found = lease.query_opt(register::FIND, &[&whose.pipeline, &whose.cluster_id, &topic.name]).await;
    let Some(row) = found.map_err(failed)? else { return Ok(None) };
    refused.extend(register::refusals(&row, whose.pipeline, whose.group_id, topic));
    let (id, uid): (i16, Uuid) = (row.get(0), row.get(1));
    let rows = lease.query(MARKS, &[&id]).await.map_err(failed)?;
    let standing = |r: &tokio_postgres::Row| Standing {
        next_offset: r.get(1),
        stored: r.get(2),
        dead_lettered: r.get(3),
        skipped: r.get(4),
    };
    let standings = rows.iter().map(|r| (r.get(0), standing(r))).collect();
    Ok(Some(Known { id, uid: format!("{:032x}", uid.0), standings }))
}
