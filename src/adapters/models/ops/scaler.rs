//! `ai.onnx.ml.Scaler`: (x - offset) * scale, written as two plain operators that tract knows how to optimise.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::mul;
use tract_onnx::tract_core::ops::math::sub;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::logic::wire_with_rank_broadcast;

#[derive(Clone, Debug, PartialEq)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

// floats of a file, compared as they are; tract asks for the marker
impl Eq for Scaler {}

/// # Errors
/// If an attribute is missing.
pub fn build(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let offset = node.get_attr_opt_slice::<f32>("offset")?.unwrap_or(&[0.0]).to_vec();
    let scale = node.get_attr_opt_slice::<f32>("scale")?.unwrap_or(&[1.0]).to_vec();
    ensure!(!offset.is_empty() && !scale.is_empty(), "attributes `offset` and `scale` must not be empty");
    Ok((expand(Scaler { offset, scale }), vec![]))
}

impl Expansion for Scaler {
    fn name(&self) -> StaticName {
        "Scaler".into()
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
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let columns = fact.shape.last().and_then(|d| d.to_usize().ok());
        for (name, list) in [("offset", &self.offset), ("scale", &self.scale)] {
            ensure!(
                list.len() == 1 || Some(list.len()) == columns,
                "attribute `{name}` has {} entries for {columns:?} columns",
                list.len()
            );
        }
        let mut x = inputs[0];
        if fact.datum_type != f32::datum_type() {
            x = model.wire_node(format!("{prefix}.to_f32"), cast(f32::datum_type()), &[x])?[0];
        }
        let offset = model.add_const(format!("{prefix}.offset"), rctensor1(&self.offset))?;
        let scale = model.add_const(format!("{prefix}.scale"), rctensor1(&self.scale))?;
        let x = wire_with_rank_broadcast(format!("{prefix}.sub"), model, sub(), &[x, offset])?[0];
        wire_with_rank_broadcast(format!("{prefix}.mul"), model, mul(), &[x, scale])
    }
}
