//! What became of each record of a batch, until the sink has made it durable.

/// Step of the journey that a record was rejected at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Stage {
    Decode,
    Infer,
    Write,
    /// None of them: the process itself ended (rule J5).
    Process,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Infer => "infer",
            Stage::Write => "write",
            Stage::Process => "process",
        }
    }
}

/// Why a record cannot be processed. It becomes a row of `tidemill.dead_letter`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    pub stage: Stage,
    /// Stable short code such as `bad_json`: a metric label and a filter.
    pub reason: &'static str,
    /// One sentence naming the field or rule, never the payload. Escaped and cut by [`Rejected::new`].
    pub detail: String,
}

/// Longest detail, in bytes.
pub const DETAIL_MAX: usize = 1024;

impl Rejected {
    /// Makes the detail plain ASCII of at most [`DETAIL_MAX`] bytes, so that storing the dead letter cannot itself fail on data.
    pub fn new(stage: Stage, reason: &'static str, detail: impl AsRef<str>) -> Rejected {
        let mut text = String::new();
        for c in detail.as_ref().chars() {
            let next: String = if (' '..='~').contains(&c) { c.into() } else { c.escape_default().collect() };
            if text.len() + next.len() > DETAIL_MAX {
                break;
            }
            text.push_str(&next);
        }
        Rejected { stage, reason, detail: text }
    }
}

/// Number of the rule under which a row is skipped that met one already there (`table.on_conflict`). No configured rule has it.
pub const CONFLICT_RULE: u16 = u16::MAX;

/// The verdict on one record. `Keep` until something else is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Keep,
    /// Left out on purpose by the rule of this number.
    Skip(u16),
    /// Index into [`Verdicts::rejected`].
    Dead(u32),
}

/// Verdicts of all records of a batch.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub of: Vec<Verdict>,
    pub rejected: Vec<Rejected>,
}

impl Verdicts {
    pub fn reset(&mut self, records: usize) {
        self.of.clear();
        self.of.resize(records, Verdict::Keep);
        self.rejected.clear();
    }

    /// Rejects a record; the first rejection of a record counts.
    pub fn reject(&mut self, record: usize, why: Rejected) {
        if !matches!(self.of[record], Verdict::Dead(_)) {
            self.of[record] = Verdict::Dead(self.rejected.len() as u32);
            self.rejected.push(why);
        }
    }

    pub fn skip(&mut self, record: usize, rule: u16) {
        self.of[record] = Verdict::Skip(rule);
    }

    pub fn is_kept(&self, record: usize) -> bool {
        self.of[record] == Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_short_plain_ascii() {
        let why = Rejected::new(Stage::Decode, "x", format!("a\0b\u{e9}\n{}", "\u{10000}".repeat(1000)));
        assert!(why.detail.is_ascii() && why.detail.len() <= DETAIL_MAX);
        assert!(why.detail.starts_with("a\\u{0}b\\u{e9}\\n"));
    }
}
