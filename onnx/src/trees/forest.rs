//! An ensemble with the walks that suit it: laid out and checked when it is loaded, chosen by the number of rows when it runs.

use crate::cpu;
use crate::cpu::Level;
use crate::error::OpError;
use crate::trees::cuts::Cuts;
use crate::trees::ensemble::Ensemble;
use crate::trees::fast::Sink;
use crate::trees::fast::blocks;
use crate::trees::fast::blocks::Blocks;
use crate::trees::fast::flat::Cell;
use crate::trees::fast::flat::Flat;
use crate::trees::fast::flat::Large;
use crate::trees::fast::lanes;
use crate::trees::fast::lanes::Lanes;
use crate::trees::naive;
use crate::trees::probes;
use crate::trees::real::Real;
use crate::trees::tally::Aggregate;
use crate::trees::tally::Scores;
use crate::trees::tally::Tally;
use crate::trees::tally::Walk;

/// A matrix, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    pub values: &'a [T],
    pub width: usize,
    pub count: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `count` rows from `from` on, or as many as there are.
    fn part(&self, from: usize, count: usize) -> Rows<'a, T> {
        let count = count.min(self.count - from);
        Rows { values: &self.values[from * self.width..][..count * self.width], width: self.width, count }
    }
}

/// What a thread needs to run forests: grows to the largest call, then stays.
#[derive(Debug, Default)]
pub struct Scratch<T> {
    pub scores: Scores<T>,
    room: Room<T>,
}

/// What the walks need.
#[derive(Debug, Default)]
struct Room<T> {
    wide: Vec<T>,
    blocks: blocks::Room,
    lanes: lanes::Room,
}

/// A way from rows to leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    Naive,
    /// Cells of the smallest kind.
    Narrow,
    /// Cells of the other kind.
    Wide,
    /// Blocks of rows, in front of narrow or wide cells.
    Blocks,
    /// All branches of a tree at once, in front of narrow or wide cells.
    Lanes,
}

impl Path {
    /// Fastest last.
    pub const ALL: [Path; 5] = [Path::Naive, Path::Wide, Path::Narrow, Path::Blocks, Path::Lanes];
}

/// The layouts of an ensemble.
#[derive(Debug)]
struct Layouts<T: Real> {
    narrow: Option<Flat<T, T::Narrow>>,
    wide: Option<Flat<T, Large<T>>>,
    blocks: Option<Blocks<T>>,
    /// Rows from which on blocks are faster.
    least: Option<usize>,
    lanes: Option<Lanes<T>>,
    /// Whether lanes are faster than all else.
    pay: bool,
}

#[derive(Debug)]
pub struct Forest<T: Real> {
    ensemble: Ensemble<T>,
    tally: Tally<T>,
    layouts: Layouts<T>,
    notes: Vec<String>,
}

impl<T: Real> Default for Layouts<T> {
    fn default() -> Layouts<T> {
        Layouts { narrow: None, wide: None, blocks: None, least: None, lanes: None, pay: false }
    }
}

impl<T: Real> Layouts<T> {
    fn new(ensemble: &Ensemble<T>) -> Layouts<T> {
        let mut out = Layouts::default();
        let Ok(cuts) = Cuts::new(ensemble) else { return out };
        if let Some((flat, cells)) = Flat::new(&cuts) {
            out.lay(&cuts, &flat, &cells);
            out.narrow = Some(flat);
        } else if let Some((flat, cells)) = Flat::new(&cuts) {
            out.lay(&cuts, &flat, &cells);
            out.wide = Some(flat);
        }
        out
    }

    fn lay<C: Cell<T>>(&mut self, cuts: &Cuts<T>, flat: &Flat<T, C>, cells: &[u32]) {
        let level = cpu::level();
        if level >= Level::Avx512 {
            self.lanes = Lanes::new(cuts, flat, cells);
            self.pay = self.lanes.as_ref().is_some_and(|lanes| lanes.pays(flat));
        }
        self.blocks = Blocks::new(cuts, flat, cells);
        self.least = self.blocks.as_ref().filter(|_| level >= Level::Avx2).and_then(|b| b.least(flat));
    }
}

