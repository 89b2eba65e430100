//! Scaler of `ai.onnx.ml`: `(x - offset) * scale`, always to floats.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::matrix::stride;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Scaler", scaler).of(ML)];

/// Both are of one length: a number for all columns, or one for each.
#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Kernel for Scaler {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.take(0)?;
        let columns = stride(x.shape())?;
        if self.scale.len() != 1 && self.scale.len() != columns {
            bad!("{columns} columns, expected {}", self.scale.len());
        }
        let (shape, elements) = x.into_parts();
        let floats = match elements {
            Elements::F32(mut v) => {
                self.in_place(&mut v);
                v
            }
            Elements::F64(v) => self.map(&v, |x, o, s| ((x - f64::from(o)) * f64::from(s)) as f32),
            Elements::I64(v) => self.map(&v, |x, o, s| (x as f32 - o) * s),
            Elements::I32(v) => self.map(&v, |x, o, s| (x as f32 - o) * s),
            other => bad!("expected float, double, int32 or int64, found {}", other.element_type()),
        };
        Ok(one(Tensor::new(&shape, floats)?))
    }

    fn parameters(&self) -> usize {
        self.offset.len() + self.scale.len()
    }
}

impl Scaler {
    fn in_place(&self, all: &mut [f32]) {
        if let ([o], [s]) = (&self.offset[..], &self.scale[..]) {
            all.iter_mut().for_each(|x| *x = (*x - o) * s);
            return;
        }
        for row in all.chunks_exact_mut(self.scale.len()) {
            for ((x, o), s) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
                *x = (*x - o) * s;
            }
        }
    }

    fn map<T: Copy>(&self, all: &[T], f: impl Fn(T, f32, f32) -> f32) -> Vec<f32> {
        let mut out = Vec::with_capacity(all.len());
        for row in all.chunks_exact(self.scale.len()) {
            out.extend(row.iter().zip(&self.offset).zip(&self.scale).map(|((x, o), s)| f(*x, *o, *s)));
        }
        out
    }
}

fn scaler(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let given = |name: &str| Ok::<_, OpError>(attributes.floats(name)?.filter(|v| !v.is_empty()).map(<[f32]>::to_vec));
    let (offset, scale) = match (given("offset")?, given("scale")?) {
        (Some(offset), Some(scale)) => (offset, scale),
        (Some(offset), None) => (offset.clone(), vec![1.0; offset.len()]),
        (None, Some(scale)) => (vec![0.0; scale.len()], scale),
        (None, None) => (vec![0.0], vec![1.0]),
    };
    if offset.len() != scale.len() {
        bad!("{} offsets for {} scales", offset.len(), scale.len());
    }
    Ok(Box::new(Scaler { offset, scale }))
}
