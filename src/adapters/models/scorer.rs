//! The port [`Model`] over tract: gathers rows, runs a plan, reads columns.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use crate::adapters::models::features::Features;
use crate::adapters::models::graph::brief;
use crate::adapters::models::plan::Plans;
use crate::adapters::models::readout::Readout;
use crate::domain::batch::Batch;
use crate::domain::fields::Fields;
use crate::domain::outputs::Outputs;
use crate::ports::Model;
use crate::ports::ModelError;

/// One thread's model: states of its own over shared plans.
pub struct Scorer {
    plans: Plans,
    features: Features,
    readouts: Vec<Readout>,
    any: TypedSimpleState,
    single: Option<TypedSimpleState>,
}

impl Scorer {
    /// # Errors
    /// If tract cannot make a state.
    pub fn new(plans: &Plans, features: Features, readouts: Vec<Readout>) -> TractResult<Scorer> {
        let any = plans.any.spawn()?;
        let single = plans.single.as_ref().map(|p| p.spawn()).transpose()?;
        Ok(Scorer { plans: plans.clone(), features, readouts, any, single })
    }

    /// Scores a tensor whose shape and type are checked here: a state that rejects its input stays bound to it.
    pub(super) fn score(&mut self, input: Tensor, outputs: &mut Outputs) -> TractResult<()> {
        outputs.clear();
        let width = self.features.width();
        ensure!(
            input.datum_type() == f32::datum_type() && input.rank() == 2 && input.shape()[1] == width,
            "input is {:?} {:?}, expected f32 [n, {width}]",
            input.datum_type(),
            input.shape()
        );
        ensure!(outputs.columns.len() == self.readouts.len(), "outputs belong to another model");
        let rows = input.shape()[0];
        if rows == 0 {
            return Ok(());
        }
        let (state, plan) = match (&mut self.single, &self.plans.single) {
            (Some(state), Some(plan)) if rows == 1 => (state, plan),
            _ => (&mut self.any, &self.plans.any),
        };
        // before the run: a panic in it must not leave a half-bound state behind either
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| state.run(tvec![input.into_tvalue()])));
        let run = match run {
            Ok(Ok(run)) => run,
            failed => {
                *state = plan.spawn()?;
                return Err(match failed {
                    Ok(Err(error)) => error,
                    _ => format_err!("the model panicked"),
                });
            }
        };
        for (readout, column) in self.readouts.iter().zip(&mut outputs.columns) {
            readout.append(&run, rows, column)?;
        }
        Ok(())
    }
}

impl Model for Scorer {
    fn run(
        &mut self,
        batch: &Batch,
        fields: &Fields,
        records: &[u32],
        outputs: &mut Outputs,
    ) -> Result<(), ModelError> {
        let filled = || -> TractResult<Tensor> {
            // zeroed and not uninitialised: under 1 % of any run, and no unsafe code
            let mut input = Tensor::zero::<f32>(&[records.len(), self.features.width()])?;
            let mut view = input.try_as_plain_ram_mut()?;
            self.features.gather(batch, fields, records, view.as_slice_mut::<f32>()?);
            Ok(input)
        };
        let input = filled().map_err(|e| ModelError(brief(e)))?;
        self.score(input, outputs).map_err(|e| ModelError(no_values(&e)))
    }

    fn fork(&self) -> Box<dyn Model> {
        let forked = Scorer::new(&self.plans, self.features.clone(), self.readouts.clone());
        Box::new(forked.expect("a state of this plan was made before"))
    }
}

/// What may be said of a failed run. tract names the node in the outermost message of an evaluation; messages further in,
/// and those about inputs, may print tensors.
fn no_values(error: &TractError) -> String {
    let outermost = error.to_string();
    if outermost.starts_with("Evaluating ") || outermost.starts_with("the model panicked") {
        format!("model run failed: {}", brief(outermost))
    } else {
        "model run failed: the plan refused its input or made an output of another shape".into()
    }
}
