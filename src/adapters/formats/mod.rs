//! Decoders: payloads of JSON or bincode into the fields that the model, the table and the skip rules want.
//!
//! A record goes through these questions and stops at the first that settles it: is it too large, a tombstone, skipped
//! by a header or its key, framed badly, malformed, skipped by a field, lacking a field that it must have? Rules on fields
//! come before policies because topics mix event types: what a rule leaves out need not look like our events.
//!
//! Reasons of rejections: `too_large`, `tombstone`, `bad_framing`, `bad_json`, `bad_utf8`, `too_deep`, `bad_bincode`,
//! `missing_field`, `wrong_type`, `wrong_length`. `docs/events.md` tells users the rules.

mod bincode;
mod decoder;
mod error;
mod json;
mod leaf;
pub mod options;
mod parser;
pub mod path;
mod policy;
mod rfc3339;
#[cfg(test)]
mod samples;
mod schema;
mod skip;
mod table;

use std::path::Path;
use std::sync::Arc;

use self::decoder::Records;
use self::decoder::Rules;
pub use self::error::Error;
use self::json::Json;
use self::leaf::Want;
use self::options::Format;
use self::options::Layout;
use self::options::Options;
use self::options::SkipRule;
use self::policy::Policies;
use self::skip::SkipRules;
use crate::domain::fields::FieldSpec;
use crate::domain::verdict::Rejected;
use crate::domain::verdict::Stage;
use crate::ports::Decoder;

/// Makes the decoder for these fields. Slot `n` is `wanted[n]`; slots behind them serve the skip rules.
///
/// `base_dir` is the folder of the configuration file, to which the path of a bincode schema is relative.
///
/// # Errors
/// The first thing that is wrong with the options, the rules, the schema file or a wanted field; see
/// [`options::validate`] for all that is wrong with options and rules at once.
pub fn build(
    options: &Options,
    skips: &[SkipRule],
    wanted: &[FieldSpec],
    base_dir: &Path,
) -> Result<Box<dyn Decoder>, Error> {
    if let Some(error) = options::validate(options, skips).into_iter().next() {
        return Err(error);
    }
    let mut wants: Vec<Want> =
        wanted.iter().map(|spec| Want { path: spec.path.clone(), kind: Some(spec.kind.clone()) }).collect();
    let rules = SkipRules::new(skips, &mut wants)?;
    let rules = Arc::new(Rules {
        options: options.clone(),
        slots: wants.len(),
        skips: rules,
        tombstone_rule: options::tombstone_rule(skips),
        policies: Policies::new(wanted)?,
    });
    Ok(match (options.format, &options.schema) {
        (Format::Bincode, Some(file)) => {
            let schema = schema::load(&base_dir.join(file))?;
            match options.layout {
                Layout::Standard => Box::new(Records::new(rules, bincode::standard(&schema, &wants)?)),
                Layout::Legacy => Box::new(Records::new(rules, bincode::legacy(&schema, &wants)?)),
            }
        }
        _ => Box::new(Records::new(rules, Json::new(&wants, options.depth_max, options.templates)?)),
    })
}

fn reject(reason: &'static str, detail: impl AsRef<str>) -> Rejected {
    Rejected::new(Stage::Decode, reason, detail)
}

#[cfg(test)]
mod tests;
