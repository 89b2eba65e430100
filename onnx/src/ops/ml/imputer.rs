//! Imputer of `ai.onnx.ml`: a value that stands for "missing" is replaced, by one value or by one a column.

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

pub const OPERATORS: &[Operator] = &[Operator::own("Imputer", imputer).of(ML)];

#[derive(Debug)]
enum Imputer {
    Floats { missing: f32, by: Vec<f32> },
    Integers { missing: i64, by: Vec<i64> },
}

impl Kernel for Imputer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (shape, mut elements) = inputs.take(0)?.into_parts();
        let columns = stride(&shape)?;
        match (self, &mut elements) {
            (Imputer::Floats { missing, by }, Elements::F32(v)) => fill(v, columns, by, *missing, |x| x.is_nan()),
            (Imputer::Floats { missing, by }, Elements::F64(v)) => {
                let by: Vec<f64> = by.iter().map(|x| f64::from(*x)).collect();
                fill(v, columns, &by, f64::from(*missing), |x| x.is_nan());
            }
            (Imputer::Integers { missing, by }, Elements::I64(v)) => fill(v, columns, by, *missing, |_| false),
            (Imputer::Integers { missing, by }, Elements::I32(v)) => {
                let by: Vec<i32> = by.iter().map(|x| *x as i32).collect();
                if let Ok(missing) = i32::try_from(*missing) {
                    fill(v, columns, &by, missing, |_| false);
                }
            }
            (_, other) => bad!("the imputed values are not of the type of the input, {}", other.element_type()),
        }
        Ok(one(Tensor::from_elements(&shape, elements)?))
    }

    fn parameters(&self) -> usize {
        match self {
            Imputer::Floats { by, .. } => by.len(),
            Imputer::Integers { by, .. } => by.len(),
        }
    }
}

/// One value a column if there are as many as columns, else the first for all. NaN stands for every NaN.
fn fill<T: Copy + PartialEq>(all: &mut [T], columns: usize, by: &[T], missing: T, is_nan: fn(T) -> bool) {
    let nan = is_nan(missing);
    let is_missing = |x: T| x == missing || nan && is_nan(x);
    if by.len() != columns {
        all.iter_mut().filter(|x| is_missing(**x)).for_each(|x| *x = by[0]);
        return;
    }
    for row in all.chunks_exact_mut(columns.max(1)) {
        for (x, by) in row.iter_mut().zip(by) {
            *x = if is_missing(*x) { *by } else { *x };
        }
    }
}

fn imputer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let floats = attributes.floats("imputed_value_floats")?.filter(|v| !v.is_empty());
    let integers = attributes.ints("imputed_value_int64s")?.filter(|v| !v.is_empty());
    Ok(Box::new(match (floats, integers) {
        (Some(by), None) => {
            Imputer::Floats { missing: attributes.float_or("replaced_value_float", 0.0)?, by: by.to_vec() }
        }
        (None, Some(by)) => {
            Imputer::Integers { missing: attributes.int_or("replaced_value_int64", 0)?, by: by.to_vec() }
        }
        _ => bad!("exactly one of the attributes `imputed_value_floats` and `imputed_value_int64s` is needed"),
    }))
}
