use std::path::Path;
use std::time::Instant;

use super::options::Framing;
use super::options::Literal;
use super::options::Tombstones;
use super::samples::Rng;
use super::*;
use crate::domain::batch::Batch;
use crate::domain::batch::Span;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Fields;
use crate::domain::fields::Otherwise;
use crate::domain::units::ByteSize;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;

fn spec(path: &str, kind: FieldKind, missing: Otherwise, wrong: Otherwise) -> FieldSpec {
    FieldSpec { path: path::parse(path).unwrap(), kind, missing, wrong }
}

fn fraud_specs() -> Vec<FieldSpec> {
    let rule = |at| if at < 2 { Otherwise::Reject } else { Otherwise::Absent };
    let fields = samples::fraud_fields().into_iter().enumerate();
    fields.map(|(at, (path, kind))| spec(path, kind, rule(at), rule(at))).collect()
}

/// Prints nanoseconds an event; run it with `cargo test --release -- --ignored --nocapture formats`.
#[test]
#[ignore = "measures; says nothing in the dev profile"]
fn speed_of_payments() {
    let mut rng = Rng::new();
    let events: Vec<String> = (0..20_000).map(|i| samples::payment(&mut rng, i)).collect();
    let mut decoder = build(&Options::default(), &[], &fraud_specs(), Path::new("")).unwrap();
    let batches: Vec<Batch> =
        events.chunks(500).map(|part| samples::batch(part.iter().map(|e| Some(e.as_bytes())))).collect();
    let (mut fields, mut verdicts) = (Fields::default(), Verdicts::default());
    let mut times = vec![];
    for _ in 0..15 {
        let start = Instant::now();
        for batch in &batches {
            verdicts.reset(batch.records.len());
            decoder.decode(batch, &mut fields, &mut verdicts);
            assert!(verdicts.rejected.is_empty());
        }
        times.push(start.elapsed().as_nanos() as usize / events.len());
    }
    times.sort_unstable();
    let bytes = events.iter().map(String::len).sum::<usize>() / events.len();
    println!("{bytes} bytes an event: best {} ns, median {} ns", times[0], times[times.len() / 2]);
}
