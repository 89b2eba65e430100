//! Weights of a recurrent layer, packed for products.

use std::sync::Arc;

use crate::ops::nets::real;
use crate::ops::nets::real::Real;
use crate::ops::nets::recurrent::Kind;
use crate::ops::nets::recurrent::quantised::Quantised;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// The right side of a product.
#[derive(Clone, Debug)]
pub enum Side<T: Real> {
    Floats(T::Right),
    Quantised(Quantised),
}

impl<T: Real> Side<T> {
    fn pack(values: &[T], k: usize, n: usize) -> Side<T> {
        Side::Floats(T::prepare(values, k, n, true))
    }

    /// `out += a x self`.
    pub fn multiply_by(&self, a: &[T], out: &mut [T]) {
        match self {
            Side::Floats(right) => T::multiply_by(a, right, out),
            Side::Quantised(right) => {
                let floats: Vec<f32> = a.iter().map(|x| x.to_f64() as f32).collect();
                let mut sums = vec![0.0; out.len()];
                right.multiply_by(&floats, &mut sums);
                out.iter_mut().zip(sums).for_each(|(o, sum)| *o += T::from_f64(f64::from(sum)));
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Side::Floats(right) => T::bytes(right),
            Side::Quantised(right) => right.bytes(),
        }
    }
}

/// Weights of one direction, transposed: a column a gate's unit.
#[derive(Clone, Debug)]
pub struct Weights<T: Real> {
    pub input: Side<T>,
    /// Of the gates that look at the state itself.
    pub state: Side<T>,
    /// Of the gate that looks at the state after the reset (GRU).
    pub reset: Option<Side<T>>,
}

impl<T: Real> Weights<T> {
    /// All directions of `w`, `[directions, gates * hidden, input]`, and `r`, `[directions, gates * hidden, hidden]`.
    pub fn pack(kind: Kind, w: &[T], r: &[T], directions: usize, input: usize, hidden: usize) -> Vec<Weights<T>> {
        let rows = kind.gates() * hidden;
        let direction = |d: usize| {
            let (w, r) = (&w[d * rows * input..][..rows * input], &r[d * rows * hidden..][..rows * hidden]);
            let split = if let Kind::Gru { .. } = kind { 2 * hidden } else { rows };
            let (state, reset) = r.split_at(split * hidden);
            Weights {
                input: Side::pack(w, input, rows),
                state: Side::pack(state, hidden, split),
                reset: (split < rows).then(|| Side::pack(reset, hidden, rows - split)),
            }
        };
        (0..directions).map(direction).collect()
    }

    pub fn bytes(&self) -> usize {
        self.input.bytes() + self.state.bytes() + self.reset.as_ref().map_or(0, Side::bytes)
    }
}

/// Packs constant weights; those that break the specification are left to the first run, which says so.
pub fn prepare(
    kind: Kind,
    directions: usize,
    w: Option<&Arc<Tensor>>,
    r: Option<&Arc<Tensor>>,
) -> Option<Vec<Weights<f32>>> {
    let (w, r) = (w?, r?);
    let (wide_w, wide_r) = (real::widened(w), real::widened(r));
    let (w, r): (&Tensor, &Tensor) = (wide_w.as_ref().unwrap_or(w), wide_r.as_ref().unwrap_or(r));
    let (&[dw, rows, input], &[dr, same, hidden]) = (w.shape(), r.shape()) else { return None };
    let fits = dw == directions && dr == directions && rows == same && Some(rows) == hidden.checked_mul(kind.gates());
    match (w.elements(), r.elements()) {
        (Elements::F32(w), Elements::F32(r)) if fits && hidden > 0 => {
            Some(Weights::pack(kind, w, r, directions, input, hidden))
        }
        _ => None,
    }
}
