//! `tidemill dead-letters replay`: open dead letters through decoder, model and encoder again, as they are now (rule J6).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::adapters::postgres::connect::Database;
use crate::adapters::postgres::connect::verify_session;
use crate::adapters::postgres::contract;
use crate::adapters::postgres::contract::Table;
use crate::adapters::postgres::encode::Encoder;
use crate::adapters::postgres::fault::StartError;
use crate::adapters::postgres::letters;
use crate::adapters::postgres::letters::Failure;
use crate::adapters::postgres::letters::Prospect;
use crate::adapters::postgres::letters::Refused;
use crate::adapters::postgres::letters::Trial;
use crate::adapters::postgres::register;
use crate::adapters::postgres::register::Registered;
use crate::app::connect::Trouble;
use crate::app::dead_letters::filter;
use crate::app::oneshot;
use crate::app::oneshot::Refusal;
use crate::app::prepare::Prepared;
use crate::cli::DeadLetterState;
use crate::cli::DeadLettersReplayArgs;
use crate::cli::Exit;
use crate::config::Config;
use crate::domain::batch::Batch;
use crate::domain::batch::Piece;
use crate::domain::batch::Record;
use crate::domain::batch::Span;
use crate::domain::batch::TimestampKind;
use crate::domain::lane::Epoch;
use crate::domain::lane::Lane;
use crate::domain::scored::Scored;
use crate::domain::verdict::Verdict;
use crate::pipeline::clock::wall_micros;
use crate::pipeline::mill::Mill;
use crate::ports::SinkError;
use crate::ports::SinkFault;

/// Letters of one transaction.
const BATCH: u32 = 200;
/// Tries of a transaction whose fault may pass, and the first wait between them; it doubles.
const TRIES: u32 = 6;
const WAIT: Duration = Duration::from_millis(250);
/// Pace of saying how far it is.
const PACE: Duration = Duration::from_secs(2);

/// What the letters have become.
#[derive(Debug, Default)]
struct Tally {
    tried: i64,
    replayed: u64,
    skipped: u64,
    /// By step and reason.
    failed: BTreeMap<String, u64>,
    /// Somebody else was faster.
    elsewhere: u64,
}

/// All that one batch needs.
struct Work {
    database: Database,
    table: Arc<Table>,
    registered: Arc<Registered>,
    mill: Mill,
    dry_run: bool,
    tally: Tally,
}

pub async fn replay(config: &Config, prepared: Prepared, args: &DeadLettersReplayArgs) -> Result<Exit, Refusal> {
    let database = oneshot::database(config)?;
    let mut chosen = filter(config, &args.filter, DeadLetterState::Open);
    let prospect = letters::prospect(&database, &chosen, args.attempts_max).await?;
    chosen.attempts_below = (!args.force).then_some(args.attempts_max);
    let mut work = Work::new(config, prepared, database, args.dry_run).await?;
    let total = prospect.open - prospect.cut - if args.force { 0 } else { prospect.tired };
    let (began, mut told, mut after) = (Instant::now(), Instant::now(), 0);
    let batch = args.rate.map_or(BATCH, |rate| rate.clamp(1, BATCH));
    loop {
        let trials = letters::next(&work.database, &chosen, after, batch).await?;
        let Some(last) = trials.last() else { break };
        after = last.id;
        work.turn(trials).await?;
        if told.elapsed() > PACE {
            told = Instant::now();
            eprintln!("{} of {total} tried", work.tally.tried);
        }
        if let Some(rate) = args.rate {
            let due = began + Duration::from_secs_f64(work.tally.tried as f64 / f64::from(rate));
            tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
        }
    }
    oneshot::print(&work.tally.text(&prospect, args))?;
    Ok(if work.tally.failed.is_empty() { Exit::Done } else { Exit::Differences })
}

fn started(error: StartError) -> Refusal {
    Trouble::postgres(error).into()
}

impl Work {
    async fn new(config: &Config, prepared: Prepared, database: Database, dry_run: bool) -> Result<Work, Refusal> {
        verify_session(&database).await?;
        let table = contract::check(&database, &config.table, &prepared.outputs).await.map_err(started)?;
        let (name, version, digest) = prepared.identity();
        let model = register::Model { name, version, digest };
        let registered = register::known(&database, &config.name, &model, !dry_run).await.map_err(started)?;
        let (table, registered) = (Arc::new(table), Arc::new(registered));
        let encoder = Encoder::new(table.clone(), registered.clone(), &config.table, &prepared.slots, wall_micros);
        let specs = prepared.specs();
        let mill = Mill::new(prepared.decoder, prepared.model, Arc::new(encoder), specs);
        Ok(Work { database, table, registered, mill, dry_run, tally: Tally::default() })
    }

    async fn turn(&mut self, mut trials: Vec<Trial>) -> Result<(), Refusal> {
        trials.sort_by_key(|t| (t.source, t.partition, t.offset, t.id));
        let (scored, _) = self.mill.turn(batch(&trials, &self.registered));
        self.tally.tried += trials.len() as i64;
        let mut rows: Vec<usize> = vec![];
        let (mut skipped, mut failures) = (vec![], vec![]);
        for (i, trial) in trials.iter().enumerate() {
            match scored.verdicts.of[i] {
                Verdict::Keep => rows.push(i),
                Verdict::Skip(_) => skipped.push(trial.id),
                Verdict::Dead(why) => {
                    let why = scored.verdicts.rejected[why as usize].clone();
                    failures.push(Failure { id: trial.id, attempts: trial.attempts, why });
                }
            }
        }
        self.store(&trials, &scored, rows, &mut failures).await?;
        if !skipped.is_empty() {
            let count = match self.dry_run {
                true => skipped.len() as u64,
                false => persistently(|| letters::skip(&self.database, &skipped)).await?,
            };
            self.tally.skipped += count;
            self.tally.elsewhere += skipped.len() as u64 - count;
        }
        for failure in &failures {
            let cause = format!("{} {}", failure.why.stage.name(), failure.why.reason);
            *self.tally.failed.entry(cause).or_default() += 1;
        }
        if !failures.is_empty() && !self.dry_run {
            let model = self.registered.model;
            persistently(|| letters::fail(&self.database, &failures, model)).await?;
        }
        Ok(())
    }

