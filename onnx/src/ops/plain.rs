//! Operators that hand a value on: Identity, Constant, Dropout at inference.

use std::sync::Arc;

use smallvec::smallvec;

use crate::error::OpError;
use crate::graph::attributes::Attribute;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::unsupported;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Constant", constant).note("no sparse value of unusual types"),
    Operator::shared("Dropout", dropout).note("training mode is refused"),
    Operator::shared("Identity", identity),
];

#[derive(Debug)]
struct Constant(Arc<Tensor>);

impl Kernel for Constant {
    fn run(&self, _: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(smallvec![Value::Tensor(self.0.clone())])
    }
}

fn constant(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| OpError::bad("the constant is a text that is not UTF-8"))
    };
    let mut all = build.node.attributes.0.iter();
    let tensor = match (all.next(), all.next()) {
        (Some((_, Attribute::Tensor(tensor))), None) => tensor.clone(),
        (Some((_, Attribute::Float(v))), None) => Arc::new(Tensor::scalar(*v)),
        (Some((_, Attribute::Int(v))), None) => Arc::new(Tensor::scalar(*v)),
        (Some((_, Attribute::Text(v))), None) => Arc::new(Tensor::scalar(text(v)?)),
        (Some((_, Attribute::Floats(v))), None) => Arc::new(Tensor::vector(v.clone())),
        (Some((_, Attribute::Ints(v))), None) => Arc::new(Tensor::vector(v.clone())),
        (Some((_, Attribute::Texts(v))), None) => {
            Arc::new(Tensor::vector(v.iter().map(|t| text(t)).collect::<Result<Vec<_>, _>>()?))
        }
        _ => return Err(OpError::bad("exactly one value is needed")),
    };
    Ok(Box::new(Constant(tensor)))
}

#[derive(Debug)]
struct Identity;

impl Kernel for Identity {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(smallvec![inputs.take_value(0)])
    }
}

fn identity(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Identity))
}

/// Dropout as it is at inference; the mask, if wanted, is true everywhere.
#[derive(Debug)]
struct Dropout {
    mask: bool,
}

impl Kernel for Dropout {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        if inputs.optional(2)?.is_some_and(|t| t.slice::<bool>().is_ok_and(|v| v.contains(&true))) {
            unsupported!("training mode");
        }
        let shape = inputs.tensor(0)?.shape().to_vec();
        let mut out: Values = smallvec![inputs.take_value(0)];
        if self.mask {
            out.push(Tensor::full(&shape, true)?.into());
        }
        Ok(out)
    }
}

fn dropout(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Dropout { mask: build.has_output(1) }))
}
