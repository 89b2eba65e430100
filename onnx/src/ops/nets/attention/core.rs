//! Scaled dot-product attention for all heads, which every attention operator comes down to.

use crate::bad;
use crate::error::OpError;
use crate::ops::nets::real::Real;
use crate::tensor::Tensor;
use crate::tensor::volume;

/// Queries, keys or values, `[batch, heads, length, size]`.
#[derive(Clone, Debug)]
pub struct Heads<T> {
    pub batch: usize,
    pub heads: usize,
    pub length: usize,
    pub size: usize,
    pub values: Vec<T>,
}

impl<T: Real> Heads<T> {
    /// From a tensor of four axes, as it is, or of three, `[batch, length, heads * size]`.
    ///
    /// # Errors
    /// If the tensor does not fit.
    pub fn read(tensor: &Tensor, heads: usize) -> Result<Heads<T>, OpError> {
        let values = tensor.slice::<T>()?;
        match *tensor.shape() {
            [batch, heads, length, size] => Ok(Heads { batch, heads, length, size, values: values.to_vec() }),
            [batch, length, width] if heads > 0 && width % heads == 0 => {
                Ok(Heads::split(values, [batch, length, heads, width / heads], width, 0))
            }
            _ => bad!("{} axes do not split into {heads} heads", tensor.rank()),
        }
    }

    /// From rows of `stride` values, one a batch item and position, of which the heads start at `from`.
    pub fn split(values: &[T], [batch, length, heads, size]: [usize; 4], stride: usize, from: usize) -> Heads<T> {
        let mut out = vec![];
        // Axes of an empty tensor may be as long as they like.
        for b in 0..if values.is_empty() || size == 0 { 0 } else { batch } {
            for h in 0..heads {
                for l in 0..length {
                    out.extend_from_slice(&values[(b * length + l) * stride + from + h * size..][..size]);
                }
            }
        }
        Heads { batch, heads, length, size, values: out }
    }

    /// `[batch, length, heads * size]`.
    pub fn merged(&self) -> Vec<T> {
        let mut out = Vec::with_capacity(self.values.len());
        for b in 0..if self.values.is_empty() { 0 } else { self.batch } {
            for l in 0..self.length {
                for h in 0..self.heads {
                    out.extend_from_slice(self.row(b, h, l));
                }
            }
        }
        out
    }

    fn row(&self, b: usize, h: usize, l: usize) -> &[T] {
        &self.values[((b * self.heads + h) * self.length + l) * self.size..][..self.size]
    }

    /// One head of one batch item, `[length, size]`.
    pub fn head(&self, b: usize, h: usize) -> &[T] {
        &self.values[(b * self.heads + h) * self.length * self.size..][..self.length * self.size]
    }

    pub fn shape(&self) -> [usize; 4] {
        [self.batch, self.heads, self.length, self.size]
    }

    /// Adds a bias of `heads * size` to every position.
    pub fn add(&mut self, bias: &[T]) {
        if self.values.is_empty() {
            return;
        }
        for (h, head) in self.values.chunks_exact_mut(self.length * self.size).enumerate() {
            let bias = &bias[h % self.heads * self.size..][..self.size];
            for row in head.chunks_exact_mut(self.size) {
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += *b);
            }
        }
    }

    /// Positions of `past`, then the own ones.
    ///
    /// # Errors
    /// If batch, heads or sizes differ, or the whole is too large.
    pub fn after(self, past: Option<Heads<T>>) -> Result<Heads<T>, OpError> {
        let Some(past) = past else { return Ok(self) };
        if (past.batch, past.heads, past.size) != (self.batch, self.heads, self.size) {
            bad!("a past of {:?} before {:?}", past.shape(), self.shape());
        }
        let length = past.length + self.length;
        volume(&[self.batch, self.heads, length, self.size], size_of::<T>())?;
        let mut values = Vec::with_capacity(past.values.len() + self.values.len());
        for b in 0..if values.capacity() == 0 { 0 } else { self.batch } {
            for h in 0..self.heads {
                values.extend_from_slice(past.head(b, h));
                values.extend_from_slice(self.head(b, h));
            }
        }
        Ok(Heads { length, values, ..self })
    }

    /// The tensor of [`Heads::shape`].
    ///
    /// # Errors
    /// If it is too large.
    pub fn tensor(self) -> Result<Tensor, OpError> {
        Tensor::new(&self.shape(), self.values)
    }
}

