//! All branches of a tree at once: the ranks of a row fill one or two registers, one shuffle fetches those that 64 nodes look
//! at, and one comparison gives their 64 answers as bits. The walk through them is arithmetic on whole numbers, for 8 or 16
//! rows, or 8 trees of one row, together; its steps touch no memory.
//!
//! Two layouts: [`perfect`] for trees by depth, [`small`] for trees of few leaves and any shape. What lies deeper than the
//! upper levels is walked by [`super::flat`]. Needs AVX-512 with byte shuffles (Ice Lake, Zen 4 and later).
//!
//! Sources: comparing many nodes of a tree at once and walking the bits is FAST (Kim et al., SIGMOD 2010), there with a few
//! nodes a block; answers as one word a tree, and small leaves found by masks, are QuickScorer (Lucchese et al., SIGIR 2015);
//! ranks in bytes are RapidScorer (Ye et al., KDD 2018). Holding the row in a register so that one shuffle serves 64 nodes, and
//! stepping by rotate and funnel shift, is our own.

mod perfect;
mod program;
mod ranks;
#[cfg(target_arch = "x86_64")]
mod simd;
mod small;
#[cfg(test)]
mod tests;
pub mod walk;

use crate::trees::cuts::Cuts;
use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::Flat;
use crate::trees::fast::lanes::perfect::Perfect;
use crate::trees::fast::lanes::program::Line;
use crate::trees::fast::lanes::ranks::Ranks;
use crate::trees::fast::lanes::small::Small;
use crate::trees::real::Real;
pub use program::Kind;

/// Trees whose answers are kept before they are walked: loads must not overtake the stores that they depend on.
const TREES: usize = 16;
/// Rows of a group.
const ROWS: usize = 16;
/// Rows that pass through some trees before the next trees are looked at.
const BLOCK: usize = 64;

/// Leaves, or places in the upper part of a tree: `[tree][row]`.
type Found = [[u32; ROWS]; TREES];
/// Answers of the branches of some trees: `[tree][word][row]`, or for a single row `[_][word][tree]`.
type Answers = [[[u64; ROWS]; perfect::WORDS]; TREES];

/// An ensemble laid out for registers of 64 bytes.
#[derive(Debug)]
pub struct Lanes<T> {
    ranks: Ranks<T>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Perfect(Perfect),
    Small(Small),
}

/// What a walk needs beside the model.
#[derive(Debug)]
pub struct Room {
    /// Ranks of a block of rows.
    rows: Vec<Line>,
    answers: Box<Answers>,
    found: Box<Found>,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            rows: vec![],
            answers: Box::new([[[0; ROWS]; perfect::WORDS]; TREES]),
            found: Box::new([[0; ROWS]; TREES]),
        }
    }
}

impl<T: Real> Lanes<T> {
    /// `cells` says where in `flat` the nodes are. `None` if the processor lacks the instructions, the ranks of a row do not
    /// fit two registers, the trees share nodes in a way that [`Flat`] does not follow, or the layout would take far more
    /// memory than they do.
    pub fn new<C: Cell<T>>(cuts: &Cuts<T>, flat: &Flat<T, C>, cells: &[u32]) -> Option<Lanes<T>> {
        Kind::ALL.into_iter().find_map(|kind| Lanes::of_kind(kind, cuts, flat, cells))
    }

    /// As [`Lanes::new`], with ranks of one kind.
    fn of_kind<C: Cell<T>>(kind: Kind, cuts: &Cuts<T>, flat: &Flat<T, C>, cells: &[u32]) -> Option<Lanes<T>> {
        if !available() {
            return None;
        }
        let ranks = Ranks::new(cuts, kind)?;
        let most = 8 * flat.bytes() + (1 << 16);
        let form = match Small::new(cuts, &ranks, most) {
            Some(small) => Form::Small(small),
            None => Form::Perfect(Perfect::new(cuts, &ranks, flat, cells, most)?),
        };
        Some(Lanes { ranks, form })
    }

    pub fn bytes(&self) -> usize {
        self.ranks.bytes()
            + match &self.form {
                Form::Perfect(perfect) => perfect.bytes(),
                Form::Small(small) => small.bytes(),
            }
    }

    /// Whether rows must be as [`Flat::walk`] wants them; else the features are enough.
    pub fn descends(&self) -> bool {
        matches!(&self.form, Form::Perfect(perfect) if perfect.deep)
    }

    /// Whether this is faster than `flat` and blocks. In steps of a portable walk: the rank of a column costs two, a register
    /// of branches one and a half, and what is left of a tree as much as there.
    pub fn pays<C: Cell<T>>(&self, flat: &Flat<T, C>) -> bool {
        let (registers, rest) = match &self.form {
            Form::Perfect(perfect) => (perfect.words * perfect.rest.len(), perfect.rest.iter().sum::<u32>() as usize),
            Form::Small(small) => (small.trees.div_ceil(2), 0),
        };
        2 * self.ranks.count() + registers * 3 / 2 + rest < flat.steps()
    }
}

/// Whether the processor has the instructions.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return simd::available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}
