//! Rows times weights with the sums in onnxruntime's order, so that scores near a threshold fall on the same side.
//!
//! onnxruntime's matrix library adds up one output by fused multiply-add over ascending columns, in blocks whose length
//! depends on the sizes; a block starts at zero and is then scaled and added to what is there, the constant first. (For a
//! single row it sums in another order; here a row's result does not depend on the batch.)

use crate::dense::Start;
use crate::dense::Weights;
use crate::dense::activation::Activation;
use crate::dense::is_packable;
use crate::error::OpError;

/// A weight matrix `[outputs, columns]`, prepared.
#[derive(Debug, Clone)]
pub struct Product {
    weights: Weights,
    outputs: usize,
    columns: usize,
}

impl Product {
    /// `weights` is `[outputs, columns]`, row-major.
    ///
    /// # Errors
    /// If it does not consist of that many rows of one length, or is too large.
    pub fn new(weights: &[f32], outputs: usize) -> Result<Product, OpError> {
        if outputs == 0 || weights.is_empty() || !weights.len().is_multiple_of(outputs) {
            return Err(OpError::bad(format!("{} weights cannot make {outputs} rows of one length", weights.len())));
        }
        let columns = weights.len() / outputs;
        if !is_packable(columns, outputs) {
            return Err(OpError::too_large(format!("{columns} columns are too many")));
        }
        let weights = Weights::new(weights, columns, outputs, true).summed_by(depth(outputs, columns));
        Ok(Product { weights, outputs, columns })
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn parameters(&self) -> usize {
        self.outputs * self.columns
    }

    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// `out[r, o] = constants[o] + factor * sum(x[r, c] * weights[o, c])`; no constants are zeros.
    ///
    /// # Panics
    /// If `x` or `out` are not of the rows' size, or the constants are fewer than outputs.
    pub fn run(&self, x: &[f32], factor: f32, constants: &[f32], out: &mut [f32]) {
        let start = if constants.is_empty() { Start::Zero } else { Start::Row(constants) };
        self.weights.multiply(x, out, start, factor, Activation::None);
    }
}

/// Columns that are summed up from zero: 128 at first, more if there are few outputs (MLAS, `MlasSgemmOperation`).
fn depth(outputs: usize, columns: usize) -> usize {
    let (mut wide, mut deep) = (128, 128);
    while outputs < columns && wide > 16 && wide / 2 >= outputs {
        deep *= 2;
        wide /= 2;
    }
    deep
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order that onnxruntime 1.32 was seen to use: a block at a time, fused, then added.
    fn one_by_one(row: &[f32], weights: &[f32], constant: f32, block: usize) -> f32 {
        row.chunks(block)
            .zip(weights.chunks(block))
            .fold(constant, |sum, (x, w)| sum + x.iter().zip(w).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum)))
    }

    #[test]
    fn sums_are_in_the_order_of_onnxruntime() {
        // outputs, columns, block as measured
        for (outputs, columns, block) in [(1, 7, 1024), (3, 1500, 1024), (20, 1500, 512), (70, 300, 128)] {
            let number = |i: usize| ((i * 7919) % 1009) as f32 / 317.0 - 1.5;
            let weights: Vec<f32> = (0..outputs * columns).map(number).collect();
            let x: Vec<f32> = (0..3 * columns).map(|i| number(i + 11)).collect();
            let constants: Vec<f32> = (0..outputs).map(|i| number(i + 5)).collect();
            let mut out = vec![0.0; 3 * outputs];
            Product::new(&weights, outputs).unwrap().run(&x, 1.0, &constants, &mut out);
            let exact = crate::dense::Isa::best() != crate::dense::Isa::Portable;
            for (i, y) in out.iter().enumerate() {
                let (r, o) = (i / outputs, i % outputs);
                let row = &x[r * columns..(r + 1) * columns];
                let want = one_by_one(row, &weights[o * columns..(o + 1) * columns], constants[o], block);
                // without fused instructions it is only near
                assert!(*y == want || !exact && (y - want).abs() < 1e-2, "{outputs} x {columns}: {y} {want}");
            }
        }
    }
}
