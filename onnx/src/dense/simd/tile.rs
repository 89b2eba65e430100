//! The innermost product: a few rows by one or more panels of columns, summed in registers.
//!
//! Source: K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), with the left side read
//! where it lies. Each sum runs along the depth in order, as onnxruntime's kernels do, so that results agree to the bit
//! where both round products and sums together.

use crate::dense::simd::lanes::Lanes;

/// Where a tile reads and writes; all strides in floats.
#[derive(Clone, Copy)]
pub struct Place {
    pub a: *const f32,
    pub lda: usize,
    pub depth: usize,
    pub b: *const f32,
    /// From one row of a panel to the next.
    pub ldb: usize,
    /// From one panel to the next.
    pub panel: usize,
    /// What is asked for while this tile is computed, a place for each row of its panels, `ahead_step` apart.
    pub ahead: *const f32,
    pub ahead_step: usize,
    pub c: *mut f32,
    pub ldc: usize,
    /// What sums start from: `add + row * ld_add`; null for 0.
    pub add: *const f32,
    pub ld_add: usize,
    pub alpha: f32,
    pub relu: bool,
}

/// `R` rows by `P` panels of `H` registers each, of which the last holds `cols` columns in all (`H * LEN` if full).
///
/// # Safety
/// The processor has the instructions of `V`, and the code is compiled with them. `a` holds `R` rows of `depth`; `b`
/// holds `P` panels of `depth` rows of `H * LEN`; `c`, and `add` unless null, hold `R` rows of `cols` in each panel.
/// `cols` is `H * LEN` if `P` is not 1.
#[inline(always)]
// indices of several arrays at once read better than zipped iterators, and compile to the same registers
#[allow(clippy::needless_range_loop)]
pub unsafe fn tile<V: Lanes, const R: usize, const P: usize, const H: usize>(at: &Place, cols: usize) {
    // SAFETY: all pointers stay inside the extents that the caller vouches for
    unsafe {
        let mut sums = [[[V::splat(0.0); H]; P]; R];
        let mut b = at.b;
        let mut a = at.a;
        let mut ahead = at.ahead;
        for _ in 0..at.depth {
            // low tiles wait for memory themselves
            if P == 1 && R >= 4 {
                V::fetch_ahead(ahead);
                ahead = ahead.wrapping_add(at.ahead_step);
            }
            let mut right = [[V::splat(0.0); H]; P];
            for p in 0..P {
                for h in 0..H {
                    right[p][h] = V::load(b.add(p * at.panel + h * V::LEN));
                }
            }
            for r in 0..R {
                let left = V::splat(*a.add(r * at.lda));
                for p in 0..P {
                    for h in 0..H {
                        sums[r][p][h] = left.mul_add(right[p][h], sums[r][p][h]);
                    }
                }
            }
            b = b.wrapping_add(at.ldb);
            a = a.wrapping_add(1);
        }
        if cols < H * V::LEN {
            let all: [[V; H]; R] = std::array::from_fn(|r| sums[r][0]);
            return narrow(at, all.as_ptr().cast(), R, H * V::LEN, cols);
        }
        let alpha = V::splat(at.alpha);
        for r in 0..R {
            for p in 0..P {
                for h in 0..H {
                    let column = (p * H + h) * V::LEN;
                    // fused, as onnxruntime scales what it adds
                    let mut sum = if at.add.is_null() {
                        sums[r][p][h].mul(alpha)
                    } else {
                        sums[r][p][h].mul_add(alpha, V::load(at.add.add(r * at.ld_add + column)))
                    };
                    if at.relu {
                        sum = sum.relu();
                    }
                    sum.store(at.c.add(r * at.ldc + column));
                }
            }
        }
    }
}

/// Stores the part of a tile that is not padding.
///
/// # Safety
/// `sums` holds `rows` rows of `width`; the rest as in [`tile`].
#[inline(always)]
unsafe fn narrow(at: &Place, sums: *const f32, rows: usize, width: usize, cols: usize) {
    for r in 0..rows {
        for j in 0..cols {
            // SAFETY: the caller vouches for `rows` rows of `cols`
            unsafe {
                let mut sum = *sums.add(r * width + j);
                sum = match (at.add.is_null(), at.alpha == 1.0) {
                    (true, _) => sum * at.alpha,
                    (false, true) => sum + *at.add.add(r * at.ld_add + j),
                    (false, false) => sum.mul_add(at.alpha, *at.add.add(r * at.ld_add + j)),
                };
                if at.relu && sum < 0.0 {
                    sum = 0.0;
                }
                *at.c.add(r * at.ldc + j) = sum;
            }
        }
    }
}
