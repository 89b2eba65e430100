//! Everything that can be made and checked without a service: bundle, decoder, golden records, wanted fields.

use std::path::Path;
use std::sync::Arc;

use crate::adapters::formats;
use crate::adapters::models::Options;
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

/// Each part of the preparation with its own outcome, so that `check` can go on where a start gives up.
pub struct Examined {
    /// `None` without a `[model]`.
    pub bundle: Option<Result<Bundle, String>>,
    /// `None` without a bundle that could be loaded.
    pub golden: Option<Result<GoldenReport, String>>,
    pub decoder: Result<Box<dyn Decoder>, String>,
    /// The fields that the table wants.
    pub slots: Result<Slots, Vec<String>>,
    numbers: Vec<usize>,
}

/// Loads the bundle, lets its golden records vouch for it, and plans the decoder.
pub fn examine(config: &Config) -> Examined {
    let load = |options: &Options| Bundle::load(&options.bundle, &parse_path).map_err(|e| e.to_string());
    let bundle = config.model.as_ref().map(load);
    let loaded = bundle.as_ref().and_then(|b| b.as_ref().ok());
    let mut wanted = loaded.map(|b| b.wanted.clone()).unwrap_or_default();
    let numbers: Vec<usize> = (0..wanted.len()).collect();
    let slots = table_fields(config, &mut wanted);
    // Paths in the configuration were resolved when it was read.
    let decoder = formats::build(&config.event, &config.skip, &wanted, Path::new("")).map_err(|e| e.to_string());
    let golden = loaded.map(|b| verify(b, &numbers));
    Examined { bundle, golden, decoder, slots, numbers }
}

/// The same for a start.
///
/// # Errors
/// All that is wrong, each naming the file or key and the way out.
pub fn prepare(config: &Config) -> Result<Prepared, Vec<String>> {
    let examined = examine(config);
    let mut problems = vec![];
    problems.extend(examined.bundle.iter().filter_map(|b| b.as_ref().err().cloned()));
    problems.extend(examined.slots.as_ref().err().cloned().unwrap_or_default());
    problems.extend(examined.decoder.as_ref().err().cloned());
    problems.extend(examined.golden.iter().filter_map(|g| g.as_ref().err().cloned()));
    match examined.made() {
        Some(prepared) if problems.is_empty() => Ok(prepared),
        _ => Err(problems),
    }
}

impl Examined {
    /// All that is needed to judge records, unless a part is missing. Golden records that differ do not matter here.
    pub fn made(self) -> Option<Prepared> {
        let bundle = self.bundle.transpose().ok()?;
        let golden = self.golden.and_then(Result::ok);
        let model = bundle.as_ref().map(|b| b.model(&self.numbers));
        let outputs = bundle.as_ref().map(Bundle::outputs).unwrap_or_default();
        Some(Prepared { bundle, golden, outputs, decoder: self.decoder.ok()?, model, slots: self.slots.ok()? })
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

/// Appends what the table wants to `wanted`, and says where.
fn table_fields(config: &Config, wanted: &mut Vec<FieldSpec>) -> Result<Slots, Vec<String>> {
    let mut slots = Slots::default();
    let mut problems = vec![];
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
    if problems.is_empty() { Ok(slots) } else { Err(problems) }
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
