//! Weights that are quantised in blocks along their depth, and products whose left side is quantised in the same blocks.
//!
//! Source: `MlasQNBitGemmBatch` with `SQNBIT_CompInt8` of onnxruntime's MLAS (`sqnbitgemm_kernel_avx512_int8.h`): each row's
//! block gets a scale of its own, its largest magnitude ÷ 127, and sums of whole numbers are scaled block by block.

use crate::bad;
use crate::error::OpError;
use crate::ops::dense::saturating;

/// Lanes in which the largest magnitude is looked for.
const LANES: usize = 16;
const HALF: usize = LANES / 2;
const QUARTER: usize = LANES / 4;

/// A right side `[k, n]` in whole numbers.
#[derive(Debug)]
pub struct Blocks {
    k: usize,
    n: usize,
    block: usize,
    /// Less their zero points, column by column: `[n, k]`.
    numbers: Vec<i16>,
    /// One for each column and block: `[n, k / block]`, rounded up.
    scales: Vec<f32>,
}

impl Blocks {
    /// # Errors
    /// If there are not as many scales as the columns have blocks.
    pub fn new((k, n): (usize, usize), block: usize, numbers: Vec<i16>, scales: Vec<f32>) -> Result<Blocks, OpError> {
        if block == 0 || numbers.len() != n * k || scales.len() != n * k.div_ceil(block) {
            bad!("{} scales for {n} columns of {k} in blocks of {block}", scales.len());
        }
        Ok(Blocks { k, n, block, numbers, scales })
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.numbers.as_slice()) + size_of_val(self.scales.as_slice())
    }

    /// `out = a x self`, with `a` row-major `[m, k]` and `out` `[m, n]`. `a` is quantised on the way.
    pub fn multiply(&self, a: &[f32], out: &mut [f32]) {
        let blocks = self.k.div_ceil(self.block);
        if blocks == 0 {
            return out.fill(0.0);
        }
        let mut numbers = vec![0; a.len()];
        let mut scales = Vec::with_capacity(a.len() / self.k * blocks);
        for (row, numbers) in a.chunks_exact(self.k).zip(numbers.chunks_exact_mut(self.k)) {
            let both = row.chunks(self.block).zip(numbers.chunks_mut(self.block));
            scales.extend(both.map(|(row, numbers)| quantised(row, numbers)));
        }
        let columns = self.numbers.chunks_exact(self.k).zip(self.scales.chunks_exact(blocks));
        for (j, (column, by)) in columns.enumerate() {
            let rows = numbers.chunks_exact(self.k).zip(scales.chunks_exact(blocks));
            for (i, (row, scales)) in rows.enumerate() {
                let pairs = row.chunks(self.block).zip(column.chunks(self.block)).zip(scales.iter().zip(by));
                out[i * self.n + j] =
                    pairs.fold(0.0, |sum, ((x, w), (s, by))| sum + s * by * saturating::exact(x, w) as f32);
            }
        }
    }
}

/// Fills whole numbers of eight bits in and returns their scale.
fn quantised(block: &[f32], numbers: &mut [i16]) -> f32 {
    let most = largest(block);
    let inverse = if most == 0.0 { 0.0 } else { 127.0 / most };
    for (number, x) in numbers.iter_mut().zip(block) {
        let scaled = (x * inverse).round_ties_even();
        // what has no place in 32 bits, NaN above all, ends with eight bits of zeros
        let fits = scaled.abs() < 2_147_483_648.0;
        *number = if fits { i16::from(scaled as i32 as i8) } else { 0 };
    }
    most / 127.0
}

/// The larger one; the second where either is NaN, as `vmaxps` has it.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The largest magnitude, found in sixteen lanes and then by halves: a NaN is forgotten where MLAS forgets it.
fn largest(block: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for chunk in block.chunks(LANES) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = larger(*lane, chunk.get(i).map_or(0.0, |x| x.abs()));
        }
    }
    let eight: [f32; HALF] = std::array::from_fn(|i| larger(lanes[i + HALF], lanes[i]));
    let four: [f32; QUARTER] = std::array::from_fn(|i| larger(eight[i + QUARTER], eight[i]));
    larger(larger(four[0], four[2]), larger(four[1], four[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_a_row_has_its_own_scale() {
        let weights = Blocks::new((3, 2), 2, vec![1, 2, 3, -4, 5, 6], vec![0.5, 0.25, 1.0, 2.0]).unwrap();
        let mut out = [0.0; 2];
        weights.multiply(&[127.0, -63.5, 254.0], &mut out);
        // 63.5 steps of 1 round to the even 64; the second block's step is 2
        assert_eq!(
            out,
            [
                0.5 * (127.0 - 64.0 * 2.0) + 0.25 * 2.0 * 127.0 * 3.0,
                -4.0 * 127.0 - 5.0 * 64.0 + 2.0 * 2.0 * 127.0 * 6.0
            ]
        );
    }

    #[test]
    fn nan_is_zero_and_forgotten_unless_it_stands_in_the_last_lane_of_a_quarter() {
        let mut block = [1.0f32; 32];
        block[17] = f32::NAN;
        let mut numbers = [0; 32];
        assert_eq!(quantised(&block, &mut numbers), 1.0 / 127.0);
        assert_eq!((numbers[16], numbers[17]), (127, 0));
        block[17] = 1.0;
        block[19] = f32::NAN;
        assert!(quantised(&block, &mut numbers).is_nan());
    }

    #[test]
    fn zeros_and_infinities() {
        let mut numbers = [1; 2];
        assert_eq!(quantised(&[0.0, -0.0], &mut numbers), 0.0);
        assert_eq!(numbers, [0, 0]);
        assert_eq!(quantised(&[f32::INFINITY, 1.0], &mut numbers), f32::INFINITY);
        assert_eq!(numbers, [0, 0]);
    }

    #[test]
    fn numbers_and_scales_must_fit() {
        assert!(Blocks::new((3, 2), 2, vec![0; 6], vec![0.0; 2]).is_err());
        assert!(Blocks::new((3, 2), 0, vec![0; 6], vec![0.0; 2]).is_err());
    }
}
