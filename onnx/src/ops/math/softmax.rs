//! Softmax, LogSoftmax, Hardmax: over one axis since operator set 13, over all axes from one on before.

use half::f16;
use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::exp;
use crate::ops::math::unary::through_f32;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::value::Values;

pub const OPERATORS: &[Operator] =
    &[Operator::own("Hardmax", build), Operator::shared("LogSoftmax", build), Operator::shared("Softmax", build)];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Soft,
    Log,
    Hard,
}

#[derive(Debug)]
struct Softmax {
    kind: Kind,
    axis: i64,
    /// All axes from `axis` on are one, as before operator set 13.
    flatten: bool,
}

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let kind = match build.node.op_type.as_str() {
        "Softmax" => Kind::Soft,
        "LogSoftmax" => Kind::Log,
        _ => Kind::Hard,
    };
    let flatten = build.version() < 13;
    let axis = build.node.attributes.int_or("axis", if flatten { 1 } else { -1 })?;
    Ok(Box::new(Softmax { kind, axis, flatten }))
}

impl Kernel for Softmax {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let (shape, rank) = (tensor.shape(), tensor.rank());
        let axis = if self.axis < 0 { self.axis.saturating_add(rank as i64) } else { self.axis };
        // A vector has no axis 1, the default of old: there it is one row whose length is 1, or all of a scalar.
        let axis = usize::try_from(axis).ok().filter(|a| *a < rank || (self.flatten && *a == rank) || *a + rank == 0);
        let Some(axis) = axis else { bad!("axis {} of {rank} axes", self.axis) };
        let (len, inner): (usize, usize) = if self.flatten || rank == 0 {
            (shape[axis..].iter().product(), 1)
        } else {
            (shape[axis], shape[axis + 1..].iter().product())
        };
        let element_type = tensor.element_type();
        let mut value = inputs.take_value(0);
        match element_type {
            ElementType::F32 => rows(writable::<f32>(&mut value)?, len, inner, |row| single(self.kind, row)),
            ElementType::F64 => rows(writable::<f64>(&mut value)?, len, inner, |row| double(self.kind, row)),
            ElementType::F16 => through_f32(writable::<f16>(&mut value)?, |wide| {
                rows(wide, len, inner, |row| single(self.kind, row));
            }),
            other => bad!("expected floats, found {other}"),
        }
        Ok(smallvec![value])
    }
}

/// Runs `f` on every line of `len` elements that lie `inner` apart.
pub fn rows<T: Copy>(values: &mut [T], len: usize, inner: usize, mut f: impl FnMut(&mut [T])) {
    if values.is_empty() {
        return;
    }
    if inner == 1 {
        values.chunks_exact_mut(len).for_each(f);
        return;
    }
    let mut line: Vec<T> = Vec::with_capacity(len);
    for block in values.chunks_exact_mut(len * inner) {
        for start in 0..inner {
            line.clear();
            line.extend(block[start..].iter().step_by(inner).copied());
            f(&mut line);
            for (to, from) in block[start..].iter_mut().step_by(inner).zip(&line) {
                *to = *from;
            }
        }
    }
}

/// The sum with eight running sums, which is faster and more exact than one.
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    lanes.iter().sum::<f32>() + chunks.remainder().iter().sum::<f32>()
}

fn maximum(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    let mut chunks = values.chunks_exact(8);
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *v);
        }
    }
    lanes.iter().chain(chunks.remainder()).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

fn single(kind: Kind, row: &mut [f32]) {
    match kind {
        Kind::Hard => hard(row, 0.0, 1.0),
        Kind::Soft => softmax(row),
        Kind::Log => {
            let max = maximum(row);
            let mut powers = row.to_vec();
            powers.iter_mut().for_each(|v| *v = exp(*v - max));
            let log = sum(&powers).ln();
            row.iter_mut().for_each(|v| *v = *v - max - log);
        }
    }
}

/// Softmax of one line, in place.
pub fn softmax(row: &mut [f32]) {
    let max = maximum(row);
    for v in row.iter_mut() {
        *v = exp(*v - max);
    }
    let scale = 1.0 / sum(row);
    for v in row {
        *v *= scale;
    }
}

fn double(kind: Kind, row: &mut [f64]) {
    // NaN in the first place stays, as in onnxruntime
    let Some(max) = row.iter().copied().reduce(|a, b| if b > a { b } else { a }) else { return };
    let sum = || -> f64 { row.iter().map(|v| (v - max).exp()).sum() };
    match kind {
        Kind::Hard => hard(row, 0.0, 1.0),
        Kind::Soft => {
            let sum = sum();
            row.iter_mut().for_each(|v| *v = (*v - max).exp() / sum);
        }
        Kind::Log => {
            // as in onnxruntime, where infinities and NaN make no number of the sum
            let log = sum().max(f64::from(1e-20f32)).ln();
            row.iter_mut().for_each(|v| *v = *v - max - log);
        }
    }
}

/// 1 where the first largest element is, else 0.
fn hard<T: Copy + PartialOrd>(row: &mut [T], zero: T, one: T) {
    let mut best = 0;
    for i in 1..row.len() {
        if row[i] > row[best] {
            best = i;
        }
    }
    row.fill(zero);
    if let Some(v) = row.get_mut(best) {
        *v = one;
    }
}
