//! Recurrent layers: RNN, GRU and LSTM in both directions and both layouts.

mod cells;
mod quantised;
mod weights;

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::activation::Activation;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::recurrent::cells::Cell;
use crate::ops::nets::recurrent::weights::Weights;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("DynamicQuantizeLSTM", lstm).of(MICROSOFT).note("takes statistics over all rows; constant weights"),
    Operator::heavy("GRU", gru),
    Operator::heavy("LSTM", lstm),
    Operator::heavy("RNN", rnn),
];

/// Which cell, with its own attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rnn,
    Gru { linear_before_reset: bool },
    Lstm { input_forget: bool },
}

impl Kind {
    fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::Gru { .. } => 3,
            Kind::Lstm { .. } => 4,
        }
    }

    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru { .. } => &["Sigmoid", "Tanh"],
            Kind::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

#[derive(Debug)]
struct Recurrent {
    kind: Kind,
    /// Backwards or not, a direction.
    directions: Vec<bool>,
    /// Of all directions, one after the other.
    activations: Vec<Activation>,
    clip: Option<f32>,
    /// The batch comes first (layout 1).
    batch_first: bool,
    hidden: Option<i64>,
    /// Quantised weights: a column a gate's unit.
    transposed: bool,
    /// Constant weights, packed by direction.
    packed: Option<Vec<Weights<f32>>>,
}

/// Sizes of one run.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    directions: usize,
    batch_first: bool,
}

impl Sizes {
    /// Row of X that holds a step of a batch item.
    fn row(&self, step: usize, item: usize) -> usize {
        if self.batch_first { item * self.steps + step } else { step * self.batch + item }
    }

    /// Where Y holds it.
    fn y(&self, step: usize, direction: usize, item: usize) -> usize {
        let row = if self.batch_first {
            (item * self.steps + step) * self.directions + direction
        } else {
            (step * self.directions + direction) * self.batch + item
        };
        row * self.hidden
    }

    /// Where states hold it.
    fn state(&self, direction: usize, item: usize) -> usize {
        let row = if self.batch_first { item * self.directions + direction } else { direction * self.batch + item };
        row * self.hidden
    }

    fn y_shape(&self) -> [usize; 4] {
        match self.batch_first {
            true => [self.batch, self.steps, self.directions, self.hidden],
            false => [self.steps, self.directions, self.batch, self.hidden],
        }
    }

    fn state_shape(&self) -> [usize; 3] {
        match self.batch_first {
            true => [self.batch, self.directions, self.hidden],
            false => [self.directions, self.batch, self.hidden],
        }
    }
}

impl Kernel for Recurrent {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.layer::<f32>(i, self.packed.as_deref()), |i| self.layer::<f64>(i, None))
    }

    fn bytes(&self) -> usize {
        self.packed.iter().flatten().map(Weights::bytes).sum()
    }
}

impl Recurrent {
    fn sizes(&self, inputs: &Inputs<'_>) -> Result<Sizes, OpError> {
        let (x, mut w, mut r) = (
            inputs.tensor(0)?.shape().to_vec(),
            inputs.tensor(1)?.shape().to_vec(),
            inputs.tensor(2)?.shape().to_vec(),
        );
        if self.transposed && w.len() == 3 && r.len() == 3 {
            w.swap(1, 2);
            r.swap(1, 2);
        }
        let (&[first, second, input], &[_, rows, hidden]) = (x.as_slice(), r.as_slice()) else {
            bad!("an input of {} axes and weights of {}", x.len(), r.len());
        };
        let directions = self.directions.len();
        if r[0] != directions || Some(rows) != hidden.checked_mul(self.kind.gates()) || w != [directions, rows, input] {
            bad!("weights {w:?} and {r:?} for {input} inputs in {directions} directions");
        }
        if self.hidden.is_some_and(|h| usize::try_from(h) != Ok(hidden)) {
            bad!("hidden_size differs from the weights' {hidden}");
        }
        let (steps, batch) = if self.batch_first { (second, first) } else { (first, second) };
        Ok(Sizes { steps, batch, input, hidden, directions, batch_first: self.batch_first })
    }

