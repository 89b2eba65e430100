//! onnxruntime's own element-wise operators: BiasGelu and FastGelu, an addition and a Gelu.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::activations::exact_gelu;
use crate::ops::math::activations::tanh_gelu;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::number::Number;
use crate::ops::math::number::number_type;
use crate::ops::math::unary::Floats;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
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
        let mut value = match inputs.optional(1)?.map(|bias| bias.element_type()) {
            None => inputs.take_value(0),
            Some(element_type) => number_type!(element_type, T => {
                binary_in_place::<T>(inputs, |a, b| a.plus(*b))?
            }, bad!("expected floats, found {element_type}")),
        };
        self.0.apply(&mut value)?;
        Ok(smallvec![value])
    }
}