/// Which intermediate result is wanted, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    Raw,
    Capped,
    Biased,
    Weights,
}

/// How scores become weights.
#[derive(Clone, Copy, Debug)]
pub struct Scoring {
    pub scale: f64,
    /// 0 for none.
    pub softcap: f64,
    pub tap: Option<Tap>,
}

/// What attention gives: the values that were looked at, `[batch, heads, queries, size]`, and what was tapped,
/// `[batch, heads, queries, keys]`.
pub struct Attended<T> {
    pub values: Heads<T>,
    pub tapped: Option<Heads<T>>,
}

/// Every query looks at the keys. `mask(batch item, head, scores)` adds to the scores of a head, `[queries, keys]`;
/// a query that may look at nothing, all scores being -inf after that, gets zeros.
///
/// # Errors
/// If the heads do not fit each other.
pub fn attend<T: Real>(
    q: &Heads<T>,
    k: &Heads<T>,
    v: &Heads<T>,
    scoring: &Scoring,
    mut mask: impl FnMut(usize, usize, &mut [T]) -> Result<(), OpError>,
) -> Result<Attended<T>, OpError> {
    let fits = k.batch == q.batch && v.batch == q.batch && k.size == q.size && v.length == k.length;
    if !fits || k.heads != v.heads || k.heads == 0 || !q.heads.is_multiple_of(k.heads) {
        bad!("queries {:?}, keys {:?} and values {:?}", q.shape(), k.shape(), v.shape());
    }
    let (shape, scores_shape) = ([q.batch, q.heads, q.length, v.size], [q.batch, q.heads, q.length, k.length]);
    let mut out = vec![T::ZERO; volume(&shape, size_of::<T>())?];
    let all_scores = volume(&scores_shape, size_of::<T>())?;
    let mut tapped = Vec::with_capacity(if scoring.tap.is_some() { all_scores } else { 0 });
    let scale = T::from_f64(scoring.scale);
    let shared = q.heads / k.heads;
    let mut scores = vec![];
    for b in 0..if out.is_empty() && all_scores == 0 { 0 } else { q.batch } {
        for h in 0..q.heads {
            let queries: Vec<T> = q.head(b, h).iter().map(|x| *x * scale).collect();
            let keys = T::prepare(k.head(b, h / shared), k.size, k.length, true);
            scores.clear();
            scores.resize(q.length * k.length, T::ZERO);
            T::multiply_by(&queries, &keys, &mut scores);
            let mut tap = |at: Tap, scores: &[T]| {
                if scoring.tap == Some(at) {
                    tapped.extend_from_slice(scores);
                }
            };
            tap(Tap::Raw, &scores);
            if scoring.softcap > 0.0 {
                let cap = T::from_f64(scoring.softcap);
                scores.iter_mut().for_each(|s| *s = cap * (*s / cap).tanh());
            }
            tap(Tap::Capped, &scores);
            mask(b, h, &mut scores)?;
            tap(Tap::Biased, &scores);
            scores.chunks_exact_mut(k.length.max(1)).for_each(softmax);
            tap(Tap::Weights, &scores);
            let at = (b * q.heads + h) * q.length * v.size;
            let result = &mut out[at..at + q.length * v.size];
            T::multiply(&scores, v.head(b, h / shared), (k.length, v.size), result);
        }
    }
    let values = Heads { batch: q.batch, heads: q.heads, length: q.length, size: v.size, values: out };
    let tapped = scoring.tap.map(|_| Heads { size: k.length, values: tapped, ..values.without_values() });
    Ok(Attended { values, tapped })
}

impl<T> Heads<T> {
    fn without_values(&self) -> Heads<T> {
        Heads { values: vec![], ..*self }
    }
}

/// Softmax in place; zeros if all are -inf.
fn softmax<T: Real>(row: &mut [T]) {
    let most = row.iter().fold(T::LOWEST, |m, v| if *v > m { *v } else { m });
    if most == T::LOWEST {
        row.iter_mut().for_each(|v| *v = if v.is_nan() { *v } else { T::ZERO });
        return;
    }
    let mut sum = T::ZERO;
    for v in row.iter_mut() {
        *v = (*v - most).exp();
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
}
