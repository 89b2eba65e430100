//! An ensemble with the walk that suits it, chosen once the width of the rows is known.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use tract_onnx::tract_hir::internal::*;

use super::attributes::Ensemble;
use super::flat::Flat;
use super::naive;

/// Shared by all clones of an operator; tract clones operators while it optimises.
#[derive(Clone)]
pub struct Forest(Arc<Inner>);

struct Inner {
    ensemble: Ensemble,
    /// `None` inside: the layout does not fit, the naive walk is used.
    flat: OnceLock<(usize, Option<Flat>)>,
}

impl Forest {
    pub fn new(ensemble: Ensemble) -> Forest {
        Forest(Arc::new(Inner { ensemble, flat: OnceLock::new() }))
    }

    pub fn ensemble(&self) -> &Ensemble {
        &self.0.ensemble
    }

    /// Sums of leaf weights, `outputs` a row, for a `[rows, width]` tensor of `f32`.
    ///
    /// # Errors
    /// If the tensor is of another type or rank, or narrower than the highest feature.
    pub fn sums(&self, input: &Tensor) -> TractResult<Vec<f32>> {
        let ensemble = &self.0.ensemble;
        ensure!(input.rank() == 2, "trees take a matrix, got rank {}", input.rank());
        let (count, width) = (input.shape()[0], input.shape()[1]);
        ensure!(width >= ensemble.features, "trees use {} features, got {width}", ensemble.features);
        let view = input.try_as_plain_ram()?;
        let rows = view.as_slice::<f32>()?;
        let mut sums = vec![0f32; count * ensemble.outputs];
        if width == 0 {
            // trees that are leaves only: nothing to look at
            sums.chunks_exact_mut(ensemble.outputs).for_each(|sums| naive::sum(ensemble, &[0.0], 1, sums));
            return Ok(sums);
        }
        let (laid, flat) = self.0.flat.get_or_init(|| (width, Flat::new(ensemble, width)));
        match flat {
            Some(flat) if *laid == width => flat.sum(rows, &mut sums),
            _ => naive::sum(ensemble, rows, width, &mut sums),
        }
        Ok(sums)
    }

    /// Memory of the trees in both forms, in bytes.
    pub fn bytes(&self) -> usize {
        let ensemble = &self.0.ensemble;
        let flat = self.0.flat.get().and_then(|f| f.1.as_ref()).map_or(0, Flat::bytes);
        size_of_val(&ensemble.nodes[..]) + size_of_val(&ensemble.weights[..]) + flat
    }

    /// Thresholds and leaf weights: what training chose.
    pub fn parameters(&self) -> usize {
        let ensemble = &self.0.ensemble;
        ensemble.nodes.len() - ensemble.weights.len() / ensemble.outputs + ensemble.weights.len()
    }
}

impl fmt::Debug for Forest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0.ensemble;
        write!(f, "{} trees, {} nodes, {} outputs", e.roots.len(), e.nodes.len(), e.outputs)
    }
}

impl PartialEq for Forest {
    fn eq(&self, other: &Forest) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Forest {}
