//! Which keys Microsoft's masks of whole numbers hide: lengths, ranges, or a flag for each.

use crate::bad;
use crate::error::OpError;
use crate::tensor::Tensor;

/// Keys that are padding.
#[derive(Debug)]
pub enum Padding {
    /// From and to, a batch item.
    Ranges(Vec<(i64, i64)>),
    /// A flag for every key, `[batch, keys]`; 0 hides.
    Keys(Vec<i64>, usize),
    /// A flag for every query and key, `[batch, queries, keys]`.
    Pairs(Vec<i64>, usize, usize),
}

impl Padding {
    /// From `mask_index` or `key_padding_mask`.
    ///
    /// # Errors
    /// If it does not fit scores of `[batch, heads, queries, keys]`.
    pub fn read(tensor: &Tensor, [batch, _, queries, keys]: [usize; 4]) -> Result<Padding, OpError> {
        let values = tensor.to_i64s()?;
        match *tensor.shape() {
            [n] if n == batch => Ok(Padding::Ranges(values.into_iter().map(|end| (0, end)).collect())),
            [n] if n == 2 * batch => Ok(Padding::Ranges(
                values[..batch].iter().zip(&values[batch..]).map(|(end, from)| (*from, *end)).collect(),
            )),
            [n] if n == 3 * batch + 2 => Ok(Padding::Ranges(values[..batch].iter().map(|end| (0, *end)).collect())),
            [b, k] if b == batch && k == keys => Ok(Padding::Keys(values, keys)),
            [b, q, k] if b == batch && q == queries && k == keys => Ok(Padding::Pairs(values, queries, keys)),
            _ => bad!("a mask of {:?} for {batch} x {queries} x {keys} scores", tensor.shape()),
        }
    }

    pub fn hides(&self, b: usize, query: usize, key: usize) -> bool {
        match self {
            Padding::Ranges(ranges) => !(ranges[b].0..ranges[b].1).contains(&(key as i64)),
            Padding::Keys(flags, keys) => flags[b * keys + key] <= 0,
            Padding::Pairs(flags, queries, keys) => flags[(b * queries + query) * keys + key] <= 0,
        }
    }
}
