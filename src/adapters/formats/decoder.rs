//! The decoder: what is asked of every record, in order, whichever format it has.

use std::sync::Arc;

use super::leaf::Marks;
use super::leaf::Target;
use super::options::Framing;
use super::options::Options;
use super::options::Tombstones;
use super::parser::Parser;
use super::policy::Policies;
use super::reject;
use super::skip::SkipRules;
use crate::domain::batch::Batch;
use crate::domain::fields::Fields;
use crate::domain::verdict::Rejected;
use crate::domain::verdict::Verdicts;
use crate::ports::Decoder;

/// Bytes before the payload with [`Framing::Confluent`]: a zero and the schema's id.
const PREFIX: usize = 5;

/// What all threads share.
#[derive(Debug)]
pub struct Rules {
    pub options: Options,
    pub slots: usize,
    pub skips: SkipRules,
    pub tombstone_rule: u16,
    pub policies: Policies,
}

/// A decoder of one thread.
pub struct Records<P> {
    rules: Arc<Rules>,
    parser: P,
    wrong: Marks,
}

/// Why a record goes no further.
enum Out {
    Skip(u16),
    Reject(Rejected),
}

impl From<Rejected> for Out {
    fn from(why: Rejected) -> Out {
        Out::Reject(why)
    }
}

impl<P: Parser> Records<P> {
    pub fn new(rules: Arc<Rules>, parser: P) -> Records<P> {
        Records { rules, parser, wrong: Marks::default() }
    }

    fn record(&mut self, batch: &Batch, record: usize, fields: &mut Fields) -> Result<(), Out> {
        let rules = &*self.rules;
        let payload = batch.payload(record);
        if let Some(bytes) = payload.filter(|p| p.len() as u64 > rules.options.bytes_max.0) {
            let (size, limit) = (bytes.len(), rules.options.bytes_max);
            return Err(reject("too_large", format!("the payload has {size} bytes, event.bytes_max is {limit}")).into());
        }
        let Some(payload) = payload else {
            return Err(match rules.options.tombstones {
                Tombstones::Skip => Out::Skip(rules.tombstone_rule),
                Tombstones::DeadLetter => reject("tombstone", "the payload is null").into(),
            });
        };
        if let Some(rule) = rules.skips.before(batch, record) {
            return Err(Out::Skip(rule));
        }
        let prefix = match rules.options.framing {
            Framing::None => 0,
            Framing::Confluent if payload.len() < PREFIX => {
                return Err(reject("bad_framing", "shorter than the registry's five-byte prefix").into());
            }
            Framing::Confluent if payload[0] != 0 => {
                return Err(reject("bad_framing", "the first byte is not zero").into());
            }
            Framing::Confluent => PREFIX,
        };
        self.wrong.reset(rules.slots);
        let mut row = fields.row_mut(record);
        let base = batch.records[record].payload.start + prefix as u32;
        self.parser.parse(&payload[prefix..], base, Target { row: &mut row, wrong: &mut self.wrong })?;
        // a rule wins over a policy: other types of event on the topic lack our fields
        if let Some(rule) = rules.skips.after(fields, record) {
            return Err(Out::Skip(rule));
        }
        Ok(rules.policies.apply(&mut fields.row_mut(record), &self.wrong)?)
    }
}

impl<P: Parser> Decoder for Records<P> {
    fn decode(&mut self, batch: &Batch, fields: &mut Fields, verdicts: &mut Verdicts) {
        fields.reset(batch.records.len(), self.rules.slots);
        for record in 0..batch.records.len() {
            if !verdicts.is_kept(record) {
                continue;
            }
            match self.record(batch, record, fields) {
                Ok(()) => {}
                Err(Out::Skip(rule)) => verdicts.skip(record, rule),
                Err(Out::Reject(why)) => verdicts.reject(record, why),
            }
        }
    }

    fn fork(&self) -> Box<dyn Decoder> {
        Box::new(Records::new(Arc::clone(&self.rules), self.parser.clone()))
    }
}
