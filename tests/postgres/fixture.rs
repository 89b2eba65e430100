//! A database of one's own with everything started on it, and groups made by hand.

use std::sync::Arc;

use tidemill::adapters::postgres::claim::Progress;
use tidemill::adapters::postgres::connect::Database;
use tidemill::adapters::postgres::contract;
use tidemill::adapters::postgres::contract::Table;
use tidemill::adapters::postgres::encode::Encoder;
use tidemill::adapters::postgres::encode::Slots;
use tidemill::adapters::postgres::migrate::migrate;
use tidemill::adapters::postgres::options::DeadLetterOptions;
use tidemill::adapters::postgres::options::PostgresOptions;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::options::Url;
use tidemill::adapters::postgres::register::Identity;
use tidemill::adapters::postgres::register::Model;
use tidemill::adapters::postgres::register::Registered;
use tidemill::adapters::postgres::register::Topic;
use tidemill::adapters::postgres::register::register;
use tidemill::adapters::postgres::store::PostgresSink;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Piece;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::fields::Fields;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Lane;
use tidemill::domain::lane::Owner;
use tidemill::domain::outputs::Column;
use tidemill::domain::outputs::OutputKind;
use tidemill::domain::outputs::OutputSpec;
use tidemill::domain::outputs::Outputs;
use tidemill::domain::scored::Counts;
use tidemill::domain::scored::Group;
use tidemill::domain::scored::Move;
use tidemill::domain::scored::Rows;
use tidemill::domain::scored::Scored;
use tidemill::domain::scored::ScoredPiece;
use tidemill::domain::scored::fingerprint;
use tidemill::domain::verdict::Rejected;
use tidemill::domain::verdict::Stage;
use tidemill::domain::verdict::Verdicts;
use tidemill::ports::RowEncoder;

use crate::support::Postgres;

pub const ME: Owner = Owner(7);

pub fn lane(partition: i32) -> Lane {
    Lane { topic: 0, partition }
}

pub fn outputs() -> Vec<OutputSpec> {
    [("score", OutputKind::Float), ("label", OutputKind::Label), ("probs", OutputKind::Reals { width: 3 })]
        .map(|(name, kind)| OutputSpec { name: name.into(), kind, nan_allowed: true })
        .into()
}

pub fn identity(pipeline: &str) -> Identity {
    let topic = |name: &str| Topic { name: name.into(), id: Some(99), partitions: 12 };
    Identity {
        pipeline: pipeline.into(),
        cluster_id: "c1".into(),
        group_id: "g1".into(),
        topics: vec![topic("payments"), topic("refunds")],
        model: Model { name: "fraud".into(), version: "1".into(), digest: "abc".into() },
    }
}

pub struct Fixture {
    pub pg: Arc<Postgres>,
    pub name: String,
    pub database: Database,
    pub options: PostgresOptions,
    pub table_options: TableOptions,
    pub table: Arc<Table>,
    pub registered: Arc<Registered>,
}

pub struct Blank {
    pub pg: Arc<Postgres>,
    pub name: String,
    pub options: PostgresOptions,
}

/// A database without anything in it.
pub fn blank() -> Blank {
    let pg = Postgres::shared();
    let name = pg.create_database();
    let options = PostgresOptions { url: Url::new(pg.url(&name)), ..PostgresOptions::default() };
    Blank { pg, name, options }
}

impl Blank {
    pub fn sql(&self, sql: &str) -> String {
        self.pg.psql(&self.name, sql)
    }

    pub fn database(&self) -> Database {
        Database::new(&self.options, 8).unwrap()
    }

    /// Migrates, registers and checks.
    pub async fn ready(self, table_options: TableOptions) -> Fixture {
        let database = self.database();
        migrate(&database, &table_options, &outputs(), false).await.unwrap();
        let registered = Arc::new(register(&database, &identity("p")).await.unwrap());
        let table = contract::check(&database, &table_options, &outputs()).await.unwrap_or_else(|e| panic!("{e}"));
        let Blank { pg, name, options } = self;
        Fixture { pg, name, database, options, table_options, table: Arc::new(table), registered }
    }
}

pub async fn ready() -> Fixture {
    blank().ready(TableOptions::default()).await
}

/// What a record of a test holds.
#[derive(Clone, Debug)]
pub struct Rec {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub score: f64,
    pub label: Vec<u8>,
    pub dead: bool,
    pub skip: bool,
}

pub fn rec(offset: i64) -> Rec {
    let key = Some(format!("k{offset}").into_bytes());
    let payload = Some(format!("{{\"n\":{offset}}}").into_bytes());
    Rec {
        offset,
        key,
        payload,
        headers: vec![],
        score: offset as f64 / 4.0,
        label: b"ok".into(),
        dead: false,
        skip: false,
    }
}

pub struct Run {
    pub lane: Lane,
    pub epoch: Epoch,
    pub expected: i64,
    pub end: i64,
    pub records: Vec<Rec>,
}