    fn layer<T: Real>(&self, inputs: &Inputs<'_>, packed: Option<&[Weights<T>]>) -> Result<Values, OpError> {
        let sizes = self.sizes(inputs)?;
        let state = sizes.state_shape();
        let rows = sizes.hidden * self.kind.gates();
        let b = given::<T>(inputs, 3, &[sizes.directions, 2 * rows])?;
        let lengths = lengths(inputs, &sizes)?;
        let h0 = given::<T>(inputs, 5, &state)?;
        let lstm = matches!(self.kind, Kind::Lstm { .. });
        let c0 = if lstm { given::<T>(inputs, 6, &state)? } else { None };
        let p = if lstm { given::<T>(inputs, 7, &[sizes.directions, 3 * sizes.hidden])? } else { None };
        let x = inputs.slice::<T>(0)?;
        let fresh;
        let weights = match packed {
            Some(weights) => weights,
            None => {
                let (w, r) = (inputs.slice::<T>(1)?, inputs.slice::<T>(2)?);
                fresh = Weights::pack(self.kind, w, r, sizes.directions, sizes.input, sizes.hidden);
                &fresh
            }
        };
        let mut out = Outputs {
            y: vec![T::ZERO; volume(&sizes.y_shape(), T::TYPE.size())?],
            h: vec![T::ZERO; volume(&state, T::TYPE.size())?],
            c: vec![T::ZERO; if lstm { volume(&state, T::TYPE.size())? } else { 0 }],
        };
        volume(&[sizes.steps, sizes.batch, rows], T::TYPE.size())?;
        let each = self.kind.activations().len();
        for (d, backwards) in self.directions.iter().enumerate() {
            let cell = Cell {
                kind: self.kind,
                hidden: sizes.hidden,
                weights: &weights[d],
                bias: b.map(|b| &b[d * 2 * rows..(d + 1) * 2 * rows]),
                peepholes: p.map(|p| &p[d * 3 * sizes.hidden..(d + 1) * 3 * sizes.hidden]),
                activations: &self.activations[d * each..(d + 1) * each],
                clip: self.clip.map(|c| T::from_f64(f64::from(c))),
            };
            direction(&cell, &sizes, d, *backwards, x, &lengths, h0, c0, &mut out);
        }
        let mut values: Values =
            smallvec![Tensor::new(&sizes.y_shape(), out.y)?.into(), Tensor::new(&state, out.h)?.into(),];
        if lstm {
            values.push(Tensor::new(&state, out.c)?.into());
        }
        Ok(values)
    }
}

struct Outputs<T> {
    y: Vec<T>,
    h: Vec<T>,
    c: Vec<T>,
}

/// Runs one direction; items whose sequence has ended keep their state.
#[allow(clippy::too_many_arguments)]
fn direction<T: Real>(
    cell: &Cell<'_, T>,
    sizes: &Sizes,
    d: usize,
    backwards: bool,
    x: &[T],
    lengths: &[usize],
    h0: Option<&[T]>,
    c0: Option<&[T]>,
    out: &mut Outputs<T>,
) {
    let (hidden, batch, lstm) = (sizes.hidden, sizes.batch, !out.c.is_empty());
    let rows = hidden * cell.kind.gates();
    let projected = project(cell, sizes, x);
    let gather = |from: Option<&[T]>| -> Vec<T> {
        let mut state = vec![T::ZERO; batch * hidden];
        if let Some(from) = from {
            for (i, s) in state.chunks_exact_mut(hidden.max(1)).enumerate() {
                s.copy_from_slice(&from[sizes.state(d, i)..][..hidden]);
            }
        }
        state
    };
    let (mut h, mut c) = (gather(h0), if lstm { gather(c0) } else { vec![] });
    let mut gates = vec![T::ZERO; batch * rows];
    for step in 0..lengths.iter().copied().max().unwrap_or(0) {
        let at = |i: usize| if backwards { lengths[i].saturating_sub(step + 1) } else { step };
        for (i, gate) in gates.chunks_exact_mut(rows.max(1)).enumerate() {
            gate.copy_from_slice(&projected[sizes.row(at(i).min(sizes.steps - 1), i) * rows..][..rows]);
        }
        let (before_h, before_c) =
            if lengths.iter().all(|l| step < *l) { (None, None) } else { (Some(h.clone()), Some(c.clone())) };
        cell.step(&mut gates, &mut h, &mut c);
        for (i, length) in lengths.iter().enumerate() {
            let own = i * hidden..(i + 1) * hidden;
            if step < *length {
                out.y[sizes.y(at(i), d, i)..][..hidden].copy_from_slice(&h[own]);
            } else if let (Some(before_h), Some(before_c)) = (&before_h, &before_c) {
                h[own.clone()].copy_from_slice(&before_h[own.clone()]);
                if lstm {
                    c[own.clone()].copy_from_slice(&before_c[own]);
                }
            }
        }
    }
    for (i, length) in lengths.iter().enumerate() {
        // An item without any step ends with zeros, as in onnxruntime.
        if *length > 0 {
            out.h[sizes.state(d, i)..][..hidden].copy_from_slice(&h[i * hidden..][..hidden]);
            if lstm {
                out.c[sizes.state(d, i)..][..hidden].copy_from_slice(&c[i * hidden..][..hidden]);
            }
        }
    }
}