impl<T: Real> Forest<T> {
    /// `told`: whoever reads the scores asks which outputs a row has weights for.
    pub fn new(ensemble: Ensemble<T>, aggregate: Aggregate, told: bool) -> Forest<T> {
        let tally = Tally::new(&ensemble, aggregate, told);
        let layouts = Layouts::new(&ensemble);
        let mut forest = Forest { ensemble, tally, layouts, notes: vec![] };
        forest.check();
        // tests walk every way, whatever is faster
        let layouts = &mut forest.layouts;
        if !cfg!(test) {
            layouts.lanes = layouts.lanes.take().filter(|_| layouts.pay);
            let needed = layouts.least.is_some() && layouts.lanes.is_none();
            layouts.blocks = layouts.blocks.take().filter(|_| needed);
        }
        forest
    }

    /// Compares every way with the naive walk on rows around the thresholds, and gives up those that differ.
    fn check(&mut self) {
        let (values, width) = probes::rows(&self.ensemble);
        let rows = Rows { values: &values, width, count: values.len() / width };
        let expected = self.leaves(&rows, Path::Naive);
        let trees = self.ensemble.roots.len();
        for path in [Path::Lanes, Path::Blocks, Path::Narrow, Path::Wide] {
            let agrees = |batch: usize, most: usize| {
                (0..rows.count.min(most)).step_by(batch).all(|from| {
                    let some = rows.part(from, batch);
                    self.leaves(&some, path) == expected[from * trees..][..some.count * trees]
                })
            };
            // few rows at once take code of their own
            if self.has(path) && !(agrees(rows.count, usize::MAX) && agrees(6, 12) && agrees(1, 2)) {
                self.notes
                    .push(format!("the {path:?} walk differs from the definition on this machine and is not used"));
                match path {
                    Path::Lanes => self.layouts.lanes = None,
                    Path::Blocks => self.layouts.blocks = None,
                    _ => self.layouts = Layouts::default(),
                }
            }
        }
    }

    pub fn ensemble(&self) -> &Ensemble<T> {
        &self.ensemble
    }

    pub fn tally(&self) -> &Tally<T> {
        &self.tally
    }

    /// Whether the ensemble is laid out for this way.
    pub fn has(&self, path: Path) -> bool {
        match path {
            Path::Naive => true,
            Path::Narrow => self.layouts.narrow.is_some(),
            Path::Wide => self.layouts.wide.is_some(),
            Path::Blocks => self.layouts.blocks.is_some(),
            Path::Lanes => self.layouts.lanes.is_some(),
        }
    }

    /// The way that so many rows take.
    pub fn path(&self, count: usize) -> Path {
        if self.layouts.lanes.is_some() && self.layouts.pay {
            Path::Lanes
        } else if self.layouts.blocks.is_some() && self.layouts.least.is_some_and(|least| count >= least) {
            Path::Blocks
        } else if self.layouts.narrow.is_some() {
            Path::Narrow
        } else if self.layouts.wide.is_some() {
            Path::Wide
        } else {
            Path::Naive
        }
    }

    /// The ways that are taken, and what the check at load found.
    pub fn notes(&self) -> Vec<String> {
        let mut walks = match self.path(1) {
            Path::Naive => "the naive walk".to_string(),
            Path::Lanes => "registers of AVX-512".to_string(),
            path => format!("{path:?} cells").to_lowercase(),
        };
        if let (Some(least), true) = (self.layouts.least, self.has(Path::Blocks)) {
            walks = format!("{walks}, from {least} rows on in blocks by AVX2");
        }
        [vec![format!("{} trees by {walks}", self.ensemble.roots.len())], self.notes.clone()].concat()
    }

    /// Memory of the trees in all forms.
    pub fn bytes(&self) -> usize {
        let e = &self.ensemble;
        let l = &self.layouts;
        size_of_val(&e.nodes[..])
            + size_of_val(e.leaves.entries())
            + self.tally.bytes()
            + l.narrow.as_ref().map_or(0, Flat::bytes)
            + l.wide.as_ref().map_or(0, Flat::bytes)
            + l.blocks.as_ref().map_or(0, Blocks::bytes)
            + l.lanes.as_ref().map_or(0, Lanes::bytes)
    }

    /// Thresholds and leaf weights: what training chose.
    pub fn parameters(&self) -> usize {
        self.ensemble.nodes.iter().filter(|n| !n.is_leaf()).count() + self.ensemble.weights
    }

    /// Tallies the rows into `scratch.scores`.
    ///
    /// # Errors
    /// If the rows are narrower than the features that the trees use.
    pub fn run(&self, rows: &Rows<'_, T>, scratch: &mut Scratch<T>) -> Result<(), OpError> {
        self.run_by(self.path(rows.count), rows, scratch)
    }