    /// Stores what became a row; where the table refuses one, the halves are tried, down to the guilty letter.
    async fn store(
        &mut self,
        trials: &[Trial],
        scored: &Scored,
        rows: Vec<usize>,
        failures: &mut Vec<Failure>,
    ) -> Result<(), Refusal> {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let given: Vec<(i64, &[u8])> = part.iter().map(|i| (trials[*i].id, scored.rows.row(*i))).collect();
            match self.store_part(&given).await? {
                None if part.len() > 1 => {
                    let (head, tail) = part.split_at(part.len() / 2);
                    parts.extend([tail.to_vec(), head.to_vec()]);
                }
                None => {}
                Some(Ok(count)) => {
                    self.tally.replayed += count;
                    self.tally.elsewhere += part.len() as u64 - count;
                }
                Some(Err(why)) => {
                    let trial = &trials[part[0]];
                    failures.push(Failure { id: trial.id, attempts: trial.attempts, why });
                }
            }
        }
        Ok(())
    }

    /// The count that was stored, or why the only letter was refused; `None` when one of several was.
    async fn store_part(
        &self,
        rows: &[(i64, &[u8])],
    ) -> Result<Option<Result<u64, crate::domain::verdict::Rejected>>, Refusal> {
        let mut wait = WAIT;
        for attempt in 1.. {
            match letters::store(&self.database, &self.table, rows, self.dry_run).await {
                Ok(count) => return Ok(Some(Ok(count))),
                Err(Refused::Data(why)) if rows.len() == 1 => return Ok(Some(Err(why))),
                Err(Refused::Data(_)) => return Ok(None),
                Err(Refused::Other(error)) if attempt < TRIES && may_pass(&error) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(Refused::Other(error)) => return Err(error.into()),
            }
        }
        unreachable!("the loop ends by returning")
    }
}

/// Also after a lost answer: what was closed is not closed again.
fn may_pass(error: &SinkError) -> bool {
    matches!(error.fault, SinkFault::Transient | SinkFault::Ambiguous)
}

async fn persistently<T, F: Future<Output = Result<T, SinkError>>>(mut work: impl FnMut() -> F) -> Result<T, Refusal> {
    let mut wait = WAIT;
    for _ in 1..TRIES {
        match work().await {
            Err(error) if may_pass(&error) => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return Ok(done?),
        }
    }
    Ok(work().await?)
}

/// Letters as a micro-batch, under the coordinates that they had. They are in order of source, partition and offset.
fn batch(trials: &[Trial], registered: &Registered) -> Batch {
    let mut batch = Batch::default();
    for trial in trials {
        let topic = registered.sources.iter().position(|s| s.id == trial.source);
        let topic = topic.expect("letters are chosen by the sources of this pipeline") as u16;
        let (lane, first) = (Lane { topic, partition: trial.partition }, batch.records.len() as u32);
        match batch.pieces.last_mut().filter(|p| p.lane == lane) {
            Some(piece) => {
                piece.count += 1;
                piece.end = trial.offset + 1;
            }
            None => {
                let (expected, end) = (trial.offset, trial.offset + 1);
                batch.pieces.push(Piece { lane, epoch: Epoch(0), expected, end, first, count: 1 });
            }
        }
        let (payload, key) = (batch.push_bytes(trial.payload.as_deref()), batch.push_bytes(trial.key.as_deref()));
        let (timestamp, kind) = match trial.timestamp {
            Some(millis) => (millis, TimestampKind::Create),
            None => (-1, TimestampKind::Missing),
        };
        let start = batch.bytes.len() as u32;
        trial.headers.iter().for_each(|(name, value)| batch.push_header(name, value.as_deref()));
        let len = batch.bytes.len() as u32 - start;
        let headers = if len == 0 { Span::NULL } else { Span { start, len } };
        batch.records.push(Record { offset: trial.offset, timestamp, kind, key, payload, headers });
    }
    batch
}

impl Tally {
    fn text(&self, prospect: &Prospect, args: &DeadLettersReplayArgs) -> String {
        let Tally { tried, replayed, skipped, elsewhere, .. } = self;
        let failed: u64 = self.failed.values().sum();
        let head = if args.dry_run { "dry run, nothing was changed: " } else { "" };
        let mut text = format!("{head}{tried} tried: {replayed} became rows, {failed} failed again");
        if !self.failed.is_empty() {
            let each: Vec<String> = self.failed.iter().map(|(cause, n)| format!("{cause} {n}")).collect();
            text.push_str(&format!(" ({})", each.join(", ")));
        }
        if *skipped > 0 {
            text.push_str(&format!(", {skipped} are left out by a skip rule"));
        }
        if *elsewhere > 0 {
            text.push_str(&format!(", {elsewhere} were closed by somebody else meanwhile"));
        }
        text.push('\n');
        if prospect.cut > 0 {
            text.push_str(&format!("{} cannot be tried: their key, payload or headers were cut\n", prospect.cut));
        }
        if prospect.tired > 0 && !args.force {
            let (tired, max) = (prospect.tired, args.attempts_max);
            text.push_str(&format!("{tired} were left alone after {max} attempts; --force tries them too\n"));
        }
        text
    }
}
