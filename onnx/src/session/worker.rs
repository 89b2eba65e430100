//! One thread's way to score rows: pieces, padding, one by one, as the graph needs it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Runner;
use crate::error::OpError;
use crate::error::RunError;
use crate::session::Feeding;
use crate::session::Session;
use crate::session::probe;
use crate::session::rows;
use crate::tensor::Tensor;
use crate::value::Table;
use crate::value::Value;

/// See the module.
pub struct Worker {
    session: Arc<Session>,
    runner: Box<dyn Runner>,
}

/// What all rows of an output are, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowValues {
    /// The first axis is the rows.
    Tensor(Tensor),
    /// Maps with the same keys, one a row.
    Table(Table),
    /// Anything else, one a row.
    Values(Vec<Value>),
}

impl Worker {
    pub(crate) fn new(session: Arc<Session>, runner: Box<dyn Runner>) -> Worker {
        Worker { session, runner }
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Scores `count` rows. A tensor's first axis is the rows, whatever the graph wants; an input without an axis for
    /// them is a sequence with one value a row.
    ///
    /// # Errors
    /// If inputs do not fit the graph; the worker is as good as new then.
    pub fn run(&mut self, count: usize, inputs: Vec<Value>) -> Result<Vec<RowValues>, RunError> {
        self.check(count, &inputs)?;
        if count == 0 {
            return Err(RunError::Failed("there are no rows to score".into()));
        }
        let session = self.session.clone();
        probe::learn(&session, self, count, &inputs)?;
        match session.feeding() {
            Feeding::Any => match session.learnt().piece.load(Ordering::Relaxed) {
                piece if piece > 0 && piece < count => self.pieces(count, &inputs, piece, false),
                _ => {
                    let outputs = self.raw(inputs)?;
                    self.split_axes(outputs, count)
                }
            },
            Feeding::Fixed(n) => self.pieces(count, &inputs, n, true),
            Feeding::Single(_) => self.pieces(count, &inputs, 1, false),
        }
    }

    /// One run of the graph on inputs whose rows are on the first axis.
    pub(crate) fn raw(&mut self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        let ports = &self.session.inputs;
        if ports.iter().all(|port| port.axis.unwrap_or(0) == 0) {
            return self.runner.run(inputs);
        }
        let mut placed = Vec::with_capacity(inputs.len());
        for (port, input) in ports.iter().zip(inputs) {
            placed.push(match (input, port.axis) {
                (Value::Tensor(t), Some(axis)) if axis > 0 => {
                    let moved = rows::move_axis(Arc::unwrap_or_clone(t), axis, false);
                    moved.map_err(|e| failed(&e))?.into()
                }
                (input, _) => input,
            });
        }
        self.runner.run(placed)
    }

    fn pieces(&mut self, count: usize, inputs: &[Value], size: usize, pad: bool) -> Result<Vec<RowValues>, RunError> {
        let mut parts: Vec<Vec<RowValues>> = self.session.outputs.iter().map(|_| vec![]).collect();
        let mut from = 0;
        while from < count {
            let wanted = size.min(count - from);
            let run = if pad { size } else { wanted };
            let piece = self.piece(inputs, from, from + run)?;
            let outputs = self.raw(piece)?;
            for (part, output) in parts.iter_mut().zip(self.split_axes(outputs, run)?) {
                part.push(output.first(wanted).map_err(|e| failed(&e))?);
            }
            from += wanted;
        }
        parts.into_iter().map(|p| RowValues::join(p).map_err(|e| failed(&e))).collect()
    }

    /// Rows `from..to` of every input; for an input without an axis the value of row `from`.
    pub(crate) fn piece(&self, inputs: &[Value], from: usize, to: usize) -> Result<Vec<Value>, RunError> {
        let take = |(port, input): (&rows::RowPort, &Value)| match (input, port.axis) {
            (Value::Tensor(t), Some(_)) => rows::rows(t, from, to).map(Value::from).map_err(|e| failed(&e)),
            (Value::Tensor(t), None) => {
                // a scalar or a tensor without rows, one for each row
                let one = rows::rows(t, from, from + 1).and_then(|t| {
                    let shape = t.shape()[1..].to_vec();
                    t.reshaped(&shape)
                });
                one.map(Value::from).map_err(|e| failed(&e))
            }
            (Value::Sequence(all), None) => Ok(all[from].clone()),
            (other, _) => Ok(other.clone()),
        };
        self.session.inputs.iter().zip(inputs).map(take).collect()
    }

    /// Brings the rows of every output to the front.
    pub(crate) fn split_axes(&self, outputs: Vec<Value>, run: usize) -> Result<Vec<RowValues>, RunError> {
        let learnt = self.session.learnt().axes.get();
        let mut split = Vec::with_capacity(outputs.len());
        for (i, value) in outputs.into_iter().enumerate() {
            let axis = learnt.map_or(Some(0), |axes| axes[i]);
            split.push(rows_of(value, axis, run).map_err(|what| {
                let name = &self.session.outputs[i].name;
                RunError::Failed(format!("output `{name}`: {what}"))
            })?);
        }
        Ok(split)
    }

    fn check(&self, count: usize, inputs: &[Value]) -> Result<(), RunError> {
        let ports = &self.session.inputs;
        if inputs.len() != ports.len() {
            return Err(RunError::Failed(format!("{} inputs for a graph of {}", inputs.len(), ports.len())));
        }
        for (port, input) in ports.iter().zip(inputs) {
            let found = match input {
                Value::Tensor(t) if t.element_type() == port.element_type => t.shape().first().copied(),
                Value::Sequence(all) if port.axis.is_none() => Some(all.len()),
                Value::Absent if port.axis.is_none() => Some(count),
                _ => None,
            };
            if found != Some(count) {
                let what = format!("{} for {count} rows of {}", input.kind(), port.kind);
                return Err(RunError::Input { name: port.name.clone(), what });
            }
        }
        Ok(())
    }
}

fn failed(error: &OpError) -> RunError {
    RunError::Failed(error.to_string())
}

/// The rows of one output of a run of `run` rows.
fn rows_of(value: Value, axis: Option<usize>, run: usize) -> Result<RowValues, OpError> {
    match (value, axis) {
        (Value::Tensor(t), Some(axis)) => {
            let t = rows::move_axis(Arc::unwrap_or_clone(t), axis, true)?;
            if t.shape().first() != Some(&run) {
                let shape = crate::tensor::show(t.shape());
                return Err(OpError::bad(format!("shape {shape} for {run} rows")));
            }
            Ok(RowValues::Tensor(t))
        }
        (Value::Tensor(t), None) if run == 1 => {
            let mut shape = vec![1];
            shape.extend_from_slice(t.shape());
            Ok(RowValues::Tensor(Arc::unwrap_or_clone(t).reshaped(&shape)?))
        }
        (Value::Table(t), _) if t.values.shape().first() == Some(&run) => Ok(RowValues::Table(Arc::unwrap_or_clone(t))),
        (Value::Sequence(all), Some(_)) => {
            let row = |i| {
                let parts = all.iter().map(|v| {
                    let tensor = v.tensor().ok_or_else(|| OpError::bad("a sequence holds more than tensors"))?;
                    one_row(tensor, i).map(Value::from)
                });
                Ok(Value::Sequence(Arc::new(parts.collect::<Result<_, OpError>>()?)))
            };
            (0..run).map(row).collect::<Result<_, OpError>>().map(RowValues::Values)
        }
        (other, _) if run == 1 => Ok(RowValues::Values(vec![other])),
        (other, _) => Err(OpError::bad(format!("{} for {run} rows", other.kind()))),
    }
}

impl RowValues {
    /// The first `count` rows.
    fn first(self, count: usize) -> Result<RowValues, OpError> {
        Ok(match self {
            RowValues::Tensor(t) if t.shape()[0] == count => RowValues::Tensor(t),
            RowValues::Tensor(t) => RowValues::Tensor(rows::rows(&t, 0, count)?),
            RowValues::Table(t) => RowValues::Table(Table { values: rows::rows(&t.values, 0, count)?, keys: t.keys }),
            RowValues::Values(mut v) => {
                v.truncate(count);
                RowValues::Values(v)
            }
        })
    }

