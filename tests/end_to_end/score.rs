//! What the model says about a log, by the library's own bundle and decoder, away from any pipeline.

use std::path::Path;

use tidemill::adapters::formats;
use tidemill::adapters::models::bundle::Bundle;
use tidemill::domain::batch::Batch;
use tidemill::domain::batch::Record as Taken;
use tidemill::domain::batch::Span;
use tidemill::domain::batch::TimestampKind;
use tidemill::domain::fields::Fields;
use tidemill::domain::outputs::Column;
use tidemill::domain::outputs::Outputs;
use tidemill::domain::verdict::Verdicts;

use crate::support::kafka::Record;

/// Other batches than the pipeline's, so that what is compared does not depend on them.
const ROWS: usize = 777;

#[derive(Clone, Copy, Debug)]
pub struct Score {
    pub score: f64,
    pub is_fraud: bool,
}

/// One answer a record; `None` where the decoder rejects.
pub fn all(options: &formats::options::Options, log: &[Record]) -> Vec<Option<Score>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parse = |text: &str| formats::path::parse(text).map_err(|e| e.to_string());
    let bundle = Bundle::load(&folder.join("models/fraud/gbt"), &parse).expect("the bundle loads");
    let mut decoder = formats::build(options, &[], &bundle.wanted, folder).expect("the decoder is made");
    let slots: Vec<usize> = (0..bundle.wanted.len()).collect();
    let (mut model, specs) = (bundle.model(&slots), bundle.outputs());
    let (mut fields, mut verdicts, mut scores) = (Fields::default(), Verdicts::default(), vec![]);
    for chunk in log.chunks(ROWS) {
        let mut batch = Batch::default();
        for record in chunk {
            let payload = batch.push_bytes(record.payload.as_deref());
            let (offset, timestamp) = (record.offset, record.timestamp);
            let (key, headers) = (Span::NULL, Span::NULL);
            batch.records.push(Taken { offset, timestamp, kind: TimestampKind::Create, key, payload, headers });
        }
        verdicts.reset(chunk.len());
        decoder.decode(&batch, &mut fields, &mut verdicts);
        let kept: Vec<u32> = (0..chunk.len()).filter(|r| verdicts.is_kept(*r)).map(|r| r as u32).collect();
        let mut outputs = Outputs::new(&specs);
        model.run(&batch, &fields, &kept, &mut outputs).expect("the model runs");
        let [Column::Float(score), Column::Boolean(is_fraud)] = &outputs.columns[..] else {
            panic!("the bundle has other outputs than score and is_fraud: {specs:?}")
        };
        let first = scores.len();
        scores.resize(first + chunk.len(), None);
        for (row, record) in kept.iter().enumerate() {
            scores[first + *record as usize] = Some(Score { score: score[row], is_fraud: is_fraud[row] });
        }
    }
    scores
}
