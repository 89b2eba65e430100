//! The newest records through the real decoder, model and encoder: what would become of them, and why. Nothing is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::formats;
use crate::adapters::kafka::scout::Scout;
use crate::adapters::kafka::scout::TopicFacts;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::encode::Encoder;
use crate::adapters::postgres::register::Registered;
use crate::adapters::postgres::register::Source;
use crate::app::check::report::Report;
use crate::app::connect::Trouble;
use crate::app::prepare::Prepared;
use crate::config::Config;
use crate::domain::batch::Batch;
use crate::domain::batch::Piece;
use crate::domain::batch::Record;
use crate::domain::fault::Fault;
use crate::domain::fields::Fields;
use crate::domain::outputs::Outputs;
use crate::domain::scored::Rows;
use crate::domain::scored::Scored;
use crate::domain::verdict::Stage;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;
use crate::pipeline::clock::wall_micros;
use crate::pipeline::mill::Mill;
use crate::ports::RowEncoder;

/// Longest time for reading the records.
const READING: Duration = Duration::from_secs(5);
/// Records named for each cause of dead letters.
const EXAMPLES_MAX: usize = 3;

/// What records are judged with.
pub struct Judges<'a> {
    pub config: &'a Config,
    pub prepared: Prepared,
    /// Without it rows are not encoded, so values that the table cannot hold go unseen.
    pub table: Option<Table>,
    /// The topics that the scout knows, in its order.
    pub topics: &'a [TopicFacts],
}

pub async fn judge(judges: Judges<'_>, scout: Arc<Scout>, count: u32) -> Report {
    let mut report = Report::default();
    let asked = scout.clone();
    let read = tokio::task::spawn_blocking(move || asked.sample(count as usize, READING));
    // The client's own calls have timeouts of their own, one for each partition.
    let batch = match tokio::time::timeout(2 * READING, read).await {
        Ok(Ok(Ok(batch))) => batch,
        Ok(Ok(Err(error))) => {
            let trouble = Trouble::kafka(error);
            report.refused("sample", trouble.fault, &trouble.message);
            return report;
        }
        Ok(Err(_)) | Err(_) => {
            report.refused("sample", Fault::Retry, "kafka did not deliver records in time");
            return report;
        }
    };
    if batch.is_empty() {
        report.fine("sample", "the topics are empty");
        return report;
    }
    let encoded = judges.table.is_some();
    judges.run(&batch).tell(encoded, &mut report);
    report
}

impl Judges<'_> {
    fn run(self, batch: &Batch) -> Tally {
        let rules = formats::options::rule_names(&self.config.skip);
        let mut tally =
            Tally { topics: self.topics.iter().map(|t| t.name.clone()).collect(), rules, ..Tally::default() };
        let encoder: Arc<dyn RowEncoder> = match self.table {
            None => Arc::new(Unencoded),
            Some(table) => {
                let registered = Arc::new(unregistered(self.topics, &self.prepared));
                let (options, slots) = (&self.config.table, &self.prepared.slots);
                Arc::new(Encoder::new(Arc::new(table), registered, options, slots, wall_micros))
            }
        };
        let specs = self.prepared.specs();
        let mut mill = Mill::new(self.prepared.decoder, self.prepared.model, encoder, specs);
        for part in parts(batch, self.config.batch.rows_max as usize) {
            let (scored, strain) = mill.turn(part);
            tally.time += strain.decode + strain.infer + strain.encode;
            tally.add(&scored);
        }
        tally
    }
}

/// Stands for the rows of the control tables, which `check` does not make: numbers of the right size.
fn unregistered(topics: &[TopicFacts], prepared: &Prepared) -> Registered {
    let source = |t: &TopicFacts| Source {
        id: 0,
        uid: 0,
        topic: t.name.clone(),
        partitions: i32::try_from(t.partitions).unwrap_or(i32::MAX),
    };
    let (name, version, _) = prepared.identity();
    Registered { sources: topics.iter().map(source).collect(), model: 0, model_name: format!("{name}@{version}") }
}

