//! One step of a recurrent layer for a whole batch, by the formulas of the ONNX specification.

use crate::ops::nets::activation::Activation;
use crate::ops::nets::real::Real;
use crate::ops::nets::recurrent::Kind;
use crate::ops::nets::recurrent::weights::Weights;

/// One direction of a layer.
pub struct Cell<'a, T: Real> {
    pub kind: Kind,
    pub hidden: usize,
    pub weights: &'a Weights<T>,
    /// Biases of the inputs, then those of the state.
    pub bias: Option<&'a [T]>,
    /// For the gates i, o, f (LSTM).
    pub peepholes: Option<&'a [T]>,
    pub activations: &'a [Activation],
    pub clip: Option<T>,
}

impl<T: Real> Cell<'_, T> {
    /// What can be added to the inputs' products before any step.
    pub fn projected_bias(&self) -> Option<Vec<T>> {
        let (input, state) = self.bias?.split_at(self.kind.gates() * self.hidden);
        let waits = match self.kind {
            Kind::Gru { linear_before_reset: true } => 2 * self.hidden,
            _ => input.len(),
        };
        Some(input.iter().zip(state).enumerate().map(|(i, (w, r))| if i < waits { *w + *r } else { *w }).collect())
    }

    /// Makes the next states. `gates` holds the inputs' products, `[batch, gates * hidden]`, and is used up.
    pub fn step(&self, gates: &mut [T], h: &mut [T], c: &mut [T]) {
        if self.hidden == 0 || h.is_empty() {
            return;
        }
        match self.kind {
            Kind::Rnn => self.rnn(gates, h),
            Kind::Gru { linear_before_reset } => self.gru(gates, h, linear_before_reset),
            Kind::Lstm { input_forget } => self.lstm(gates, h, c, input_forget),
        }
    }

    /// As onnxruntime clips: gates with a bias always, at the ends of float if nothing else is said, and a NaN among them
    /// becomes the upper end.
    fn activate(&self, which: usize, values: &mut [T]) {
        let biased = self.bias.is_some() && self.kind != Kind::Rnn;
        let end = T::from_f64(f64::from(f32::MAX));
        if let Some(clip) = self.clip.or(biased.then_some(end)) {
            for v in values.iter_mut() {
                if *v > clip || biased && v.is_nan() {
                    *v = clip;
                } else if *v < -clip {
                    *v = -clip;
                }
            }
        }
        match self.activations[which] {
            // of NaN too, other than the operator of this name
            Activation::Relu => values.iter_mut().for_each(|v| *v = if *v > T::ZERO { *v } else { T::ZERO }),
            activation => activation.apply(values),
        }
    }

    fn rnn(&self, gates: &mut [T], h: &mut [T]) {
        self.weights.state.multiply_by(h, gates);
        self.activate(0, gates);
        h.copy_from_slice(gates);
    }

    fn gru(&self, gates: &mut [T], h: &mut [T], linear_before_reset: bool) {
        let n = self.hidden;
        let mut sums = vec![T::ZERO; h.len() * 2];
        self.weights.state.multiply_by(h, &mut sums);
        for (gate, sums) in gates.chunks_exact_mut(3 * n).zip(sums.chunks_exact(2 * n)) {
            gate.iter_mut().zip(sums).for_each(|(v, sum)| *v += *sum);
            self.activate(0, &mut gate[..2 * n]);
        }
        let Some(reset) = &self.weights.reset else { return };
        let mut candidate = vec![T::ZERO; h.len()];
        if linear_before_reset {
            if let Some(bias) = self.bias {
                candidate.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(&bias[5 * n..]));
            }
            reset.multiply_by(h, &mut candidate);
            for (row, gate) in candidate.chunks_exact_mut(n).zip(gates.chunks_exact(3 * n)) {
                row.iter_mut().zip(&gate[n..2 * n]).for_each(|(v, r)| *v *= *r);
            }
        } else {
            let mut kept = h.to_vec();
            for (row, gate) in kept.chunks_exact_mut(n).zip(gates.chunks_exact(3 * n)) {
                row.iter_mut().zip(&gate[n..2 * n]).for_each(|(v, r)| *v *= *r);
            }
            reset.multiply_by(&kept, &mut candidate);
        }
        let rows = candidate.chunks_exact_mut(n).zip(gates.chunks_exact(3 * n)).zip(h.chunks_exact_mut(n));
        for ((row, gate), h) in rows {
            row.iter_mut().zip(&gate[2 * n..]).for_each(|(v, x)| *v += *x);
            self.activate(1, row);
            for ((h, new), z) in h.iter_mut().zip(row.iter()).zip(gate) {
                *h = (T::ONE - *z) * *new + *z * *h;
            }
        }
    }

    fn lstm(&self, gates: &mut [T], h: &mut [T], c: &mut [T], input_forget: bool) {
        let n = self.hidden;
        self.weights.state.multiply_by(h, gates);
        let rows = gates.chunks_exact_mut(4 * n).zip(h.chunks_exact_mut(n)).zip(c.chunks_exact_mut(n));
        for ((gate, h), c) in rows {
            let (i, rest) = gate.split_at_mut(n);
            let (o, rest) = rest.split_at_mut(n);
            let (f, g) = rest.split_at_mut(n);
            if let Some(p) = self.peepholes {
                add_product(i, &p[..n], c);
                add_product(f, &p[2 * n..], c);
            }
            self.activate(0, i);
            if input_forget {
                f.iter_mut().zip(i.iter()).for_each(|(f, i)| *f = T::ONE - *i);
            } else {
                self.activate(0, f);
            }
            self.activate(1, g);
            for (((c, f), i), g) in c.iter_mut().zip(f.iter()).zip(i.iter()).zip(g.iter()) {
                *c = *f * *c + *i * *g;
            }
            if let Some(p) = self.peepholes {
                add_product(o, &p[n..2 * n], c);
            }
            self.activate(0, o);
            h.copy_from_slice(c);
            self.activations[2].apply(h);
            h.iter_mut().zip(o.iter()).for_each(|(h, o)| *h *= *o);
        }
    }
}

/// `sum += a * b`, element by element.
fn add_product<T: Real>(sum: &mut [T], a: &[T], b: &[T]) {
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        *sum += *a * *b;
    }
}
