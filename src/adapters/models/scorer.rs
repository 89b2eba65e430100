//! The port [`Model`] over a session: gathers rows, runs the graph, reads columns.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use tidemill_onnx::error::RunError;
use tidemill_onnx::session::Session;
use tidemill_onnx::session::worker::Worker;
use tidemill_onnx::value::Value;

use crate::adapters::models::features::Features;
use crate::adapters::models::readout::Readout;
use crate::domain::batch::Batch;
use crate::domain::fields::Fields;
use crate::domain::outputs::Outputs;
use crate::ports::Model;
use crate::ports::ModelError;

/// One thread's model: a worker of its own over the shared session.
pub struct Scorer {
    session: Arc<Session>,
    features: Arc<Features>,
    readouts: Arc<[Readout]>,
    worker: Worker,
}

impl Scorer {
    /// # Errors
    /// If the engine cannot make another runner.
    pub fn new(session: &Arc<Session>, features: Arc<Features>, readouts: Arc<[Readout]>) -> Result<Scorer, RunError> {
        Ok(Scorer { session: session.clone(), features, readouts, worker: session.worker()? })
    }

    /// Scores `rows` rows, an entry for each input of the graph.
    ///
    /// # Errors
    /// One sentence without contents; the scorer is as good as new then.
    pub(super) fn score(&mut self, rows: usize, inputs: Vec<Value>, outputs: &mut Outputs) -> Result<(), String> {
        outputs.clear();
        if outputs.columns.len() != self.readouts.len() {
            return Err("outputs belong to another model".into());
        }
        if rows == 0 {
            return Ok(());
        }
        let run = match catch_unwind(AssertUnwindSafe(|| self.worker.run(rows, inputs))) {
            Ok(run) => run.map_err(|e| e.to_string())?,
            Err(_) => {
                // what the panic left behind may be half done
                self.worker = self.session.worker().map_err(|e| e.to_string())?;
                return Err("the model panicked".into());
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
        let inputs = self.features.gather(batch, fields, records)?;
        let scored = self.score(records.len(), inputs, outputs);
        scored.map_err(|why| ModelError::new(format!("model run failed: {why}")))
    }

    fn fork(&self) -> Box<dyn Model> {
        let forked = Scorer::new(&self.session, self.features.clone(), self.readouts.clone());
        Box::new(forked.expect("a runner of this engine was made before"))
    }
}
