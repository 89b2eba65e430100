//! float16 through float: where a kernel computes in floats, its half-float inputs are converted before and its
//! results after, as onnxruntime does by Cast nodes.

use half::f16;

use crate::error::OpError;
use crate::kernel::Inputs;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

/// Runs `run`, with half-float inputs as floats if input 0 is one; of the results, the first `narrow` become half
/// floats again.
///
/// # Errors
/// Those of `run`.
pub fn widened(
    inputs: &mut Inputs<'_>,
    narrow: usize,
    run: impl FnOnce(&mut Inputs<'_>) -> Result<Values, OpError>,
) -> Result<Values, OpError> {
    if inputs.tensor(0)?.element_type() != ElementType::F16 {
        return run(inputs);
    }
    for value in inputs.0.iter_mut() {
        if let Some(tensor) = value.tensor().filter(|t| t.element_type() == ElementType::F16) {
            let wide: Vec<f32> = tensor.slice::<f16>()?.iter().map(|v| v.to_f32()).collect();
            *value = Tensor::new(tensor.shape(), wide)?.into();
        }
    }
    let mut out = run(inputs)?;
    for value in out.iter_mut().take(narrow) {
        narrowed(value)?;
    }
    Ok(out)
}

fn narrowed(value: &mut Value) -> Result<(), OpError> {
    if let Some(tensor) = value.tensor().filter(|t| t.element_type() == ElementType::F32) {
        let half: Vec<f16> = tensor.slice::<f32>()?.iter().map(|v| f16::from_f32(*v)).collect();
        *value = Tensor::new(tensor.shape(), half)?.into();
    }
    Ok(())
}
