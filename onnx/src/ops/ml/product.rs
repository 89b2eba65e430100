//! Rows times weights with the sums in onnxruntime's order, so that scores near a threshold fall on the same side.
//!
//! onnxruntime's matrix library adds up one output by fused multiply-add over ascending columns, in blocks whose length
//! depends on the sizes; a block starts at zero and is then scaled and added to what is there, the constant first. (For a
//! single row it sums in another order; here a row's result does not depend on the batch.)

/// A weight matrix `[outputs, columns]`, kept column by column.
#[derive(Debug, Clone)]
pub struct Product {
    weights: Vec<f32>,
    outputs: usize,
    columns: usize,
    block: usize,
}

impl Product {
    /// `weights` is `[outputs, columns]`, row-major.
    ///
    /// # Panics
    /// If the number of weights is another.
    pub fn new(weights: &[f32], outputs: usize, columns: usize) -> Product {
        assert_eq!(Some(weights.len()), outputs.checked_mul(columns), "checked by the builders");
        let mut turned = vec![0.0; weights.len()];
        for (o, row) in weights.chunks_exact(columns.max(1)).enumerate() {
            for (c, w) in row.iter().enumerate() {
                turned[c * outputs + o] = *w;
            }
        }
        Product { weights: turned, outputs, columns, block: block(outputs, columns) }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn parameters(&self) -> usize {
        self.weights.len()
    }

    /// `out[r, o] = constant[o] + factor * sum(x[r, c] * weights[o, c])`; a constant of one number is for all outputs.
    ///
    /// # Panics
    /// If `x` or `out` are not of the rows' size.
    pub fn run(&self, x: &[f32], factor: f32, constant: &[f32], out: &mut [f32]) {
        if self.outputs == 0 {
            return;
        }
        let rows = out.len() / self.outputs;
        assert_eq!((x.len(), out.len()), (rows * self.columns, rows * self.outputs), "checked by the kernels");
        let mut sums = vec![0.0; self.outputs];
        for (r, out) in out.chunks_exact_mut(self.outputs).enumerate() {
            match constant {
                [one] => out.fill(*one),
                all => out.copy_from_slice(all),
            }
            let row = &x[r * self.columns..(r + 1) * self.columns];
            for (b, part) in row.chunks(self.block).enumerate() {
                let weights = &self.weights[b * self.block * self.outputs..];
                sums.fill(0.0);
                for (x, weights) in part.iter().zip(weights.chunks_exact(self.outputs)) {
                    for (sum, w) in sums.iter_mut().zip(weights) {
                        *sum = x.mul_add(*w, *sum);
                    }
                }
                for (out, sum) in out.iter_mut().zip(&sums) {
                    *out = factor.mul_add(*sum, *out);
                }
            }
        }
    }

    /// `out[r, o]` is the squared distance of row r from the weights of output o, added up column by column without fusing:
    /// onnxruntime compiles this loop for any processor.
    ///
    /// # Panics
    /// As [`Product::run`].
    pub fn squared_distances(&self, x: &[f32], out: &mut [f32]) {
        if self.outputs == 0 || self.columns == 0 {
            return;
        }
        assert_eq!(x.len() / self.columns, out.len() / self.outputs, "checked by the kernels");
        for (row, out) in x.chunks_exact(self.columns).zip(out.chunks_exact_mut(self.outputs)) {
            out.fill(0.0);
            for (x, weights) in row.iter().zip(self.weights.chunks_exact(self.outputs)) {
                for (sum, w) in out.iter_mut().zip(weights) {
                    let difference = x - w;
                    *sum += difference * difference;
                }
            }
        }
    }
}

/// Columns that are summed up from zero: 128 at first, more if there are few outputs (MLAS, `MlasSgemmOperation`).
fn block(outputs: usize, columns: usize) -> usize {
    let (mut wide, mut deep) = (128, 128);
    if outputs >= columns {
        return deep;
    }
    while wide > 16 && wide / 2 >= outputs {
        deep *= 2;
        wide /= 2;
    }
    deep
}
