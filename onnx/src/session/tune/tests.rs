//! The trial at load, on engines that only take time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use crate::engine::Engine;
use crate::engine::EngineName;
use crate::engine::Runner;
use crate::error::RunError;
use crate::graph::Dim;
use crate::graph::Kind;
use crate::graph::Port;
use crate::session::Session;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Value;

/// Answers its input, after a time that depends on the number of rows; notes how many rows came.
#[derive(Debug)]
struct Slow {
    ports: Vec<Port>,
    time: fn(usize) -> Duration,
    runs: Arc<Mutex<Vec<usize>>>,
}

impl Engine for Slow {
    fn inputs(&self) -> &[Port] {
        &self.ports
    }

    fn outputs(&self) -> &[Port] {
        &self.ports
    }

    fn runner(&self) -> Result<Box<dyn Runner>, RunError> {
        Ok(Box::new(SlowRunner(self.time, self.runs.clone())))
    }

    fn parameters(&self) -> usize {
        0
    }

    fn bytes(&self) -> usize {
        0
    }
}

struct SlowRunner(fn(usize) -> Duration, Arc<Mutex<Vec<usize>>>);

impl Runner for SlowRunner {
    fn run(&mut self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        let rows = inputs[0].tensor().unwrap().shape()[0];
        self.1.lock().unwrap().push(rows);
        sleep((self.0)(rows));
        Ok(inputs)
    }
}

/// A tuned session of an engine, and how many rows each run had that 20 rows took afterwards.
fn tuned(time: fn(usize) -> Duration) -> (Option<usize>, Vec<usize>) {
    let kind =
        Kind::Tensor { element_type: Some(ElementType::F32), shape: Some(vec![Dim::Named("N".into()), Dim::Fixed(2)]) };
    let runs = Arc::new(Mutex::new(vec![]));
    let engine = Slow { ports: vec![Port { name: "x".into(), kind }], time, runs: runs.clone() };
    let session = Arc::new(Session::over(Arc::new(engine), EngineName::Tract, BTreeMap::new()));
    session.tune(&[Tensor::new(&[1, 2], vec![1.0f32, 2.0]).unwrap().into()]).unwrap();
    let mut worker = session.worker().unwrap();
    let rows = || vec![Tensor::new(&[20, 2], (0..40).map(|i| i as f32).collect()).unwrap().into()];
    // the first call learns which axis is the rows
    worker.run(20, rows()).unwrap();
    runs.lock().unwrap().clear();
    worker.run(20, rows()).unwrap();
    let seen = runs.lock().unwrap().clone();
    (session.piece(), seen)
}

#[test]
fn graphs_that_are_slower_in_batches_get_row_by_row() {
    // buffers that leave the cache: eight rows take three times as long as one after the other
    let (piece, runs) = tuned(|rows| Duration::from_micros(if rows == 1 { 500 } else { 1500 * rows as u64 }));
    assert_eq!(piece, Some(1));
    assert_eq!(runs, [1; 20]);
}

#[test]
fn graphs_that_gain_from_batches_get_them() {
    let (piece, runs) = tuned(|rows| Duration::from_micros(1000 + 100 * rows as u64));
    assert_eq!(piece, None);
    assert_eq!(runs, [20]);
}
