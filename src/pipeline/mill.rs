//! The mill: decode, score and encode one micro-batch, on an OS thread of its own.
//!
//! A panic or an error inside a model run condemns nobody: the records are tried in halves, down to the guilty one (promise P6).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::batch::Batch;
use crate::domain::fields::Fields;
use crate::domain::lane::Now;
use crate::domain::outputs::{Column, OutputSpec, Outputs};
use crate::domain::scored::{Rows, Scored};
use crate::domain::verdict::{Rejected, Stage, Verdict, Verdicts};
use crate::failpoints::{self, Point};
use crate::pipeline::clock::Stopwatch;
use crate::ports::{Decoder, Model, ModelError, RowEncoder};

/// `[mill]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Threads that decode and score. Unset: as many as the process may use of the machine (the cgroup's CPU quota counts).
    pub threads: Option<u32>,
}

/// What a batch cost, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    pub panics: u64,
    /// Runs beyond the first that it took to find guilty records.
    pub extra_runs: u64,
    pub decode: Now,
    pub infer: Now,
    pub encode: Now,
}

pub struct Mill {
    decoder: Box<dyn Decoder>,
    /// Absent in a pipeline that only decodes and stores.
    model: Option<Box<dyn Model>>,
    encoder: Arc<dyn RowEncoder>,
    specs: Arc<[OutputSpec]>,
    fields: Fields,
    kept: Vec<u32>,
    good: Vec<u32>,
    outputs: Outputs,
    part: Outputs,
    /// Bytes of a row of the batch before, rounded up.
    row_bytes: usize,
    strain: Strain,
}

impl Mill {
    pub fn new(
        decoder: Box<dyn Decoder>,
        model: Option<Box<dyn Model>>,
        encoder: Arc<dyn RowEncoder>,
        specs: Arc<[OutputSpec]>,
    ) -> Mill {
        let (outputs, part) = (Outputs::new(&specs), Outputs::new(&specs));
        let (kept, good) = (vec![], vec![]);
        Mill {
            decoder,
            model,
            encoder,
            specs,
            fields: Fields::default(),
            kept,
            good,
            outputs,
            part,
            row_bytes: 0,
            strain: Strain::default(),
        }
    }

    /// Another mill over the same plan, for another thread.
    pub fn fork(&self) -> Mill {
        let model = self.model.as_ref().map(|m| m.fork());
        Mill::new(self.decoder.fork(), model, self.encoder.clone(), self.specs.clone())
    }

    /// One turn: a batch in, its rows and verdicts out.
    pub fn turn(&mut self, batch: Batch) -> (Scored, Strain) {
        self.strain = Strain::default();
        let mut watch = Stopwatch::start();
        let mut verdicts = Verdicts::default();
        verdicts.reset(batch.records.len());
        self.decode(&batch, &mut verdicts);
        failpoints::hit_seeing(Point::AfterDecode, |marker| holds(&batch, 0..batch.records.len() as u32, marker));
        self.strain.decode = watch.lap();
        self.kept.clear();
        self.kept.extend((0..batch.records.len() as u32).filter(|r| verdicts.is_kept(*r as usize)));
        failpoints::hit_seeing(Point::BeforeInfer, |marker| holds(&batch, self.kept.iter().copied(), marker));
        self.infer(&batch, &mut verdicts);
        failpoints::hit_seeing(Point::AfterInfer, |marker| holds(&batch, self.kept.iter().copied(), marker));
        self.strain.infer = watch.lap();
        let mut rows = Rows::default();
        rows.reset(batch.records.len());
        // one allocation instead of a growing one, and never more than the batch itself holds
        rows.bytes.reserve((self.row_bytes * self.kept.len()).min(batch.bytes.len()));
        self.encode(&batch, &mut rows, &mut verdicts);
        if !self.kept.is_empty() {
            self.row_bytes = rows.bytes.len().div_ceil(self.kept.len());
        }
        failpoints::hit(Point::AfterEncode);
        self.strain.encode = watch.lap();
        (Scored { batch, verdicts, rows }, self.strain)
    }

    fn decode(&mut self, batch: &Batch, verdicts: &mut Verdicts) {
        if catch_unwind(AssertUnwindSafe(|| self.decoder.decode(batch, &mut self.fields, verdicts))).is_ok() {
            return;
        }
        // A decoder must not panic; if one does, each record is tried alone and then the innocent ones together.
        self.strain.panics += 1;
        let mut guilty = vec![];
        for record in 0..batch.records.len() {
            let mut alone = Verdicts::default();
            alone.reset(batch.records.len());
            (0..batch.records.len()).filter(|r| *r != record).for_each(|r| alone.skip(r, 0));
            self.strain.extra_runs += 1;
            if catch_unwind(AssertUnwindSafe(|| self.decoder.decode(batch, &mut self.fields, &mut alone))).is_err() {
                guilty.push(record);
            }
        }
        verdicts.reset(batch.records.len());
        for record in guilty {
            verdicts
                .reject(record, Rejected::new(Stage::Decode, "decoder_panic", "the decoder panicked on this record"));
        }
        if catch_unwind(AssertUnwindSafe(|| self.decoder.decode(batch, &mut self.fields, verdicts))).is_err() {
            let why = Rejected::new(Stage::Decode, "decoder_panic", "the decoder panicked on this batch");
            (0..batch.records.len()).for_each(|r| verdicts.reject(r, why.clone()));
        }
    }

