//! What became of each record of one lane that is looked at closely.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::adapters::kafka::walk::Seen;
use crate::adapters::postgres::audit::entries::Entry;
use crate::adapters::postgres::audit::place::Overlap;
use crate::app::verify::findings::Named;
use crate::app::verify::scope::Scene;
use crate::app::verify::scope::Scope;
use crate::domain::batch::Batch;
use crate::domain::fields::Fields;
use crate::domain::lane::Lane;
use crate::domain::verdict::Verdict;
use crate::domain::verdict::Verdicts;
use crate::domain::windows::window_of;
use crate::ports::Decoder;

/// Records that are decoded at once, and the bytes that end a batch early.
const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 256 << 10;

/// The decoder of the daemon, which knows the skip rules; shared by all lanes.
pub struct Bench {
    decoder: Box<dyn Decoder>,
    fields: Fields,
    verdicts: Verdicts,
}

impl Bench {
    pub fn new(decoder: Box<dyn Decoder>) -> Bench {
        Bench { decoder, fields: Fields::default(), verdicts: Verdicts::default() }
    }
}

/// One lane's records.
pub struct Judge {
    pub lane: Lane,
    /// Records of the log that are judged.
    pub records: u64,
    /// Left out by today's rules, without row or dead letter.
    pub skipped: u64,
    /// Set aside by an operator.
    pub holes: u64,
    /// From before the pipeline began to read the lane.
    pub before: u64,
    /// Neither row nor dead letter, and nothing here explains why; [`super::totals`] may.
    pub missing: Named,
    pub doubled: Named,
    pub phantom: Named,
    /// Entries whose record retention took away meanwhile.
    pub gone: u64,
    /// Entries without a record in a log that may be compacted.
    pub unknown: u64,

    overlap: Overlap,
    compacts: Option<bool>,
    ranges: Vec<(i64, i64)>,
    /// Nothing below has a disposition.
    least: i64,
    /// Records that can be from before the beginning, at most.
    early: u64,
    windows: BTreeSet<i64>,
    /// The window of the last record, and whether it is looked at.
    last: (i64, bool),
    expected: BTreeMap<i64, Entry>,
    pending: Batch,
}

impl Judge {
    /// `records` is what the log holds, `least` the lowest offset that has a disposition.
    pub fn new(scope: &Scope, scene: &Scene, records: u64, least: Option<i64>) -> Judge {
        let disposed = scene.standing.map_or(0, |s| u64::try_from(s.total()).unwrap_or(0));
        // More records than were ever disposed of: the first ones may be older than the pipeline (`kafka.start_from`).
        let early = if scope.narrowed || scene.rewound.is_some() { u64::MAX } else { records.saturating_sub(disposed) };
        Judge {
            lane: scene.lane,
            records,
            skipped: 0,
            holes: 0,
            before: 0,
            missing: Named::default(),
            doubled: Named::default(),
            phantom: Named::default(),
            gone: 0,
            unknown: 0,
            overlap: scope.overlap,
            compacts: scene.compacts,
            ranges: scene.holes.clone(),
            least: least.unwrap_or(i64::MAX),
            early,
            windows: BTreeSet::new(),
            last: (i64::MIN, false),
            expected: BTreeMap::new(),
            pending: Batch::default(),
        }
    }

    /// A window is to be looked at.
    pub fn open(&mut self, window: i64) {
        self.windows.insert(window);
    }

    pub fn is_open(&self) -> bool {
        !self.windows.is_empty()
    }

    /// The tables hold this of a record.
    pub fn expect(&mut self, offset: i64, entry: Entry) {
        self.expected.insert(offset, entry);
    }

    /// A record passes.
    pub fn see(&mut self, seen: &Seen<'_>, bench: &mut Bench) {
        let (offset, window) = (seen.offset, window_of(seen.offset));
        if self.last.0 != window {
            self.last = (window, self.windows.contains(&window));
        }
        if !self.last.1 {
            return;
        }
        let entry = self.expected.remove(&offset).unwrap_or_default();
        if is_doubled(entry) {
            self.doubled.push(offset);
        }
        if self.is_disposed(entry) {
            return;
        }
        if self.ranges.iter().any(|(from, to)| (*from..*to).contains(&offset)) {
            self.holes += 1;
            return;
        }
        seen.copy_into(&mut self.pending);
        if self.pending.records.len() >= BATCH_RECORDS || self.pending.bytes.len() >= BATCH_BYTES {
            self.decide(bench);
        }
    }

    /// A replayed dead letter is a row by now, unless the table lets rows go.
    fn is_disposed(&self, entry: Entry) -> bool {
        let kept = entry.rows + entry.open + entry.closed > 0;
        kept || entry.replayed > 0 && self.overlap != Overlap::Never
    }

    /// Asks the decoder whether the records without a disposition are those that the rules leave out.
    fn decide(&mut self, bench: &mut Bench) {
        let batch = std::mem::take(&mut self.pending);
        bench.verdicts.reset(batch.records.len());
        bench.decoder.decode(&batch, &mut bench.fields, &mut bench.verdicts);
        for (record, verdict) in batch.records.iter().zip(&bench.verdicts.of) {
            if matches!(verdict, Verdict::Skip(_)) {
                self.skipped += 1;
            } else if record.offset < self.least && self.before < self.early {
                self.before += 1;
            } else {
                self.missing.push(record.offset);
            }
        }
    }

    /// Whether the tables hold something whose record did not pass.
    pub fn has_leftovers(&self) -> bool {
        !self.expected.is_empty()
    }

    /// All records of the open windows have passed; `first` is the log's beginning by now.
    pub fn close(&mut self, first: i64, bench: &mut Bench) {
        self.decide(bench);
        for offset in std::mem::take(&mut self.expected).into_keys() {
            match self.compacts {
                _ if offset < first => self.gone += 1,
                Some(false) => self.phantom.push(offset),
                _ => self.unknown += 1,
            }
        }
        self.windows.clear();
        self.last = (i64::MIN, false);
    }
}

/// Two rows, a row beside an open dead letter, or two open dead letters.
fn is_doubled(entry: Entry) -> bool {
    entry.rows + entry.open > 1
}
