//! ZipMap of `ai.onnx.ml`: a matrix whose columns get names.

use std::sync::Arc;

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::labels;
use crate::ops::ml::matrix::rows_columns;
use crate::registry::ML;
use crate::registry::Operator;
use crate::value::Keys;
use crate::value::Table;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("ZipMap", zip_map).of(ML)];

#[derive(Debug)]
struct ZipMap(Arc<Keys>);

impl Kernel for ZipMap {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (rows, columns) = rows_columns(inputs.tensor(0)?)?;
        if columns != self.0.len() {
            bad!("{columns} columns for {} labels", self.0.len());
        }
        let values = inputs.take(0)?.reshaped(&[rows, columns])?;
        Ok(smallvec![Value::Table(Arc::new(Table { keys: self.0.clone(), values }))])
    }
}

fn zip_map(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let keys = labels::some(&build.node.attributes, "classlabels_int64s", "classlabels_strings")?;
    Ok(Box::new(ZipMap(Arc::new(keys))))
}
