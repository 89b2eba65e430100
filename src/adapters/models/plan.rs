//! The plans of a model: one for any number of rows, and one for a single row where that is measurably faster.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use crate::adapters::models::graph::Graph;
use crate::adapters::models::graph::forest;

/// Shared by all threads; states are not.
#[derive(Clone, Debug)]
pub struct Plans {
    pub any: Arc<TypedRunnableModel>,
    /// For exactly one row; `None` where it does not pay.
    pub single: Option<Arc<TypedRunnableModel>>,
}

/// The plan for one row must be at least this much faster to be kept: it is a second copy of the weights.
const GAIN: f64 = 0.95;
/// Time spent on the comparison at most.
const TRIAL: Duration = Duration::from_millis(60);

impl Plans {
    /// Optimises the graph, and tries it on a row of zeros.
    ///
    /// # Errors
    /// If tract cannot plan or run the graph.
    pub fn build(graph: &Graph, width: usize) -> TractResult<Plans> {
        let any = graph.typed.clone().into_optimized()?.into_runnable()?;
        let row = Tensor::zero::<f32>(&[1, width])?.into_tvalue();
        any.run(tvec![row.clone()])?;
        let fixed = HashMap::from([(graph.batch.clone(), 1.to_dim())]);
        let single = graph
            .typed
            .set_symbols(&fixed)
            .and_then(|m| m.into_decluttered())
            .and_then(|m| m.into_optimized())
            .and_then(|m| m.into_runnable());
        let single = single.ok().filter(|single| pays(&any, single, &row));
        Ok(Plans { any, single })
    }

    /// Memory of weights and trees, in bytes: each plan packs the weights for its own kernels, the trees are shared.
    pub fn bytes(&self, graph: &Graph) -> usize {
        let nodes = graph.typed.nodes();
        let consts = nodes.iter().filter_map(|n| n.op_as::<tract_onnx::tract_core::ops::konst::Const>());
        let weights: usize = consts.map(|c| c.val().len() * c.val().datum_type().size_of()).sum();
        let trees: usize = nodes.iter().filter_map(forest).map(|f| f.bytes()).sum();
        weights * (1 + usize::from(self.single.is_some())) + trees
    }

    /// Memory that one row takes while it passes through, in bytes: all intermediate tensors.
    pub fn row_bytes(&self, batch: &Symbol) -> usize {
        let one = SymbolValues::default().with(batch, 1);
        let nodes = self.any.model().nodes().iter();
        nodes
            .filter(|n| !n.op_is::<tract_onnx::tract_core::ops::konst::Const>())
            .flat_map(|n| &n.outputs)
            .map(|o| {
                let len = o.fact.shape.volume().eval(&one).to_usize().unwrap_or(0);
                len * o.fact.datum_type.size_of()
            })
            .sum()
    }
}

/// Whether the plan for one row beats the general one, by the best of several interleaved rounds.
fn pays(any: &Arc<TypedRunnableModel>, single: &Arc<TypedRunnableModel>, row: &TValue) -> bool {
    let round = |plan: &Arc<TypedRunnableModel>, runs: u32| -> Option<Duration> {
        let mut state = plan.spawn().ok()?;
        let start = Instant::now();
        for _ in 0..runs {
            state.run(tvec![row.clone()]).ok()?;
        }
        Some(start.elapsed())
    };
    let started = Instant::now();
    let Some(once) = round(any, 2) else { return false };
    let runs = (TRIAL.as_nanos() / 20 / once.as_nanos().max(1)).clamp(1, 1000) as u32;
    let (mut best_any, mut best_single) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let (Some(a), Some(s)) = (round(any, runs), round(single, runs)) else { return false };
        best_any = best_any.min(a);
        best_single = best_single.min(s);
        if started.elapsed() > TRIAL * 3 {
            break;
        }
    }
    best_single.as_secs_f64() < best_any.as_secs_f64() * GAIN
}
