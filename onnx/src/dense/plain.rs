//! Products of matrices of any other type, in plain loops that compilers vectorise.

/// A number that wraps round if it is whole.
pub trait Number: Copy + Default + PartialEq + Send + Sync + 'static {
    const ONE: Self;
    /// `self + a * b`.
    fn plus(self, a: Self, b: Self) -> Self;
}

macro_rules! floats {
    ($($ty:ty),*) => { $(impl Number for $ty {
        const ONE: Self = 1.0;
        #[inline(always)]
        fn plus(self, a: Self, b: Self) -> Self { self + a * b }
    })* };
}
floats!(f32, f64);

macro_rules! integers {
    ($($ty:ty),*) => { $(impl Number for $ty {
        const ONE: Self = 1;
        #[inline(always)]
        fn plus(self, a: Self, b: Self) -> Self { self.wrapping_add(a.wrapping_mul(b)) }
    })* };
}
integers!(i32, i64, u32, u64);

/// Adds `a x b` to `out`: `a` is `[m, k]`, `b` is `[k, n]`, both row-major; sums run along `k` in order.
///
/// # Panics
/// If `a` or `b` is shorter than `out` wants.
pub fn multiply<T: Number>(a: &[T], b: &[T], (k, n): (usize, usize), out: &mut [T]) {
    if n == 0 || k == 0 {
        return;
    }
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        let left = &a[i * k..(i + 1) * k];
        // four rows of the right side at a time: the output is loaded and stored a fourth as often
        let quads = k / 4 * 4;
        for j in (0..quads).step_by(4) {
            let [x, y, z, w] = [left[j], left[j + 1], left[j + 2], left[j + 3]];
            let rows = &b[j * n..(j + 4) * n];
            let (p, rows) = rows.split_at(n);
            let (q, rows) = rows.split_at(n);
            let (r, s) = rows.split_at(n);
            for ((((o, p), q), r), s) in out.iter_mut().zip(p).zip(q).zip(r).zip(s) {
                *o = o.plus(x, *p).plus(y, *q).plus(z, *r).plus(w, *s);
            }
        }
        for j in quads..k {
            let x = left[j];
            out.iter_mut().zip(&b[j * n..(j + 1) * n]).for_each(|(o, p)| *o = o.plus(x, *p));
        }
    }
}

/// `[rows, cols]` to `[cols, rows]`.
///
/// # Panics
/// If `from` is shorter than that.
pub fn transposed<T: Copy>(from: &[T], rows: usize, cols: usize) -> Vec<T> {
    if rows == 0 || cols == 0 {
        return vec![];
    }
    let mut out = Vec::with_capacity(rows * cols);
    for j in 0..cols {
        out.extend((0..rows).map(|i| from[i * cols + j]));
    }
    out
}