    fn join(parts: Vec<RowValues>) -> Result<RowValues, OpError> {
        let mut tensors = vec![];
        let mut values = vec![];
        let mut keys = None;
        // rows of different shapes, such as texts split into tokens, stay apart
        let tensor_rows =
            parts.iter().filter_map(|p| if let RowValues::Tensor(t) = p { Some(&t.shape()[1..]) } else { None });
        let ragged = tensor_rows.collect::<std::collections::BTreeSet<_>>().len() > 1;
        for part in parts {
            match part {
                RowValues::Tensor(t) if ragged => values.extend(apart(&t)?),
                RowValues::Tensor(t) => tensors.push(t),
                RowValues::Table(t) => {
                    keys.get_or_insert(t.keys);
                    tensors.push(t.values);
                }
                RowValues::Values(v) => values.extend(v),
            }
        }
        match (tensors.is_empty(), values.is_empty(), keys) {
            (false, true, Some(keys)) => Ok(RowValues::Table(Table { keys, values: rows::join(tensors)? })),
            (false, true, None) => Ok(RowValues::Tensor(rows::join(tensors)?)),
            (true, _, _) => Ok(RowValues::Values(values)),
            _ => Err(OpError::bad("an output changes its kind from row to row")),
        }
    }

    /// Row `i` as a value of its own.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn row(&self, i: usize) -> Result<Value, OpError> {
        match self {
            RowValues::Tensor(t) => one_row(t, i).map(Value::from),
            RowValues::Table(t) => {
                Ok(Value::Map(Arc::new(crate::value::Map { keys: (*t.keys).clone(), values: one_row(&t.values, i)? })))
            }
            RowValues::Values(v) => v.get(i).cloned().ok_or_else(|| OpError::bad(format!("row {i} of {}", v.len()))),
        }
    }
}

fn one_row(t: &Tensor, i: usize) -> Result<Tensor, OpError> {
    let row = rows::rows(t, i, i + 1)?;
    let shape = row.shape()[1..].to_vec();
    row.reshaped(&shape)
}

fn apart(t: &Tensor) -> Result<Vec<Value>, OpError> {
    (0..t.shape()[0]).map(|i| one_row(t, i).map(Value::from)).collect()
}