/// A run of plain records `from..to`.
pub fn run(lane: Lane, epoch: Epoch, from: i64, to: i64) -> Run {
    Run { lane, epoch, expected: from, end: to, records: (from..to).map(rec).collect() }
}

impl Fixture {
    pub fn sql(&self, sql: &str) -> String {
        self.pg.psql(&self.name, sql)
    }

    pub fn progress(&self, owner: Owner) -> Progress {
        Progress::new(self.database.clone(), self.registered.clone(), owner)
    }

    pub fn sink(&self, statement_rows: usize) -> PostgresSink {
        self.sink_of(ME, statement_rows, &self.database)
    }

    pub fn sink_of(&self, owner: Owner, statement_rows: usize, database: &Database) -> PostgresSink {
        let options = PostgresOptions { statement_rows, ..self.options.clone() };
        let (table, registered) = (self.table.clone(), self.registered.clone());
        let dead =
            DeadLetterOptions { bytes_max: tidemill::domain::units::ByteSize(100), ..DeadLetterOptions::default() };
        PostgresSink::new(database.clone(), table, registered, owner, &options, &dead)
    }

    /// Claims a lane from offset 0.
    pub async fn claim(&self, lane: Lane) -> Epoch {
        self.progress(ME).first(lane, 0, Epoch(0)).await.unwrap().epoch
    }

    pub fn encoder(&self) -> Encoder {
        Encoder::new(self.table.clone(), self.registered.clone(), &self.table_options, &Slots::default(), || {
            1_700_000_000_000_000
        })
    }

    /// One batch of these runs, through the real encoder.
    pub fn scored(&self, runs: &[Run]) -> Scored {
        let mut batch = Batch::default();
        let mut outputs = Outputs::new(&outputs());
        let mut verdicts = Verdicts::default();
        let all: Vec<&Rec> = runs.iter().flat_map(|r| &r.records).collect();
        verdicts.reset(all.len());
        let mut kept = vec![];
        for (i, r) in all.iter().enumerate() {
            let headers = batch.bytes.len() as u32;
            r.headers.iter().for_each(|(n, v)| batch.push_header(n, v.as_deref()));
            let headers = Span { start: headers, len: batch.bytes.len() as u32 - headers };
            let (key, payload) = (batch.push_bytes(r.key.as_deref()), batch.push_bytes(r.payload.as_deref()));
            let timestamp = 1_600_000_000_000 + r.offset;
            batch.records.push(Record {
                offset: r.offset,
                timestamp,
                kind: TimestampKind::Create,
                key,
                payload,
                headers,
            });
            if r.dead {
                verdicts.reject(i, Rejected::new(Stage::Decode, "bad_json", "expected a value"));
            } else if r.skip {
                verdicts.skip(i, 0);
            } else {
                kept.push(i as u32);
                push(&mut outputs, r);
            }
        }
        let mut first = 0;
        for r in runs {
            let count = r.records.len() as u32;
            batch.pieces.push(Piece { lane: r.lane, epoch: r.epoch, expected: r.expected, end: r.end, first, count });
            first += count;
        }
        let mut rows = Rows::default();
        self.encoder().encode(&batch, &Fields::default(), &outputs, &kept, &mut rows, &mut verdicts);
        Scored { batch, verdicts, rows }
    }

    pub fn group(&self, runs: &[Run]) -> Group {
        group_of(Arc::new(self.scored(runs)))
    }
}

fn push(outputs: &mut Outputs, r: &Rec) {
    for column in &mut outputs.columns {
        match column {
            Column::Float(v) => v.push(r.score),
            Column::Label { bytes, ends } => {
                bytes.extend_from_slice(&r.label);
                ends.push(bytes.len() as u32);
            }
            Column::Reals { values, .. } => values.extend([0.5, -1.5, r.offset as f32]),
            _ => unreachable!("the fixture has no other outputs"),
        }
    }
}

/// The group that a writer would make of all pieces of a batch.
pub fn group_of(scored: Arc<Scored>) -> Group {
    let pieces: Vec<ScoredPiece> =
        (0..scored.batch.pieces.len()).map(|index| ScoredPiece::new(scored.clone(), index)).collect();
    regroup(pieces)
}

pub fn regroup(pieces: Vec<ScoredPiece>) -> Group {
    let mut moves: Vec<Move> = vec![];
    for p in &pieces {
        let piece = p.piece();
        let last = piece.records().next_back().map(|r| fingerprint(&p.scored.batch, r));
        match moves.iter_mut().find(|m| m.lane == piece.lane) {
            Some(m) => {
                m.end = piece.end;
                m.counts.add(p.counts());
                m.fingerprint = last.or(m.fingerprint);
            }
            None => moves.push(Move {
                lane: piece.lane,
                epoch: piece.epoch,
                expected: piece.expected,
                end: piece.end,
                counts: p.counts(),
                fingerprint: last,
            }),
        }
    }
    moves.sort_by_key(|m| m.lane);
    Group { moves, pieces }
}

pub fn counts(group: &Group) -> Counts {
    let mut all = Counts::default();
    group.moves.iter().for_each(|m| all.add(m.counts));
    all
}