/// Accepts every record, since nobody knows the table.
struct Unencoded;

impl RowEncoder for Unencoded {
    fn encode(&self, _: &Batch, _: &Fields, _: &Outputs, records: &[u32], rows: &mut Rows, _: &mut Verdicts) {
        for record in records {
            rows.spans[*record as usize] = (rows.bytes.len() as u32, 1);
            rows.bytes.push(0);
        }
    }
}

/// Cuts a batch into micro-batches of at most `rows` records, as a run would see them.
fn parts(whole: &Batch, rows: usize) -> Vec<Batch> {
    let mut parts = vec![];
    let mut part = Batch::default();
    for piece in &whole.pieces {
        let mut records = piece.records();
        while !records.is_empty() {
            let room = rows.max(1) - part.records.len();
            let some = records.start..records.end.min(records.start + room);
            copy(whole, piece, some.clone(), &mut part);
            records.start = some.end;
            if part.records.len() >= rows.max(1) {
                parts.push(std::mem::take(&mut part));
            }
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Appends some records of a piece as a piece.
fn copy(whole: &Batch, piece: &Piece, records: std::ops::Range<usize>, part: &mut Batch) {
    let (first, count) = (part.records.len() as u32, records.len() as u32);
    let (expected, end) = (whole.records[records.start].offset, whole.records[records.end - 1].offset + 1);
    part.pieces.push(Piece { expected, end, first, count, ..*piece });
    for record in &whole.records[records] {
        let mut span = |s: crate::domain::batch::Span| part.push_bytes(s.of(&whole.bytes));
        let (payload, key, headers) = (span(record.payload), span(record.key), span(record.headers));
        part.records.push(Record { payload, key, headers, ..*record });
    }
}

/// Records with one cause of rejection.
#[derive(Debug, Default)]
struct Cause {
    count: u64,
    /// Coordinates, never payloads.
    examples: Vec<String>,
    /// Of the first one.
    detail: String,
}

#[derive(Debug, Default)]
struct Tally {
    topics: Vec<String>,
    rules: Vec<String>,
    stored: u64,
    skipped: BTreeMap<u16, u64>,
    dead: BTreeMap<(Stage, &'static str), Cause>,
    time: Duration,
}

impl Tally {
    fn add(&mut self, scored: &Scored) {
        for piece in &scored.batch.pieces {
            for record in piece.records() {
                match scored.verdicts.of[record] {
                    Verdict::Keep => self.stored += 1,
                    Verdict::Skip(rule) => *self.skipped.entry(rule).or_default() += 1,
                    Verdict::Dead(i) => {
                        let why = &scored.verdicts.rejected[i as usize];
                        let cause = self.dead.entry((why.stage, why.reason)).or_default();
                        cause.count += 1;
                        if cause.count == 1 {
                            cause.detail.clone_from(&why.detail);
                        }
                        if cause.examples.len() < EXAMPLES_MAX {
                            let (topic, offset) =
                                (&self.topics[usize::from(piece.lane.topic)], scored.batch.records[record].offset);
                            cause.examples.push(format!("{topic}[{}]@{offset}", piece.lane.partition));
                        }
                    }
                }
            }
        }
    }

    fn tell(&self, encoded: bool, report: &mut Report) {
        let (skipped, dead): (u64, u64) = (self.skipped.values().sum(), self.dead.values().map(|c| c.count).sum());
        let total = self.stored + skipped + dead;
        let text = format!(
            "{total} of the newest records: {} would be stored, {skipped} skipped, {dead} dead-lettered",
            self.stored
        );
        let mut details = vec![];
        for (rule, count) in &self.skipped {
            let name = self.rules.get(usize::from(*rule)).map_or("?", String::as_str);
            details.push(format!("skipped by {name}: {count}"));
        }
        for ((stage, reason), cause) in &self.dead {
            let (stage, count, examples) = (stage.name(), cause.count, cause.examples.join(", "));
            details.push(format!(
                "dead-lettered at {stage}, {reason}: {count} (such as {examples}; the first: {})",
                cause.detail
            ));
        }
        if !encoded {
            details.push(
                "rows were not encoded, since the table is unknown: values that it cannot hold are not seen".into(),
            );
        }
        let pace = total as f64 / self.time.as_secs_f64().max(1e-6);
        details.push(format!("one thread took {pace:.0} records/s, the first ones cold"));
        if dead == total {
            report.wrong_with("sample", format!("{text}: event and model do not fit what is in the topics"), details);
        } else {
            report.fine_with("sample", text, details);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::Span;
    use crate::domain::batch::TimestampKind;
    use crate::domain::lane::Epoch;
    use crate::domain::lane::Lane;
    use crate::domain::verdict::Rejected;

    /// Pieces of so many records, numbered from 100 in each partition; a payload is its coordinates.
    fn batch(pieces: &[u32]) -> Batch {
        let mut batch = Batch::default();
        for (partition, count) in (0..).zip(pieces.iter().copied()) {
            let first = batch.records.len() as u32;
            for i in 0..count {
                let payload = batch.push_bytes(Some(format!("{partition}:{i}").as_bytes()));
                let (key, headers, kind) = (Span::NULL, Span::NULL, TimestampKind::Missing);
                batch.records.push(Record { offset: 100 + i64::from(i), timestamp: 0, kind, key, payload, headers });
            }
            let (lane, end) = (Lane { topic: 0, partition }, 100 + i64::from(count));
            batch.pieces.push(Piece { lane, epoch: Epoch(0), expected: 100, end, first, count });
        }
        batch
    }

    #[test]
    fn parts_hold_every_record_once_under_its_own_coordinates() {
        for rows in 1..=8 {
            let parts = parts(&batch(&[3, 0, 7, 1]), rows);
            let mut seen = vec![];
            for part in &parts {
                assert!(part.records.len() <= rows);
                assert_eq!(part.pieces.iter().map(|p| p.count as usize).sum::<usize>(), part.records.len());
                for piece in &part.pieces {
                    for r in piece.records() {
                        let offset = part.records[r].offset;
                        assert!((piece.expected..piece.end).contains(&offset));
                        let want = format!("{}:{}", piece.lane.partition, offset - 100);
                        assert_eq!(part.payload(r), Some(want.as_bytes()));
                        seen.push((piece.lane.partition, offset));
                    }
                }
            }
            assert_eq!(parts.len(), 11usize.div_ceil(rows));
            seen.dedup();
            assert_eq!(seen.len(), 11);
        }
    }

    #[test]
    fn causes_are_counted_and_three_of_each_are_named() {
        let scored = |dead: u32, kept: u32| {
            let batch = batch(&[dead + kept]);
            let mut verdicts = Verdicts::default();
            verdicts.reset(batch.records.len());
            for r in 0..dead as usize {
                verdicts.reject(r, Rejected::new(Stage::Decode, "bad_json", format!("detail {r}")));
            }
            Scored { batch, verdicts, rows: Rows::default() }
        };
        let mut tally = Tally { topics: vec!["t".into()], rules: vec!["old".into()], ..Tally::default() };
        tally.add(&scored(5, 1));
        let mut skips = scored(0, 2);
        skips.verdicts.skip(0, 0);
        tally.add(&skips);
        let mut report = Report::default();
        tally.tell(false, &mut report);
        let text = report.to_string();
        for part in [
            "ok   sample",
            "8 of the newest records: 2 would be stored, 1 skipped, 5 dead-lettered",
            "skipped by old: 1",
            "decode, bad_json: 5 (such as t[0]@100, t[0]@101, t[0]@102; the first: detail 0)",
            "rows were not encoded",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }

        let mut tally = Tally { topics: vec!["t".into()], ..Tally::default() };
        tally.add(&scored(3, 0));
        let mut report = Report::default();
        tally.tell(true, &mut report);
        assert!(report.to_string().starts_with("FAIL sample"), "{report}");
    }
}
