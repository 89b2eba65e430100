//! Products of float32 matrices with the right side prepared once, and what follows them in a dense layer.

pub mod activation;
pub mod batch;
pub mod plain;
#[allow(unsafe_code)]
mod simd;
pub mod spare;
#[cfg(test)]
mod tests;

use crate::dense::activation::Activation;
pub use crate::dense::simd::Isa;
use crate::dense::simd::Job;
pub use crate::dense::simd::Start;
use crate::dense::simd::sweep;
use crate::limits;

/// Depth that is summed before the output is touched; the same as in onnxruntime with prepared weights, whose sums it keeps.
const DEPTH: usize = 256;
/// Rows whose part of the left side stays in the second-level cache while all columns pass.
const ROWS: usize = 192;
/// Columns of half a panel at most.
const WIDEST: usize = 16;
/// Rows from which copying the right side into panels pays.
const PACKED_ROWS: usize = 12;

/// The right side of a product, `[k, n]`, in panels of columns.
#[derive(Debug, Clone)]
pub struct Weights {
    isa: Isa,
    k: usize,
    n: usize,
    depth: usize,
    /// Full panels, each `[k, columns]`, then the last one with its padding.
    panels: Vec<f32>,
}

impl Weights {
    /// From `b`, row-major `[k, n]`, or `[n, k]` if `transposed`.
    ///
    /// # Panics
    /// If `b` is shorter than that.
    pub fn new(b: &[f32], k: usize, n: usize, transposed: bool) -> Weights {
        Weights::with(Isa::best(), b, k, n, transposed)
    }

    pub(crate) fn with(isa: Isa, b: &[f32], k: usize, n: usize, transposed: bool) -> Weights {
        let columns = isa.columns();
        let full = n / columns * columns;
        let mut panels = Vec::with_capacity(k * (full + tail_columns(isa, n)));
        // without rows there is nothing to copy, however many columns are declared
        let copied = if k == 0 { 0 } else { n };
        for first in (0..full.min(copied)).step_by(columns) {
            pack(b, (k, n), transposed, (first, columns, columns), &mut panels);
        }
        if full < copied {
            pack(b, (k, n), transposed, (full, n - full, tail_columns(isa, n)), &mut panels);
        }
        Weights { isa, k, n, depth: DEPTH, panels }
    }

    /// The same weights, with sums that touch the output after every `depth` numbers: onnxruntime takes another depth for
    /// weights that it does not prepare.
    ///
    /// # Panics
    /// If the depth is 0.
    pub fn summed_by(self, depth: usize) -> Weights {
        assert_ne!(depth, 0, "nothing would be summed up");
        Weights { depth, ..self }
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.panels.as_slice())
    }

    /// `out = activation(start + alpha * a x self)`, with `a` row-major `[m, k]` and `out` `[m, n]`.
    ///
    /// # Panics
    /// If `a` is shorter than `out` wants, or `start` is a row of fewer than `n`.
    pub fn multiply(&self, a: &[f32], out: &mut [f32], start: Start<'_>, alpha: f32, activation: Activation) {
        let split = self.k * (self.n / self.isa.columns() * self.isa.columns());
        let right = Right {
            panels: &self.panels[..split],
            ldb: self.isa.columns(),
            panel: self.k * self.isa.columns(),
            tail: &self.panels[split..],
            depth: self.depth,
        };
        right.multiply((self.isa, self.k, self.n), a, out, start, (alpha, activation));
    }
}

/// A product whose right side is new each time: `out = start + alpha * a x b`, all row-major.
///
/// # Panics
/// If a slice is too short.
pub fn multiply(a: &[f32], b: &[f32], (k, n): (usize, usize), out: &mut [f32], start: Start<'_>, alpha: f32) {
    if !is_packable(k, n) {
        let mut sums = vec![0.0; out.len()];
        plain::multiply(a, b, (k, n), &mut sums);
        return start.finish(sums, out, alpha);
    }
    let isa = Isa::best();
    if n == 0 || out.len() / n >= PACKED_ROWS {
        return Weights::with(isa, b, k, n, false).multiply(a, out, start, alpha, Activation::None);
    }
    let columns = isa.columns();
    let full = n / columns * columns;
    let mut tail = vec![];
    if full < n {
        pack(b, (k, n), false, (full, n - full, tail_columns(isa, n)), &mut tail);
    }
    let right = Right { panels: b, ldb: n, panel: columns, tail: &tail, depth: DEPTH };
    right.multiply((isa, k, n), a, out, start, (alpha, Activation::None));
}

