//! Masks of attention: tensors that are broadcast over `[batch, heads, queries, keys]`.

use crate::bad;
use crate::error::OpError;
use crate::ops::nets::real::Real;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// What a mask adds to scores.
#[derive(Clone, Debug)]
pub struct Mask<T> {
    shape: [usize; 4],
    values: Vec<T>,
}

impl<T: Real> Mask<T> {
    /// From booleans, true where a query may look, or floats to add; the keys that a short one lacks are hidden.
    ///
    /// # Errors
    /// If it cannot be broadcast to `scores`, or has another type.
    pub fn read(tensor: &Tensor, scores: [usize; 4], hidden: T) -> Result<Mask<T>, OpError> {
        let values: Vec<T> = match tensor.elements() {
            Elements::Bool(v) => v.iter().map(|x| if *x { T::ZERO } else { hidden }).collect(),
            Elements::F32(v) => v.iter().map(|x| T::from_f64(f64::from(*x))).collect(),
            Elements::F64(v) => v.iter().map(|x| T::from_f64(*x)).collect(),
            Elements::F16(v) => v.iter().map(|x| T::from_f64(x.to_f64())).collect(),
            other => bad!("a mask of {}", other.element_type()),
        };
        let rank = tensor.rank();
        let mut shape = [1; 4];
        if rank > 4 {
            bad!("a mask of {rank} axes");
        }
        shape[4 - rank..].copy_from_slice(tensor.shape());
        let fits = shape[..3].iter().zip(&scores).all(|(m, s)| m == s || *m == 1);
        if !fits || shape[3] > scores[3] {
            bad!("a mask of {:?} for scores of {scores:?}", tensor.shape());
        }
        if shape[3] == scores[3] || shape[3] == 1 && tensor.rank() == 0 {
            return Ok(Mask { shape, values });
        }
        let mut wide = Vec::with_capacity(values.len() / shape[3].max(1) * scores[3]);
        for row in values.chunks_exact(shape[3].max(1)) {
            wide.extend_from_slice(row);
            wide.resize(wide.len() + scores[3] - shape[3], hidden);
        }
        shape[3] = scores[3];
        Ok(Mask { shape, values: wide })
    }

    /// Adds its part for one head to `scores`, `[queries, keys]`.
    pub fn add(&self, b: usize, h: usize, keys: usize, scores: &mut [T]) {
        if self.values.is_empty() {
            return;
        }
        let [batch, heads, queries, width] = self.shape;
        let at = |i: usize, n: usize| if n == 1 { 0 } else { i };
        for (q, row) in scores.chunks_exact_mut(keys.max(1)).enumerate() {
            let from = ((at(b, batch) * heads + at(h, heads)) * queries + at(q, queries)) * width;
            let mask = &self.values[from..from + width];
            if width == keys {
                row.iter_mut().zip(mask).for_each(|(s, m)| *s = hide(*s, *m));
            } else {
                row.iter_mut().for_each(|s| *s = hide(*s, mask[0]));
            }
        }
    }
}

/// `score + bias`, where -inf hides whatever the score is.
pub fn hide<T: Real>(score: T, bias: T) -> T {
    if bias == T::LOWEST { bias } else { score + bias }
}
