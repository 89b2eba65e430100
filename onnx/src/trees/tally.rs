//! What the leaves of a row add up to, in onnxruntime's order: tree after tree, weight after weight, in the type of the input.

use crate::bad;
use crate::error::OpError;
use crate::trees::ensemble::Ensemble;
use crate::trees::ensemble::Leaves;
use crate::trees::fast::Sink;
use crate::trees::real::Real;

/// How the leaves of one output become a score.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aggregate {
    Average,
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    /// # Errors
    /// If ONNX does not define the text.
    pub fn parse(name: &str) -> Result<Aggregate, OpError> {
        Ok(match name {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            _ => bad!("attribute `aggregate_function` is not known"),
        })
    }

    /// The number that TreeEnsemble 5 uses.
    ///
    /// # Errors
    /// If ONNX does not define it.
    pub fn number(code: i64) -> Result<Aggregate, OpError> {
        use Aggregate::*;
        match [Average, Sum, Min, Max].get(usize::try_from(code).unwrap_or(usize::MAX)) {
            Some(aggregate) => Ok(*aggregate),
            None => bad!("aggregate_function {code} is not known"),
        }
    }

    fn adds(self) -> bool {
        matches!(self, Aggregate::Sum | Aggregate::Average)
    }
}

/// Most numbers of a dense table of weights: 256 MiB of `f32`.
const DENSE_MAX: usize = 1 << 26;

/// The weights of the leaves in the form that suits the aggregate.
#[derive(Debug)]
pub enum Weights<T> {
    /// A sum of one output: a weight for each leaf.
    One(Vec<T>),
    /// Sums of several outputs of which only one gets weights, as two classes are exported: a weight for each leaf.
    Only { output: usize, weights: Vec<T> },
    /// Sums of several outputs, each leaf with one weight at most: (output, weight) for each leaf.
    Each(Vec<(u32, T)>),
    /// Sums of several outputs: `padded` weights for each leaf.
    Dense { padded: usize, weights: Vec<T> },
    /// Anything else, weight by weight, which also says which outputs got one.
    Sparse,
}

/// How an ensemble's leaves are tallied.
#[derive(Debug)]
pub struct Tally<T> {
    pub aggregate: Aggregate,
    pub outputs: usize,
    pub weights: Weights<T>,
    /// Whether whoever reads the scores asks which outputs a row has weights for.
    pub told: bool,
    /// Outputs that every row gets a weight for; only read with weights that are not sparse.
    scored: Vec<bool>,
}

/// The tallies of some rows.
#[derive(Debug, Default)]
pub struct Scores<T> {
    values: Vec<T>,
    has: Vec<bool>,
    stride: usize,
}

