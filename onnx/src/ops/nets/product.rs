//! Matrix products as convolutions, recurrent layers and attention need them: packed panels and a register-blocked core.
//!
//! The scheme is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

/// What can be multiplied and summed.
pub trait Scalar: Copy + Send + Sync {
    const ZERO: Self;
    fn times(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
}

impl Scalar for f32 {
    const ZERO: f32 = 0.0;
    fn times(self, other: f32) -> f32 {
        self * other
    }
    fn plus(self, other: f32) -> f32 {
        self + other
    }
}

impl Scalar for f64 {
    const ZERO: f64 = 0.0;
    fn times(self, other: f64) -> f64 {
        self * other
    }
    fn plus(self, other: f64) -> f64 {
        self + other
    }
}

/// Wraps around, as the accumulators of quantized products do.
impl Scalar for i32 {
    const ZERO: i32 = 0;
    fn times(self, other: i32) -> i32 {
        self.wrapping_mul(other)
    }
    fn plus(self, other: i32) -> i32 {
        self.wrapping_add(other)
    }
}

/// Rows of a panel of the left matrix.
pub const ROWS: usize = 4;
/// Columns of a panel of the right matrix.
pub const COLUMNS: usize = 8;

/// The left matrix, `m` × `k`, in panels of [`ROWS`] rows: within a panel the rows' elements of one column lie together.
#[derive(Clone, Debug)]
pub struct Left<T> {
    data: Vec<T>,
    m: usize,
    k: usize,
}

impl<T: Scalar> Left<T> {
    /// Packs a row-major matrix; `a` holds `m * k` elements.
    pub fn pack(a: &[T], m: usize, k: usize) -> Left<T> {
        let mut data = vec![T::ZERO; m.div_ceil(ROWS) * ROWS * k];
        for (r, row) in a.chunks_exact(k.max(1)).take(m).enumerate() {
            let panel = &mut data[r / ROWS * ROWS * k..];
            for (j, value) in row.iter().enumerate() {
                panel[j * ROWS + r % ROWS] = *value;
            }
        }
        Left { data, m, k }
    }

    /// Packs the transpose of a row-major `k` × `m` matrix.
    pub fn pack_transposed(a: &[T], k: usize, m: usize) -> Left<T> {
        let mut data = vec![T::ZERO; m.div_ceil(ROWS) * ROWS * k];
        for (j, column) in a.chunks_exact(m.max(1)).take(k).enumerate() {
            for (p, piece) in column.chunks(ROWS).enumerate() {
                data[(p * k + j) * ROWS..][..piece.len()].copy_from_slice(piece);
            }
        }
        Left { data, m, k }
    }

    pub fn rows(&self) -> usize {
        self.m
    }

    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<T>()
    }
}

/// The right matrix, `k` × `n`, in panels of [`COLUMNS`] columns: within a panel the rows lie one after the other.
#[derive(Clone, Debug, Default)]
pub struct Right<T> {
    data: Vec<T>,
    k: usize,
    n: usize,
}

impl<T: Scalar> Right<T> {
    pub fn empty() -> Right<T> {
        Right { data: vec![], k: 0, n: 0 }
    }

    /// Makes room for `k` × `n` elements, all 0.
    pub fn reset(&mut self, k: usize, n: usize) {
        self.data.clear();
        self.data.resize(n.div_ceil(COLUMNS) * COLUMNS * k, T::ZERO);
        self.k = k;
        self.n = n;
    }

    /// Writes row `r` of the matrix; `row` holds `n` elements.
    pub fn set_row(&mut self, r: usize, row: &[T]) {
        for (p, piece) in row.chunks(COLUMNS).enumerate() {
            let at = (p * self.k + r) * COLUMNS;
            self.data[at..at + piece.len()].copy_from_slice(piece);
        }
    }

    /// Packs a row-major `k` × `n` matrix.
    pub fn pack(b: &[T], k: usize, n: usize) -> Right<T> {
        let mut right = Right::empty();
        right.reset(k, n);
        for (r, row) in b.chunks_exact(n.max(1)).take(k).enumerate() {
            right.set_row(r, row);
        }
        right
    }

    /// Packs the transpose of a row-major `n` × `k` matrix.
    pub fn pack_transposed(b: &[T], n: usize, k: usize) -> Right<T> {
        let mut right = Right::empty();
        right.reset(k, n);
        for (c, column) in b.chunks_exact(k.max(1)).take(n).enumerate() {
            let panel = &mut right.data[c / COLUMNS * COLUMNS * k..];
            for (r, value) in column.iter().enumerate() {
                panel[r * COLUMNS + c % COLUMNS] = *value;
            }
        }
        right
    }

    pub fn columns(&self) -> usize {
        self.n
    }

    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<T>()
    }
}

/// `c += a · b`, where row `r` of the result starts at `c[r * stride]`.
///
/// # Panics
/// If the inner sides differ or `c` is too short: both are the caller's own buffers.
pub fn multiply<T: Scalar>(a: &Left<T>, b: &Right<T>, c: &mut [T], stride: usize) {
    assert_eq!(a.k, b.k, "inner sides of a product");
    let k = a.k;
    if k == 0 {
        return;
    }
    for (p, right) in b.data.chunks_exact(k * COLUMNS).enumerate() {
        let column = p * COLUMNS;
        let width = COLUMNS.min(b.n - column);
        for (q, left) in a.data.chunks_exact(k * ROWS).enumerate() {
            let out = &mut c[q * ROWS * stride + column..];
            match a.m - q * ROWS {
                1 => tile::<T, 1>(left, right, out, stride, width),
                2 => tile::<T, 2>(left, right, out, stride, width),
                3 => tile::<T, 3>(left, right, out, stride, width),
                _ => tile::<T, ROWS>(left, right, out, stride, width),
            }
        }
    }
}

/// `R` rows of a panel times a panel.
fn tile<T: Scalar, const R: usize>(left: &[T], right: &[T], out: &mut [T], stride: usize, width: usize) {
    let mut tile = [[T::ZERO; COLUMNS]; R];
    for (a, b) in left.chunks_exact(ROWS).zip(right.chunks_exact(COLUMNS)) {
        for (row, a) in tile.iter_mut().zip(a) {
            for (sum, b) in row.iter_mut().zip(b) {
                *sum = sum.plus(a.times(*b));
            }
        }
    }
    for (i, sums) in tile.iter().enumerate() {
        for (out, sum) in out[i * stride..][..width].iter_mut().zip(sums) {
            *out = out.plus(*sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition() {
        for (m, k, n) in [(1, 1, 1), (4, 8, 8), (5, 3, 9), (7, 0, 2), (3, 17, 20)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i * 7 % 13) as f64 - 6.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i * 5 % 11) as f64 - 5.0).collect();
            let transposed: Vec<f64> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let mut want = vec![0.5; m * n];
            for (at, out) in want.iter_mut().enumerate() {
                *out += (0..k).map(|j| a[at / n * k + j] * b[j * n + at % n]).sum::<f64>();
            }
            let across: Vec<f64> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
            let mut other = vec![0.5; m * n];
            multiply(&Left::pack_transposed(&across, k, m), &Right::pack(&b, k, n), &mut other, n);
            assert_eq!(other, want, "{m} {k} {n}");
            for right in [Right::pack(&b, k, n), Right::pack_transposed(&transposed, n, k)] {
                let mut got = vec![0.5; m * n];
                multiply(&Left::pack(&a, m, k), &right, &mut got, n);
                assert_eq!(got, want, "{m} {k} {n}");
            }
        }
    }
}
