//! Everything that can be made and checked without a service: bundle, decoder, golden records, wanted fields.

use std::path::Path;
use std::sync::Arc;

use crate::adapters::formats;
use crate::adapters::models::bundle::Bundle;
use crate::adapters::models::golden;
use crate::adapters::models::golden::GoldenReport;
use crate::adapters::postgres::encode::Slots;
use crate::adapters::postgres::options::Missing;
use crate::config::Config;
use crate::domain::fields::FieldKind;
use crate::domain::fields::FieldSpec;
use crate::domain::fields::Otherwise;
use crate::domain::fields::Step;
use crate::domain::fields::TimeUnit;
use crate::domain::outputs::OutputSpec;
use crate::ports::Decoder;
use crate::ports::Model;

/// The offline half of a pipeline.
pub struct Prepared {
    pub bundle: Option<Bundle>,
    pub golden: Option<GoldenReport>,
    pub outputs: Vec<OutputSpec>,
    pub decoder: Box<dyn Decoder>,
    pub model: Option<Box<dyn Model>>,
    /// Where the decoder leaves what the table wants.
    pub slots: Slots,
}

/// Loads the bundle, lets its golden records vouch for it, and plans the decoder.
///
/// # Errors
/// All that is wrong, each naming the file or key and the way out.
pub fn prepare(config: &Config) -> Result<Prepared, Vec<String>> {
    let mut problems = vec![];
    let bundle = match &config.model {
        None => None,
        Some(options) => match Bundle::load(&options.bundle, &parse_path) {
            Ok(bundle) => Some(bundle),
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        },
    };
    let mut wanted = bundle.as_ref().map(|b| b.wanted.clone()).unwrap_or_default();
    let of_model = wanted.len();
    let slots = table_fields(config, &mut wanted, &mut problems);
    // Paths in the configuration were resolved when it was read.
    let decoder = match formats::build(&config.event, &config.skip, &wanted, Path::new("")) {
        Ok(decoder) => Some(decoder),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let numbers: Vec<usize> = (0..of_model).collect();
    let golden = bundle.as_ref().and_then(|b| match verify(b, &numbers) {
        Ok(report) => Some(report),
        Err(error) => {
            problems.push(error);
            None
        }
    });
    match decoder {
        Some(decoder) if problems.is_empty() => {
            let model = bundle.as_ref().map(|b| b.model(&numbers));
            let outputs = bundle.as_ref().map(Bundle::outputs).unwrap_or_default();
            Ok(Prepared { bundle, golden, outputs, decoder, model, slots })
        }
        _ => Err(problems),
    }
}

/// Golden events are JSON whatever the topic holds; the reader and the policies are those of the pipeline.
fn verify(bundle: &Bundle, slots: &[usize]) -> Result<GoldenReport, String> {
    let options = formats::options::Options::default();
    let mut decoder = formats::build(&options, &[], &bundle.wanted, Path::new("")).map_err(|e| e.to_string())?;
    golden::verify(bundle, decoder.as_mut(), bundle.model(slots).as_mut()).map_err(|e| e.to_string())
}

fn parse_path(text: &str) -> Result<Vec<Step>, String> {
    formats::path::parse(text).map_err(|e| e.to_string())
}

fn table_fields(config: &Config, wanted: &mut Vec<FieldSpec>, problems: &mut Vec<String>) -> Slots {
    let mut slots = Slots::default();
    for (i, field) in config.table.fields.iter().enumerate() {
        let missing = match field.missing {
            Missing::Null => Otherwise::Absent,
            Missing::Reject => Otherwise::Reject,
        };
        match parse_path(&field.field) {
            Ok(path) => {
                slots.fields.push(wanted.len());
                wanted.push(FieldSpec { path, kind: field.kind.kind(), missing, wrong: missing });
            }
            Err(error) => problems.push(format!("table.fields[{i}].field: {error}")),
        }
    }
    if let Some(text) = &config.table.event_time {
        match parse_path(text) {
            Ok(path) => {
                slots.event_time = Some(wanted.len());
                let (kind, absent) = (FieldKind::Timestamp(TimeUnit::Milliseconds), Otherwise::Absent);
                wanted.push(FieldSpec { path, kind, missing: absent, wrong: absent });
            }
            Err(error) => problems.push(format!("table.event_time: {error}")),
        }
    }
    slots
}

impl Prepared {
    pub fn specs(&self) -> Arc<[OutputSpec]> {
        self.outputs.clone().into()
    }

    /// Name, version and digest; a pipeline without a model has names that say so.
    pub fn identity(&self) -> (String, String, String) {
        match &self.bundle {
            Some(b) => (b.manifest.name.clone(), b.manifest.version.clone(), b.digest.clone()),
            None => ("none".into(), "none".into(), String::new()),
        }
    }
}
