//! Binarizer of `ai.onnx.ml`: 1 for what is greater than a threshold, else 0.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] =
    &[Operator::own("Binarizer", binarizer).of(ML).note("NaN gives 0, where onnxruntime refuses the batch")];

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

impl Kernel for Binarizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (shape, mut elements) = inputs.take(0)?.into_parts();
        let t = self.threshold;
        match &mut elements {
            Elements::F32(v) => v.iter_mut().for_each(|x| *x = f32::from(*x > t)),
            Elements::F64(v) => v.iter_mut().for_each(|x| *x = f64::from(*x > f64::from(t))),
            Elements::I64(v) => v.iter_mut().for_each(|x| *x = i64::from(*x as f32 > t)),
            Elements::I32(v) => v.iter_mut().for_each(|x| *x = i32::from(*x as f32 > t)),
            other => bad!("expected float, double, int32 or int64, found {}", other.element_type()),
        }
        Ok(one(Tensor::from_elements(&shape, elements)?))
    }
}

fn binarizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Binarizer { threshold: build.node.attributes.float_or("threshold", 0.0)? }))
}
