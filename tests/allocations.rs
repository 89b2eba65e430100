//! What a record costs in allocations from decoding to its encoded row. In a process of its own, for the allocator that counts;
//! `kafka_take` counts those of handing a record out.

#[path = "support/counting.rs"]
mod counting;

use std::path::Path;
use std::sync::Arc;

use tidemill::adapters::formats;
use tidemill::adapters::models::bundle::Bundle;
use tidemill::adapters::postgres::encode::Encoder;
use tidemill::adapters::postgres::encode::Slots;
use tidemill::adapters::postgres::options::TableOptions;
use tidemill::adapters::postgres::planned;
use tidemill::demo::payments::Payments;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Piece;
use tidemill::domain::batch::Record;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::lane::Epoch;
use tidemill::domain::lane::Lane;
use tidemill::pipeline::mill::Mill;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

/// The daemon's mill over a bundle of the repository, or without a model.
fn mill(bundle: Option<&str>, templates: bool) -> Mill {
    let options = formats::options::Options { templates, ..formats::options::Options::default() };
    let loaded = bundle.map(|name| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fraud").join(name);
        Bundle::load(&dir, &|text| formats::path::parse(text).map_err(|e| e.to_string())).unwrap()
    });
    let wanted = loaded.as_ref().map_or(vec![], |b| b.wanted.clone());
    let outputs = loaded.as_ref().map_or(vec![], Bundle::outputs);
    let decoder = formats::build(&options, &[], &wanted, Path::new("")).unwrap();
    let slots: Vec<usize> = (0..wanted.len()).collect();
    let table = TableOptions::default();
    let columns = Arc::new(planned::table(&table, &outputs).unwrap());
    let registered = Arc::new(planned::registered(&[("payments", 12)], "fraud@1".into()));
    let encoder = Encoder::new(columns, registered, &table, &Slots::default(), || 1_800_000_000_000_000);
    Mill::new(decoder, loaded.map(|b| b.model(&slots)), Arc::new(encoder), outputs.into())
}

fn batch(payments: &mut Payments, count: u32) -> Batch {
    let mut batch = Batch::default();
    for offset in 0..i64::from(count) {
        let payload = batch.push_bytes(Some(payments.make().payload));
        let kind = TimestampKind::Create;
        batch.records.push(Record { offset, timestamp: 0, kind, key: Span::NULL, payload, headers: Span::NULL });
    }
    let lane = Lane { topic: 0, partition: 3 };
    batch.pieces.push(Piece { lane, epoch: Epoch(1), expected: 0, end: i64::from(count), first: 0, count });
    batch
}

/// Allocations of a turn of so many records, once everything has grown to its size.
fn turn(mill: &mut Mill, payments: &mut Payments, count: u32) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..8 {
        let batch = batch(payments, count);
        let before = counting::allocations();
        let (scored, _) = mill.turn(batch);
        let after = counting::allocations();
        assert!((0..count as usize).all(|r| scored.verdicts.is_kept(r) && !scored.rows.row(r).is_empty()));
        least = least.min(after - before);
    }
    least
}

#[test]
fn a_batch_costs_a_few_allocations_and_a_record_none() {
    let (few, many) = (64, 1024);
    for bundle in [None, Some("mlp"), Some("gbt")] {
        for templates in [true, false] {
            let (mut mill, mut payments) = (mill(bundle, templates), Payments::new(7));
            turn(&mut mill, &mut payments, many);
            let (small, large) = (turn(&mut mill, &mut payments, few), turn(&mut mill, &mut payments, many));
            println!("{bundle:?}, templates {templates}: {small} for {few} records, {large} for {many}");
            assert!(large <= small, "{bundle:?}: {small} for {few} records, {large} for {many}");
            assert!(large <= 60, "{bundle:?}: {large} for a batch");
        }
    }
}
