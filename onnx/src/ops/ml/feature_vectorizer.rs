//! FeatureVectorizer of `ai.onnx.ml`: inputs side by side as floats, each cut or filled up to its width.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::matrix::floats;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("FeatureVectorizer", feature_vectorizer).of(ML)];

#[derive(Debug)]
struct FeatureVectorizer {
    widths: Vec<usize>,
    total: usize,
}

/// Rows and what a row holds; a vector is one row.
fn rows(tensor: &Tensor) -> Result<(usize, usize), OpError> {
    match tensor.shape() {
        [] => bad!("a scalar has no columns"),
        [columns] => Ok((1, *columns)),
        [rows, rest @ ..] => Ok((*rows, rest.iter().product())),
    }
}

impl Kernel for FeatureVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        if inputs.len() != self.widths.len() {
            bad!("{} inputs for {} widths", inputs.len(), self.widths.len());
        }
        let (count, _) = rows(inputs.tensor(0)?)?;
        let mut y = Tensor::zeros::<f32>(&[count, self.total])?;
        let all = y.slice_mut::<f32>()?;
        let mut at = 0;
        for (i, width) in self.widths.iter().enumerate() {
            let tensor = inputs.tensor(i)?;
            let (rows, columns) = rows(tensor)?;
            if rows != count {
                bad!("input {i} is {}, the first has {count} rows", show(tensor.shape()));
            }
            let taken = columns.min(*width);
            if taken > 0 {
                let values = floats(tensor)?;
                for (to, from) in all.chunks_exact_mut(self.total).zip(values.chunks_exact(columns)) {
                    to[at..at + taken].copy_from_slice(&from[..taken]);
                }
            }
            at += width;
        }
        Ok(one(y))
    }
}

fn feature_vectorizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let widths = build.node.attributes.ints("inputdimensions")?.ok_or_else(|| missing("inputdimensions"))?;
    let widths = widths.iter().map(|w| usize::try_from(*w)).collect::<Result<Vec<_>, _>>();
    let widths = widths.map_err(|_| OpError::bad("attribute `inputdimensions` has a negative width"))?;
    let total = widths.iter().try_fold(0usize, |sum, w| sum.checked_add(*w));
    let total = total.ok_or_else(|| OpError::too_large("the widths add up to too much"))?;
    if widths.is_empty() {
        bad!("attribute `inputdimensions` is empty");
    }
    Ok(Box::new(FeatureVectorizer { widths, total }))
}