impl<T: Real> Tally<T> {
    /// `told`: whoever reads the scores asks which outputs a row has weights for, as a classifier does.
    pub fn new(ensemble: &Ensemble<T>, aggregate: Aggregate, told: bool) -> Tally<T> {
        let (outputs, leaves) = (ensemble.outputs, &ensemble.leaves);
        let padded = if outputs == 1 { 1 } else { outputs.next_multiple_of(4) };
        let scored = scored(ensemble);
        let clear = !told || {
            let mut any = vec![false; outputs];
            leaves.entries().iter().for_each(|e| any[e.output as usize] = true);
            any == scored
        };
        let filled = leaves.entries().len().saturating_mul(4);
        let fits = leaves.count().checked_mul(padded).is_some_and(|n| n <= DENSE_MAX && (outputs == 1 || n <= filled));
        let each = || (0..leaves.count()).map(|leaf| leaves.of(leaf));
        let weights = if !aggregate.adds() || !clear {
            Weights::Sparse
        } else if let (true, Some(output)) = (outputs > 1 && each().all(|e| e.len() <= 1), only(leaves)) {
            let weights = each().map(|e| e.first().map_or(T::ZERO, |e| e.weight)).collect();
            Weights::Only { output, weights }
        } else if outputs > 1 && each().all(|e| e.len() <= 1) {
            Weights::Each(each().map(|e| e.first().map_or((0, T::ZERO), |e| (e.output, e.weight))).collect())
        } else if fits && !repeats(leaves) {
            let mut weights = vec![T::ZERO; leaves.count() * padded];
            for (leaf, weights) in weights.chunks_exact_mut(padded).enumerate() {
                leaves.of(leaf).iter().for_each(|e| weights[e.output as usize] = e.weight);
            }
            if outputs == 1 { Weights::One(weights) } else { Weights::Dense { padded, weights } }
        } else {
            Weights::Sparse
        };
        Tally { aggregate, outputs, weights, told, scored }
    }

    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::One(weights) | Weights::Only { weights, .. } | Weights::Dense { weights, .. } => {
                size_of_val(&weights[..])
            }
            Weights::Each(weights) => size_of_val(&weights[..]),
            Weights::Sparse => 0,
        }
    }

    /// Makes room for `count` rows.
    pub fn start(&self, count: usize, scores: &mut Scores<T>) {
        scores.stride = if let Weights::Dense { padded, .. } = self.weights { padded } else { self.outputs };
        scores.values.clear();
        scores.values.resize(count * scores.stride, T::ZERO);
        scores.has.clear();
        match self.weights {
            Weights::Sparse => scores.has.resize(count * self.outputs, false),
            _ => scores.has.extend_from_slice(&self.scored),
        }
    }

    /// Scores of a row, and for each output whether a leaf had a weight for it.
    pub fn row<'a>(&self, scores: &'a mut Scores<T>, row: usize) -> (&'a mut [T], &'a [bool]) {
        let has = if matches!(self.weights, Weights::Sparse) { row * self.outputs } else { 0 };
        (&mut scores.values[row * scores.stride..][..self.outputs], &scores.has[has..][..self.outputs])
    }

    /// Walks with the sink that suits the weights.
    pub fn fill(&self, leaves: &Leaves<T>, scores: &mut Scores<T>, walk: impl Walk) {
        let values = &mut scores.values[..];
        match &self.weights {
            Weights::One(weights) => walk.run(&mut One { weights, values, stride: 1, output: 0 }),
            Weights::Only { output, weights } => {
                walk.run(&mut One { weights, values, stride: self.outputs, output: *output })
            }
            Weights::Each(weights) => walk.run(&mut Each { weights, values, outputs: self.outputs }),
            Weights::Dense { padded: 4, weights } => walk.run(&mut Dense::<T, 4> { weights, values, padded: 4 }),
            Weights::Dense { padded: 8, weights } => walk.run(&mut Dense::<T, 8> { weights, values, padded: 8 }),
            Weights::Dense { padded, weights } => walk.run(&mut Dense::<T, 0> { weights, values, padded: *padded }),
            Weights::Sparse => walk.run(&mut Sparse {
                leaves,
                values,
                has: &mut scores.has,
                outputs: self.outputs,
                aggregate: self.aggregate,
            }),
        }
    }
}

/// A walk over some rows; a closure cannot take sinks of several types.
pub trait Walk {
    fn run(self, sink: &mut impl Sink);
}

/// Outputs that every leaf of some tree has a weight for.
fn scored<T: Real>(ensemble: &Ensemble<T>) -> Vec<bool> {
    let mut all = vec![false; ensemble.outputs];
    let mut seen = vec![false; ensemble.nodes.len()];
    for root in &ensemble.roots {
        let (mut leaves, mut stack) = (vec![], vec![*root]);
        while let Some(i) = stack.pop() {
            if std::mem::replace(&mut seen[i as usize], true) {
                continue;
            }
            let node = &ensemble.nodes[i as usize];
            if node.is_leaf() {
                leaves.push(node.index);
            } else {
                stack.extend([node.yes, node.no]);
            }
        }
        leaves.sort_unstable();
        leaves.dedup();
        let mut count: Vec<(u32, u32)> = vec![];
        for leaf in &leaves {
            count.extend(ensemble.leaves.of(*leaf as usize).iter().map(|e| (e.output, *leaf)));
        }
        count.sort_unstable();
        count.dedup();
        for outputs in count.chunk_by(|a, b| a.0 == b.0) {
            all[outputs[0].0 as usize] |= outputs.len() == leaves.len();
        }
    }
    all
}

