//! `ai.onnx.ml.TreeEnsembleRegressor`: `[n, features]` in, `[n, targets]` out.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

use super::trees::attributes;
use super::trees::attributes::Leaves;
use super::trees::forest::Forest;
use super::trees::transform::Transform;

#[derive(Clone, Debug, PartialEq)]
pub struct TreeRegressor {
    pub forest: Forest,
    base: Vec<f32>,
    average: bool,
    transform: Transform,
}

// floats of a file, compared as they are; tract asks for the marker
impl Eq for TreeRegressor {}

/// # Errors
/// Names the attribute that is missing, wrong or not supported.
pub fn build(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let targets: usize = node.get_attr("n_targets")?;
    let average = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => false,
        "AVERAGE" => true,
        other => bail!("aggregate_function `{other}` is not supported, SUM and AVERAGE are"),
    };
    let forest = Forest::new(attributes::read(node, &Leaves { prefix: "target", outputs: targets, single: false })?);
    let base = node.get_attr_opt_slice::<f32>("base_values")?.unwrap_or(&[]);
    ensure!(base.is_empty() || base.len() == targets, "base_values has {} entries for {targets} targets", base.len());
    let base = if base.is_empty() { vec![0.0; targets] } else { base.to_vec() };
    let transform = Transform::parse(node.get_attr_opt("post_transform")?)?;
    Ok((expand(TreeRegressor { forest, base, average, transform }), vec![]))
}

impl Expansion for TreeRegressor {
    fn name(&self) -> StaticName {
        "TreeEnsembleRegressor".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.equals(&outputs[0].shape[1], self.base.len().to_dim())?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let input = as_f32(prefix, model, inputs[0])?;
        model.wire_node(prefix, self.clone(), &[input])
    }
}

/// Whole numbers are cast; 64-bit floats are refused, since thresholds are 32-bit and rounding would move rows.
pub fn as_f32(prefix: &str, model: &mut TypedModel, input: OutletId) -> TractResult<OutletId> {
    let dt = model.outlet_fact(input)?.datum_type;
    ensure!(dt != f64::datum_type(), "trees over 64-bit floats are not supported: export with 32-bit inputs");
    if dt == f32::datum_type() {
        return Ok(input);
    }
    Ok(model.wire_node(format!("{prefix}.to_f32"), cast(f32::datum_type()), &[input])?[0])
}

impl Op for TreeRegressor {
    fn name(&self) -> StaticName {
        "TreeEnsembleRegressor".into()
    }
    tract_core::op_as_typed_op!();
}

impl EvalOp for TreeRegressor {
    tract_core::op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut sums = self.forest.sums(&inputs[0])?;
        let targets = self.base.len();
        let share = if self.average { self.forest.ensemble().roots.len() as f32 } else { 1.0 };
        for row in sums.chunks_exact_mut(targets) {
            row.iter_mut().zip(&self.base).for_each(|(s, b)| *s = *s / share + b);
            // onnxruntime leaves a single target as it is, unless the transform is PROBIT
            if targets > 1 || self.transform == Transform::Probit {
                self.transform.apply(row);
            }
        }
        Ok(tvec![Tensor::from_shape(&[inputs[0].shape()[0], targets], &sums)?.into_tvalue()])
    }
}

impl TypedOp for TreeRegressor {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec![f32::fact(&[inputs[0].shape[0].clone(), self.base.len().to_dim()])])
    }
    tract_core::as_op!();
}
