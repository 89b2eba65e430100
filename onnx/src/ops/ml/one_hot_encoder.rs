//! OneHotEncoder of `ai.onnx.ml`: a category becomes a row of zeros with one 1.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::lookup::Duplicates;
use crate::ops::ml::lookup::Lookup;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("OneHotEncoder", one_hot_encoder).of(ML)];

const UNKNOWN: u32 = u32::MAX;

#[derive(Debug)]
struct OneHotEncoder {
    categories: Lookup,
    count: usize,
    /// An unknown category is all zeros, not an error.
    zeros: bool,
}

impl Kernel for OneHotEncoder {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let known = |i: Option<usize>| i.map_or(UNKNOWN, |i| i as u32);
        let integer = |x: f64| known(self.categories.integer(truncated(x)));
        let found = match x.elements() {
            Elements::F32(v) => v.iter().map(|x| integer(f64::from(*x))).collect(),
            Elements::F64(v) => v.iter().map(|x| integer(*x)).collect(),
            other => self.categories.map(other, known)?,
        };
        let mut shape = Shape::from_slice(x.shape());
        shape.push(self.count);
        let mut y = Tensor::zeros::<f32>(&shape)?;
        for (row, found) in y.slice_mut::<f32>()?.chunks_exact_mut(self.count).zip(found) {
            match row.get_mut(found as usize) {
                Some(hot) => *hot = 1.0,
                None if self.zeros => {}
                None => bad!("a category is unknown, and the attribute `zeros` is 0"),
            }
        }
        Ok(one(y))
    }

    fn bytes(&self) -> usize {
        self.categories.bytes()
    }
}

/// As x86 converts: what does not fit, and NaN, is the least number.
fn truncated(x: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) { x as i64 } else { i64::MIN }
}

fn one_hot_encoder(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let integers = attributes.ints("cats_int64s")?.unwrap_or_default();
    let texts = attributes.texts("cats_strings")?.unwrap_or_default();
    let (categories, count) = match (integers.len(), texts.len()) {
        (0, n) if n > 0 => (Lookup::texts(&texts, Duplicates::Last), n),
        (n, 0) if n > 0 => (Lookup::integers(integers, Duplicates::Last), n),
        _ => bad!("exactly one of the attributes `cats_int64s` and `cats_strings` is needed"),
    };
    Ok(Box::new(OneHotEncoder { categories, count, zeros: attributes.flag("zeros", true)? }))
}