/// The output that all weights are of, if there is one.
fn only<T: Real>(leaves: &Leaves<T>) -> Option<usize> {
    let output = leaves.entries().first()?.output;
    leaves.entries().iter().all(|e| e.output == output).then_some(output as usize)
}

/// Whether some leaf has two weights for one output: their order in the sum is told by the entries alone.
fn repeats<T: Real>(leaves: &Leaves<T>) -> bool {
    (0..leaves.count()).any(|leaf| {
        let mut outputs: Vec<u32> = leaves.of(leaf).iter().map(|e| e.output).collect();
        outputs.sort_unstable();
        outputs.windows(2).any(|w| w[0] == w[1])
    })
}

/// The output that all weights are of; the only one, or one of `stride`.
struct One<'a, T> {
    weights: &'a [T],
    values: &'a mut [T],
    stride: usize,
    output: usize,
}

impl<T: Real> Sink for One<'_, T> {
    #[inline(always)]
    fn add(&mut self, row: usize, leaf: u32) {
        self.values[row * self.stride + self.output] += self.weights[leaf as usize];
    }

    #[inline(always)]
    fn add_all(&mut self, row: usize, leaves: impl Iterator<Item = u32>) {
        // a sum in memory would be stored and loaded again for every tree
        let value = &mut self.values[row * self.stride + self.output];
        let mut sum = *value;
        leaves.for_each(|leaf| sum += self.weights[leaf as usize]);
        *value = sum;
    }
}

struct Each<'a, T> {
    weights: &'a [(u32, T)],
    values: &'a mut [T],
    outputs: usize,
}

impl<T: Real> Sink for Each<'_, T> {
    #[inline(always)]
    fn add(&mut self, row: usize, leaf: u32) {
        let (output, weight) = self.weights[leaf as usize];
        self.values[row * self.outputs + output as usize] += weight;
    }
}

/// `N` is the number of weights of a leaf, if it is known when compiled; 0 otherwise.
struct Dense<'a, T, const N: usize> {
    weights: &'a [T],
    values: &'a mut [T],
    padded: usize,
}

impl<T: Real, const N: usize> Sink for Dense<'_, T, N> {
    #[inline(always)]
    fn add(&mut self, row: usize, leaf: u32) {
        let n = if N == 0 { self.padded } else { N };
        let values = self.values[row * n..][..n].chunks_exact_mut(4);
        let weights = self.weights[leaf as usize * n..][..n].chunks_exact(4);
        for (values, weights) in values.zip(weights) {
            values.iter_mut().zip(weights).for_each(|(v, w)| *v += *w);
        }
    }

    #[inline(always)]
    fn add_all(&mut self, row: usize, leaves: impl Iterator<Item = u32>) {
        if N == 0 {
            return leaves.for_each(|leaf| self.add(row, leaf));
        }
        let values = &mut self.values[row * N..][..N];
        let mut sums = [T::ZERO; N];
        sums.copy_from_slice(values);
        for leaf in leaves {
            let weights = &self.weights[leaf as usize * N..][..N];
            sums.iter_mut().zip(weights).for_each(|(s, w)| *s += *w);
        }
        values.copy_from_slice(&sums);
    }
}

struct Sparse<'a, T> {
    leaves: &'a Leaves<T>,
    values: &'a mut [T],
    has: &'a mut [bool],
    outputs: usize,
    aggregate: Aggregate,
}

impl<T: Real> Sink for Sparse<'_, T> {
    fn add(&mut self, row: usize, leaf: u32) {
        for entry in self.leaves.of(leaf as usize) {
            let at = row * self.outputs + entry.output as usize;
            let (value, weight) = (&mut self.values[at], entry.weight);
            let first = !std::mem::replace(&mut self.has[at], true);
            match self.aggregate {
                Aggregate::Sum | Aggregate::Average => *value += weight,
                Aggregate::Min if first || weight < *value => *value = weight,
                Aggregate::Max if first || weight > *value => *value = weight,
                Aggregate::Min | Aggregate::Max => {}
            }
        }
    }
}
