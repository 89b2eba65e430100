//! QLinearWhere of onnxruntime: a choice between two quantised tensors, quantised again.

use crate::bad;
use crate::dense::activation::Activation;
use crate::dense::batch::broadcast;
use crate::dense::batch::offsets;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::qlinear::least;
use crate::ops::dense::qlinear::looked_up;
use crate::ops::dense::qlinear::table;
use crate::ops::dense::quant::Scaled;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("QLinearWhere", |_| Ok(Box::new(Where))).of(MICROSOFT)];

#[derive(Debug)]
struct Where;

impl Kernel for Where {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let condition = inputs.tensor(0)?;
        let zero = inputs.tensor(8)?;
        let to = Scaled::read(inputs.tensor(7)?, Some(zero))?;
        let side = |i: usize| -> Result<(&[usize], Elements), OpError> {
            let values = inputs.tensor(i)?;
            let from = Scaled::read(inputs.tensor(i + 1)?, inputs.optional(i + 2)?)?;
            let table = table(least(values), from, Activation::None, to, zero)?;
            Ok((values.shape(), looked_up(values, &table)?))
        };
        let ((left, x), (right, y)) = (side(1)?, side(4)?);
        let shape = broadcast(left, right).and_then(|both| broadcast(condition.shape(), &both));
        let Some(shape) = shape else { bad!("the shapes cannot be broadcast") };
        volume(&shape, 16)?;
        let chosen = condition.slice::<bool>()?;
        let places = offsets(condition.shape(), &shape).into_iter().map(|at| chosen[at]);
        let places = places.zip(offsets(left, &shape).into_iter().zip(offsets(right, &shape)));
        let out = match (x, y) {
            (Elements::I8(x), Elements::I8(y)) => {
                Elements::I8(places.map(|(first, (i, j))| if first { x[i] } else { y[j] }).collect())
            }
            (Elements::U8(x), Elements::U8(y)) => {
                Elements::U8(places.map(|(first, (i, j))| if first { x[i] } else { y[j] }).collect())
            }
            _ => bad!("the sides are of different types"),
        };
        Ok(one(Tensor::from_elements(&shape, out)?))
    }
}