    /// As [`Forest::run`], by a way that [`Forest::has`].
    ///
    /// # Errors
    /// As [`Forest::run`].
    pub fn run_by(&self, path: Path, rows: &Rows<'_, T>, scratch: &mut Scratch<T>) -> Result<(), OpError> {
        if rows.width < self.ensemble.features || rows.values.len() != rows.count * rows.width {
            let features = self.ensemble.features;
            return Err(OpError::bad(format!("the trees use {features} features, the rows have {}", rows.width)));
        }
        self.tally.start(rows.count, &mut scratch.scores);
        let Scratch { scores, room } = scratch;
        self.tally.fill(&self.ensemble.leaves, scores, Way { forest: self, path, rows, room });
        Ok(())
    }

    /// The leaf of each row and tree.
    ///
    /// # Panics
    /// If the rows are narrower than the features that the trees use.
    pub fn leaves(&self, rows: &Rows<'_, T>, path: Path) -> Vec<u32> {
        let mut all = Collect { leaves: vec![vec![]; rows.count] };
        Way { forest: self, path, rows, room: &mut Room::default() }.run(&mut all);
        all.leaves.concat()
    }
}

struct Collect {
    leaves: Vec<Vec<u32>>,
}

impl Sink for Collect {
    fn add(&mut self, row: usize, leaf: u32) {
        self.leaves[row].push(leaf);
    }
}

/// A walk by one of the ways.
struct Way<'a, T: Real> {
    forest: &'a Forest<T>,
    path: Path,
    rows: &'a Rows<'a, T>,
    room: &'a mut Room<T>,
}

impl<T: Real> Walk for Way<'_, T> {
    fn run(self, sink: &mut impl Sink) {
        let layouts = &self.forest.layouts;
        match (self.path, &layouts.narrow, &layouts.wide) {
            (Path::Naive, _, _) | (_, None, None) => {
                for row in 0..self.rows.count {
                    let (values, ensemble) = (self.rows.part(row, 1).values, &self.forest.ensemble);
                    let leaves = ensemble.roots.iter().map(|r| naive::leaf(ensemble, *r, values));
                    leaves.for_each(|leaf| sink.add(row, leaf));
                }
            }
            (_, Some(flat), _) => self.fast(flat, sink),
            (_, None, Some(flat)) => self.fast(flat, sink),
        }
    }
}

impl<T: Real> Way<'_, T> {
    fn fast<C: Cell<T>>(self, flat: &Flat<T, C>, sink: &mut impl Sink) {
        let Way { forest, path, rows, room } = self;
        let (layouts, features, count) = (&forest.layouts, forest.ensemble.features, rows.count);
        if let (Path::Lanes, Some(lanes)) = (path, &layouts.lanes) {
            let needed = if lanes.descends() { flat.width() } else { 0 };
            let (values, stride) = laid(rows, features, needed, &mut room.wide);
            return lanes.walk(&lanes::walk::Rows { flat, values, stride, count }, &mut room.lanes, sink);
        }
        let (values, stride) = laid(rows, features, flat.width(), &mut room.wide);
        match &layouts.blocks {
            Some(blocks) if path == Path::Blocks => {
                // tests and the check at load want blocks of any size
                let least = layouts.least.filter(|least| count >= *least).unwrap_or(0);
                blocks.walk(flat, values, stride, count, least, &mut room.blocks, sink);
            }
            _ => flat.walk(values, stride, 0..count, sink),
        }
    }
}

/// Rows as the flat layout wants them: as they are, or followed by themselves with NaN as minus infinity.
fn laid<'a, T: Real>(rows: &Rows<'a, T>, features: usize, needed: usize, wide: &'a mut Vec<T>) -> (&'a [T], usize) {
    if needed <= features {
        return (rows.values, rows.width);
    }
    // every value is written below
    wide.resize(rows.count * needed, T::ZERO);
    for (row, out) in rows.values.chunks_exact(rows.width).zip(wide.chunks_exact_mut(needed)) {
        let (plain, low) = out.split_at_mut(features);
        for ((x, plain), low) in row.iter().zip(plain).zip(low) {
            *plain = *x;
            *low = if x.is_nan() { T::NEG_INFINITY } else { *x };
        }
    }
    (&wide[..rows.count * needed], needed)
}
