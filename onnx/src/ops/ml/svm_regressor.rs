//! SVMRegressor of `ai.onnx.ml`, one-class models included.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::matrix::floats;
use crate::ops::ml::matrix::rows_columns;
use crate::ops::ml::product::Product;
use crate::ops::ml::svm::Vectors;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] =
    &[Operator::own("SVMRegressor", svm_regressor).of(ML).note("without post transforms, as in onnxruntime")];

#[derive(Debug)]
struct SvmRegressor {
    /// `None` for a linear model: the coefficients meet the row itself.
    vectors: Option<Vectors>,
    coefficients: Product,
    rho: f32,
    one_class: bool,
}

impl Kernel for SvmRegressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.tensor(0)?;
        let (rows, columns) = rows_columns(tensor)?;
        let expected = self.vectors.as_ref().map_or(self.coefficients.columns(), Vectors::columns);
        if columns != expected {
            bad!("{columns} columns, expected {expected}");
        }
        let x = floats(tensor)?;
        let mut y = vec![0.0; rows];
        match &self.vectors {
            Some(vectors) => self.coefficients.run(&vectors.near(&x, rows)?, 1.0, &[self.rho], &mut y),
            None => self.coefficients.run(&x, 1.0, &[self.rho], &mut y),
        }
        if self.one_class {
            y.iter_mut().for_each(|y| *y = if *y > 0.0 { 1.0 } else { -1.0 });
        }
        Ok(one(Tensor::new(&[rows, 1], y)?))
    }

    fn bytes(&self) -> usize {
        self.vectors.as_ref().map_or(0, Vectors::bytes) + self.coefficients.bytes()
    }

    fn parameters(&self) -> usize {
        self.vectors.as_ref().map_or(0, Vectors::parameters) + self.coefficients.parameters() + 1
    }
}

fn svm_regressor(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let count = attributes.int_or("n_supports", 0)?;
    let coefficients = attributes.floats("coefficients")?.ok_or_else(|| missing("coefficients"))?;
    let rho = attributes.floats("rho")?.and_then(|v| v.first().copied()).ok_or_else(|| missing("rho"))?;
    let vectors = match usize::try_from(count) {
        Ok(0) | Err(_) => None,
        Ok(count) if count == coefficients.len() => Some(Vectors::read(attributes, count)?),
        Ok(count) => bad!("{} coefficients for {count} support vectors", coefficients.len()),
    };
    let coefficients = Product::new(coefficients, 1)?;
    Ok(Box::new(SvmRegressor { vectors, coefficients, rho, one_class: attributes.flag("one_class", false)? }))
}