/// Whether a right side in panels stays within the bounds for a tensor: a single column is padded to many.
pub fn is_packable(k: usize, n: usize) -> bool {
    n.checked_next_multiple_of(WIDEST).and_then(|n| n.checked_mul(k)).is_some_and(|len| len <= limits::TENSOR_BYTES / 4)
        || n >= WIDEST
}

impl Start<'_> {
    /// Adds `alpha` times the sums to it.
    fn finish(self, sums: Vec<f32>, out: &mut [f32], alpha: f32) {
        let sums = sums.into_iter().map(|x| x * alpha);
        match self {
            Start::Zero => out.iter_mut().zip(sums).for_each(|(o, x)| *o = x),
            Start::Output => out.iter_mut().zip(sums).for_each(|(o, x)| *o += x),
            Start::Row(row) => out.iter_mut().zip(sums).zip(row.iter().cycle()).for_each(|((o, x), r)| *o = x + r),
        }
    }
}

/// Columns of the last panel: half a panel where that is enough.
fn tail_columns(isa: Isa, n: usize) -> usize {
    match n % isa.columns() {
        0 => 0,
        rest if rest * 2 <= isa.columns() => isa.columns() / 2,
        _ => isa.columns(),
    }
}

/// Appends `count` columns from `first` on as a panel of `width`.
fn pack(
    b: &[f32],
    (k, n): (usize, usize),
    transposed: bool,
    (first, count, width): (usize, usize, usize),
    to: &mut Vec<f32>,
) {
    let begin = to.len();
    to.resize(begin + k * width, 0.0);
    let panel = &mut to[begin..];
    if transposed {
        for j in 0..count {
            let column = &b[(first + j) * k..][..k];
            column.iter().zip(panel[j..].iter_mut().step_by(width)).for_each(|(x, y)| *y = *x);
        }
    } else {
        for (i, row) in panel.chunks_exact_mut(width).enumerate() {
            row[..count].copy_from_slice(&b[i * n + first..][..count]);
        }
    }
}

/// Panels of a right side, wherever they lie.
struct Right<'a> {
    panels: &'a [f32],
    ldb: usize,
    panel: usize,
    tail: &'a [f32],
    /// Depth that is summed before the output is touched.
    depth: usize,
}

impl Right<'_> {
    fn multiply(
        &self,
        (isa, k, n): (Isa, usize, usize),
        a: &[f32],
        out: &mut [f32],
        start: Start<'_>,
        (alpha, activation): (f32, Activation),
    ) {
        if n == 0 || out.is_empty() {
            return;
        }
        let tail_columns = tail_columns(isa, n);
        let m = out.len() / n;
        let mut depth = 0;
        loop {
            let (from, last) = (depth, k - depth <= self.depth);
            depth = if last { k } else { depth + self.depth };
            for first in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - first);
                let c = &mut out[first * n..(first + rows) * n];
                sweep(
                    isa,
                    &mut Job {
                        a: &a[(first * k + from).min(a.len())..],
                        lda: k,
                        rows,
                        depth: depth - from,
                        b: &self.panels[(from * self.ldb).min(self.panels.len())..],
                        ldb: self.ldb,
                        panel: self.panel,
                        tail: &self.tail[(from * tail_columns).min(self.tail.len())..],
                        tail_columns,
                        cols: n,
                        c,
                        start: if from == 0 { start } else { Start::Output },
                        alpha,
                        relu: last && activation == Activation::Relu,
                    },
                );
                if last && !matches!(activation, Activation::None | Activation::Relu) {
                    simd::activate(isa, activation, c);
                }
            }
            if last {
                return;
            }
        }
    }
}

/// Applies an activation in place.
pub fn activate(activation: Activation, values: &mut [f32]) {
    simd::activate(Isa::best(), activation, values);
}
