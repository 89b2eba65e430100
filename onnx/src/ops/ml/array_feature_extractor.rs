//! ArrayFeatureExtractor of `ai.onnx.ml`: columns by their numbers.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::admit;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("ArrayFeatureExtractor", extractor).of(ML)];

#[derive(Debug)]
struct Extractor;

impl Kernel for Extractor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (x, columns) = (inputs.tensor(0)?, inputs.tensor(1)?.to_i64s()?);
        let Some((width, before)) = x.shape().split_last() else { bad!("a scalar has no columns") };
        if columns.is_empty() {
            bad!("no columns are wanted");
        }
        let columns: Option<Vec<usize>> =
            columns.iter().map(|c| usize::try_from(*c).ok().filter(|c| c < width)).collect();
        let Some(columns) = columns else { bad!("a column is wanted that is not among {width}") };
        let mut shape = Shape::from_slice(if before.is_empty() { &[1] } else { before });
        shape.push(columns.len());
        admit(x.elements(), &shape)?;
        Ok(one(Tensor::from_elements(&shape, each_type!(x.elements(), v => extract(v, *width, &columns)))?))
    }
}

fn extract<T: Element>(all: &[T], width: usize, columns: &[usize]) -> Elements {
    let mut out = Vec::with_capacity(all.len() / width * columns.len());
    for row in all.chunks_exact(width) {
        out.extend(columns.iter().map(|c| row[*c].clone()));
    }
    T::wrap(out)
}

fn extractor(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Extractor))
}