    fn infer(&mut self, batch: &Batch, verdicts: &mut Verdicts) {
        self.outputs.clear();
        if self.kept.is_empty() || self.model.is_none() {
            return;
        }
        self.good.clear();
        let kept = std::mem::take(&mut self.kept);
        self.score(batch, &kept, verdicts);
        self.kept = kept;
        std::mem::swap(&mut self.kept, &mut self.good);
        for (spec, column) in self.specs.iter().zip(&self.outputs.columns) {
            if !spec.nan_allowed {
                reject_not_finite(spec, column, &self.kept, verdicts);
            }
        }
    }

    /// Scores `records` into `outputs`, or the halves of them, and notes in `good` who is there.
    fn score(&mut self, batch: &Batch, records: &[u32], verdicts: &mut Verdicts) {
        let model = self.model.as_mut().expect("only called with a model");
        self.part.clear();
        let run = catch_unwind(AssertUnwindSafe(|| {
            failpoints::hit_seeing(Point::InInfer, |marker| holds(batch, records.iter().copied(), marker));
            model.run(batch, &self.fields, records, &mut self.part)
        }));
        let why = match run {
            // Rows that do not match their records one by one would be stored with each other's scores.
            Ok(Ok(())) if self.part.columns.iter().any(|c| c.len() != records.len()) => Rejected::new(
                Stage::Infer,
                "model_rows",
                "the model's outputs have another number of rows than its inputs",
            ),
            Ok(Ok(())) => {
                self.outputs.append(&self.part);
                self.good.extend_from_slice(records);
                return;
            }
            Ok(Err(error)) if error.guilty.iter().any(|(guilty, _)| records.contains(guilty)) => {
                return self.without(batch, records, error, verdicts);
            }
            Ok(Err(error)) => Rejected::new(Stage::Infer, "model_error", error.to_string()),
            Err(_) => {
                self.strain.panics += 1;
                Rejected::new(Stage::Infer, "model_panic", "the model panicked on this record")
            }
        };
        if records.len() == 1 {
            verdicts.reject(records[0] as usize, why);
            return;
        }
        self.strain.extra_runs += 2;
        let (left, right) = records.split_at(records.len() / 2);
        self.score(batch, left, verdicts);
        self.score(batch, right, verdicts);
    }

    /// Rejects the records that the model named, at least one of `records`, and scores the others.
    fn without(&mut self, batch: &Batch, records: &[u32], error: ModelError, verdicts: &mut Verdicts) {
        let guilty: BTreeMap<u32, String> = error.guilty.into_iter().collect();
        let (named, rest): (Vec<u32>, Vec<u32>) = records.iter().partition(|r| guilty.contains_key(r));
        for record in named {
            verdicts.reject(record as usize, Rejected::new(Stage::Infer, "bad_feature", &guilty[&record]));
        }
        if !rest.is_empty() {
            self.strain.extra_runs += 1;
            self.score(batch, &rest, verdicts);
        }
    }

    fn encode(&mut self, batch: &Batch, rows: &mut Rows, verdicts: &mut Verdicts) {
        let (encoder, fields, outputs) = (&self.encoder, &self.fields, &self.outputs);
        let all = || encoder.encode(batch, fields, outputs, &self.kept, rows, verdicts);
        if catch_unwind(AssertUnwindSafe(all)).is_err() {
            // An encoder must not panic; if one does, each record is tried alone.
            self.strain.panics += 1;
            self.strain.extra_runs += self.kept.len() as u64;
            rows.reset(batch.records.len());
            for (i, record) in self.kept.iter().enumerate() {
                let output = outputs.row(i);
                let alone = || encoder.encode(batch, fields, &output, &[*record], rows, verdicts);
                if catch_unwind(AssertUnwindSafe(alone)).is_err() {
                    let why = Rejected::new(Stage::Write, "encoder_panic", "the encoder panicked on this record");
                    verdicts.reject(*record as usize, why);
                    rows.spans[*record as usize] = (0, 0);
                }
            }
        }
        // A kept record without a row would be lost without a word: P1 says never.
        for record in &self.kept {
            let record = *record as usize;
            if verdicts.of[record] == Verdict::Keep && rows.spans[record].1 == 0 {
                verdicts
                    .reject(record, Rejected::new(Stage::Write, "no_row", "the encoder made no row of this record"));
            }
        }
    }
}

/// Whether the payload of one of these records has `marker` in it.
fn holds(batch: &Batch, mut records: impl Iterator<Item = u32>, marker: &[u8]) -> bool {
    let in_it = |payload: &[u8]| payload.windows(marker.len()).any(|w| w == marker);
    records.any(|record| batch.payload(record as usize).is_some_and(in_it))
}

fn reject_not_finite(spec: &OutputSpec, column: &Column, records: &[u32], verdicts: &mut Verdicts) {
    let mut reject = |record: u32| {
        let detail = format!("output `{}` is not a finite number", spec.name);
        verdicts.reject(record as usize, Rejected::new(Stage::Infer, "not_finite", detail));
    };
    match column {
        Column::Float(values) => {
            records.iter().zip(values).filter(|(_, v)| !v.is_finite()).for_each(|(r, _)| reject(*r));
        }
        Column::Reals { width, values } => {
            let rows = records.iter().zip(values.chunks_exact((*width).max(1)));
            rows.filter(|(_, row)| row.iter().any(|v| !v.is_finite())).for_each(|(r, _)| reject(*r));
        }
        Column::Integer(_) | Column::Boolean(_) | Column::Label { .. } => {}
    }
}
