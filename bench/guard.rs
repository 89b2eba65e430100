//! Fixed work for `make bench-guard`, which counts its instructions: `bench_guard WORK`.
//!
//! Whatever is in `guarded` is counted, everything else is preparation. All input is the same in every run.

// the other shapes are for `make bench-decode`
#[allow(dead_code)]
#[path = "events.rs"]
mod events;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use events::Shape;
use tidemill::adapters::formats;
use tidemill::adapters::formats::options::Options;
use tidemill::adapters::postgres::encode::Encoder;
use tidemill::adapters::postgres::encode::Slots;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::planned;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Piece;
use tidemill::domain::fields::Fields;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Lane;
use tidemill::domain::ledger::Ledger;
use tidemill::domain::outputs::Column;
use tidemill::domain::outputs::OutputKind;
use tidemill::domain::outputs::OutputSpec;
use tidemill::domain::outputs::Outputs;
use tidemill::domain::scored::Rows;
use tidemill::domain::verdict::Verdicts;
use tidemill::ports::RowEncoder;
use tidemill_onnx::trees::ensemble::Ensemble;
use tidemill_onnx::trees::ensemble::Entry;
use tidemill_onnx::trees::ensemble::Leaves;
use tidemill_onnx::trees::ensemble::Mode;
use tidemill_onnx::trees::ensemble::Node;
use tidemill_onnx::trees::forest::Forest;
use tidemill_onnx::trees::forest::Path as Walk;
use tidemill_onnx::trees::forest::Rows as Matrix;
use tidemill_onnx::trees::forest::Scratch;
use tidemill_onnx::trees::tally::Aggregate;

const BATCH: usize = 256;
const BATCHES: usize = 8;

/// The script counts what is done in here, by its name.
#[inline(never)]
fn guarded(work: impl FnOnce()) {
    work();
}

fn batches(shape: Shape) -> Vec<Batch> {
    let all = events::events(shape, BATCH * BATCHES, 7);
    let mut batches: Vec<Batch> = all.chunks(BATCH).map(events::batch).collect();
    for batch in &mut batches {
        let (lane, count) = (Lane { topic: 0, partition: 3 }, batch.records.len() as u32);
        batch.pieces.push(Piece { lane, epoch: Epoch(1), expected: 0, end: i64::from(count), first: 0, count });
    }
    batches
}

fn decode(templates: bool, shape: Shape) {
    let options = Options { templates, ..Options::default() };
    let mut decoder = formats::build(&options, &[], &events::fields(), Path::new("")).expect("the fields are right");
    let (mut fields, mut verdicts, batches) = (Fields::default(), Verdicts::default(), batches(shape));
    let mut all = |batches: &[Batch]| {
        for batch in batches {
            verdicts.reset(batch.records.len());
            decoder.decode(batch, &mut fields, &mut verdicts);
            assert!(verdicts.rejected.is_empty());
        }
    };
    all(&batches[..1]);
    guarded(|| all(&batches));
}

fn encode() {
    let specs = [OutputSpec { name: "score".into(), kind: OutputKind::Float, nan_allowed: false }];
    let options = TableOptions::default();
    let table = planned::table(&options, &specs).expect("the defaults are right");
    let registered = planned::registered(&[("payments", 12)], "fraud@1".into());
    let encoder =
        Encoder::new(Arc::new(table), Arc::new(registered), &options, &Slots::default(), || 1_800_000_000_000_000);
    let outputs = Outputs { columns: vec![Column::Float((0..BATCH).map(|i| i as f64 / 256.0).collect())] };
    let records: Vec<u32> = (0..BATCH as u32).collect();
    let (mut rows, mut verdicts, fields, batches) =
        (Rows::default(), Verdicts::default(), Fields::default(), batches(Shape::Base));
    verdicts.reset(BATCH);
    let mut all = |batches: &[Batch]| {
        for batch in batches {
            rows.reset(BATCH);
            encoder.encode(batch, &fields, &outputs, &records, &mut rows, &mut verdicts);
            assert!(verdicts.rejected.is_empty());
        }
    };
    all(&batches[..1]);
    guarded(|| all(&batches));
}

/// Pieces are settled out of order, eight at a time, as several batches under way are.
fn ledger() {
    let mut ledger = Ledger::new(Epoch(1), 0);
    guarded(|| {
        for round in 0..2000 {
            let first = round * 800;
            for k in 0..8 {
                ledger.take(first + (k + 1) * 100, 100);
            }
            for k in [3, 1, 0, 2, 7, 5, 6, 4] {
                black_box(ledger.settle(Epoch(1), first + (k + 1) * 100));
            }
        }
    });
    assert!(ledger.is_drained());
}

/// 100 full trees of depth 6 over 32 features, walked without vector instructions.
fn trees() {
    let (mut nodes, mut roots, mut entries, mut state) = (vec![], vec![], vec![], 1u32);
    let mut dice = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..100 {
        let root = nodes.len() as u32;
        roots.push(root);
        for k in 0..127u32 {
            if k >= 63 {
                nodes.push(Node::leaf(entries.len() as u32));
                entries.push(Entry { output: 0, weight: dice() as f32 / 16_777_216.0 });
                continue;
            }
            let threshold = dice() as f32 / 16_777_216.0;
            let (feature, yes, no) = (dice() % 32, root + 2 * k + 1, root + 2 * k + 2);
            nodes.push(Node { mode: Mode::Leq, nan_true: false, feature, threshold, yes, no, index: 0 });
        }
    }
    let owners: Vec<u32> = (0..entries.len() as u32).collect();
    let leaves = Leaves::new(entries.len(), &owners, entries);
    let ensemble = Ensemble { nodes, roots, sets: vec![], leaves, outputs: 1, features: 32, weights: 0 };
    let forest = Forest::new(ensemble.checked().expect("the trees are right"), Aggregate::Sum, false);
    let values: Vec<f32> = (0..256 * 32).map(|_| dice() as f32 / 16_777_216.0).collect();
    let rows = Matrix { values: &values, width: 32, count: 256 };
    let mut scratch = Scratch::default();
    assert!(forest.has(Walk::Narrow), "{:?}", forest.notes());
    let mut run = || forest.run_by(Walk::Narrow, &rows, &mut scratch).expect("the rows are wide enough");
    run();
    guarded(&mut run);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("decode") => decode(true, Shape::Base),
        Some("decode-plain") => decode(false, Shape::Base),
        Some("decode-shuffled") => decode(true, Shape::Shuffled),
        Some("encode") => encode(),
        Some("ledger") => ledger(),
        Some("trees") => trees(),
        other => panic!("unknown work {other:?}"),
    }
}