/// The inputs times their weights, for all steps at once, with the biases that do not wait for a gate.
fn project<T: Real>(cell: &Cell<'_, T>, sizes: &Sizes, x: &[T]) -> Vec<T> {
    let rows = sizes.hidden * cell.kind.gates();
    let mut projected = vec![T::ZERO; sizes.steps * sizes.batch * rows];
    if let Some(bias) = cell.projected_bias() {
        for row in projected.chunks_exact_mut(rows.max(1)) {
            row.copy_from_slice(&bias);
        }
    }
    cell.weights.input.multiply_by(x, &mut projected);
    projected
}

fn given<'a, T: Real>(inputs: &'a Inputs<'_>, i: usize, shape: &[usize]) -> Result<Option<&'a [T]>, OpError> {
    match inputs.optional(i)? {
        None => Ok(None),
        Some(tensor) if tensor.shape() == shape => inputs.slice::<T>(i).map(Some),
        Some(tensor) => bad!("input {i} has the shape {:?}, expected {shape:?}", tensor.shape()),
    }
}

fn lengths(inputs: &Inputs<'_>, sizes: &Sizes) -> Result<Vec<usize>, OpError> {
    let Some(lengths) = inputs.optional(4)? else { return Ok(vec![sizes.steps; sizes.batch]) };
    let lengths = lengths.to_i64s()?;
    if lengths.len() != sizes.batch {
        bad!("{} sequence lengths for a batch of {}", lengths.len(), sizes.batch);
    }
    let fits = |l: i64| usize::try_from(l).ok().filter(|l| *l <= sizes.steps);
    lengths.into_iter().map(|l| fits(l).ok_or_else(|| OpError::bad(format!("a sequence length of {l}")))).collect()
}

fn rnn(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, Kind::Rnn)
}

fn gru(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, Kind::Gru { linear_before_reset: build.node.attributes.flag("linear_before_reset", false)? })
}

fn lstm(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, Kind::Lstm { input_forget: build.node.attributes.flag("input_forget", false)? })
}

fn make(build: &Build<'_>, kind: Kind) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let directions = match attributes.text_or("direction", "forward")?.to_ascii_lowercase().as_str() {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => bad!("direction `{other}` is not known"),
    };
    let usual = kind.activations().repeat(directions.len());
    let names = match attributes.texts("activations")? {
        Some(names) if names.len() == usual.len() => names,
        Some(names) => bad!("{} activations, expected {}", names.len(), usual.len()),
        None => usual.iter().map(ToString::to_string).collect(),
    };
    let (mut alphas, mut betas) =
        (attributes.floats("activation_alpha")?.unwrap_or(&[]), attributes.floats("activation_beta")?.unwrap_or(&[]));
    let activations =
        names.iter().map(|name| Activation::read(name, &mut alphas, &mut betas)).collect::<Result<Vec<_>, _>>()?;
    let transposed = build.node.op_type == "DynamicQuantizeLSTM";
    let packed = match transposed {
        true => Some(quantised::prepare(build, directions.len())?),
        false => weights::prepare(kind, directions.len(), build.constant(1), build.constant(2)),
    };
    Ok(Box::new(Recurrent {
        kind,
        transposed,
        activations,
        clip: attributes.float("clip")?.filter(|c| *c > 0.0),
        batch_first: attributes.flag("layout", false)?,
        hidden: attributes.int("hidden_size")?,
        packed,
        directions,
    }))
}
