//! onnxruntime's own element-wise operators: BiasGelu and FastGelu, an addition and a Gelu.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::activations::exact_gelu;
use crate::ops::math::activations::tanh_gelu;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::unary::Floats;
use crate::ops::math::widen::widened_one;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("BiasGelu", |_| Ok(Box::new(BiasGelu(exact_gelu())))).of(MICROSOFT),
    Operator::own("FastGelu", |_| Ok(Box::new(BiasGelu(tanh_gelu())))).of(MICROSOFT),
];

/// Input 1, if given, is added before.
#[derive(Debug)]
struct BiasGelu(Floats);

impl Kernel for BiasGelu {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| {
            let mut value = match inputs.optional(1)?.map(Tensor::element_type) {
                None => inputs.take_value(0),
                Some(ElementType::F32) => binary_in_place::<f32>(inputs, |a, b| a + b)?,
                Some(ElementType::F64) => binary_in_place::<f64>(inputs, |a, b| a + b)?,
                Some(other) => bad!("expected floats, found {other}"),
            };
            self.0.apply(&mut value)?;
            Ok(value)
        })
    }
}
