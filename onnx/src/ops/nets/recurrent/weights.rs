//! Weights of a recurrent layer, packed for products.

use std::sync::Arc;

use crate::ops::nets::real;
use crate::ops::nets::real::Real;
use crate::ops::nets::recurrent::Kind;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// Weights of one direction, transposed: a column a gate's unit.
#[derive(Clone, Debug)]
pub struct Weights<T: Real> {
    pub input: T::Right,
    /// Of the gates that look at the state itself.
    pub state: T::Right,
    /// Of the gate that looks at the state after the reset (GRU).
    pub reset: Option<T::Right>,
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
                input: T::prepare(w, input, rows, true),
                state: T::prepare(state, hidden, split, true),
                reset: (split < rows).then(|| T::prepare(reset, hidden, rows - split, true)),
            }
        };
        (0..directions).map(direction).collect()
    }

    pub fn bytes(&self) -> usize {
        T::bytes(&self.input) + T::bytes(&self.state) + self.reset.as_ref().map_or(0, T::bytes)
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
