//! Scan: a subgraph for every entry of an axis, with states handed from one to the next.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::control::body::Body;
use crate::ops::control::body::Budget;
use crate::ops::control::body::stack;
use crate::ops::layout;
use crate::ops::shape::concat::part;
use crate::ops::shape::transpose::permute;
use crate::program::State;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("Scan", scan)];

#[derive(Debug)]
struct Scan {
    body: Body,
    states: usize,
    /// Of each scanned input: its axis, and whether it runs backwards.
    scanned: Vec<Way>,
    /// Of each collected output.
    collected: Vec<Way>,
    /// Version 8: a batch axis in front of everything, and lengths as the first input.
    batched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    axis: i64,
    backwards: bool,
}

impl Kernel for Scan {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let first = usize::from(self.batched);
        let own = self.states + self.scanned.len();
        let mut values: Vec<Value> = (first..inputs.len()).map(|i| inputs.take_value(i)).collect();
        if values.len() < own {
            bad!("{} inputs, expected {own}", values.len());
        }
        let captured = values.split_off(own);
        let scanned = values.split_off(self.states);
        let mut budget = Budget::new(&self.body);
        if self.batched {
            let lens = inputs.optional(0)?.map(Tensor::to_i64s).transpose()?;
            return self.batch(values, &scanned, &captured, lens, &mut budget);
        }
        let (mut states, collected) = self.one(values, &scanned, &captured, None, &mut budget)?;
        states.extend(collected.into_iter().map(Value::from));
        Ok(states.into())
    }

    crate::as_its_body!();
}

impl Scan {
    /// Scans one sequence, at most `len` entries of it; returns the last states and what was collected.
    fn one(
        &self,
        mut states: Vec<Value>,
        scanned: &[Value],
        captured: &[Value],
        len: Option<usize>,
        budget: &mut Budget,
    ) -> Result<(Vec<Value>, Vec<Tensor>), OpError> {
        let mut tensors = Vec::with_capacity(scanned.len());
        for (value, way) in scanned.iter().zip(&self.scanned) {
            let tensor = tensor_of(value)?;
            tensors.push((tensor, layout::axis(way.axis, tensor.rank())?, way.backwards));
        }
        let lens: Vec<usize> = tensors.iter().map(|(t, axis, _)| t.shape()[*axis]).collect();
        let turns = lens.first().copied().unwrap_or(0);
        if lens.iter().any(|n| *n != turns) {
            bad!("the scanned inputs have {lens:?} entries");
        }
        let turns = len.map_or(turns, |n| n.min(turns));
        let mut collected: Vec<Vec<Value>> = vec![vec![]; self.collected.len()];
        let mut state = State::default();
        for turn in 0..turns {
            let mut values = Vec::with_capacity(states.len() + tensors.len() + captured.len());
            values.append(&mut states);
            for (tensor, axis, backwards) in &tensors {
                values.push(entry(tensor, *axis, if *backwards { turns - 1 - turn } else { turn })?.into());
            }
            values.extend(captured.iter().cloned());
            states = self.body.run(&mut state, values)?;
            budget.charge(&states)?;
            let made = states.split_off(self.states);
            collected.iter_mut().zip(made).for_each(|(all, value)| all.push(value));
        }
        let ways = self.collected.iter().enumerate();
        let collect = |((i, way), mut all): ((usize, &Way), Vec<Value>)| {
            if way.backwards {
                all.reverse();
            }
            to_axis(stack(&all, self.body.output(self.states + i))?, way.axis)
        };
        let collected = ways.zip(collected).map(collect).collect::<Result<_, _>>()?;
        Ok((states, collected))
    }

    /// Version 8: every sequence of the batch on its own; what shorter ones lack is 0.
    fn batch(
        &self,
        states: Vec<Value>,
        scanned: &[Value],
        captured: &[Value],
        lens: Option<Vec<i64>>,
        budget: &mut Budget,
    ) -> Result<Values, OpError> {
        let all: Vec<&Tensor> = states.iter().chain(scanned).map(tensor_of).collect::<Result<_, _>>()?;
        let count = all.first().and_then(|t| t.shape().first()).copied().unwrap_or(0);
        let longest = scanned.first().and_then(|v| v.tensor()?.shape().get(1).copied()).unwrap_or(0);
        if all.iter().any(|t| t.shape().first() != Some(&count)) || lens.as_ref().is_some_and(|l| l.len() != count) {
            bad!("states, inputs and lengths are of different batches");
        }
        let mut rows: Vec<Vec<Value>> = vec![vec![]; self.body.outputs];
        for row in 0..count {
            let of_row = |tensor: &&Tensor| entry(tensor, 0, row).map(Value::from);
            let mut values: Vec<Value> = all.iter().map(of_row).collect::<Result<_, _>>()?;
            let inputs = values.split_off(self.states);
            let len = match &lens {
                None => longest,
                Some(lens) => match usize::try_from(lens[row]) {
                    Ok(len) if len <= longest => len,
                    _ => bad!("a sequence is longer than its axis of {longest}"),
                },
            };
            budget.charge(&[])?;
            let (last, collected) = self.one(values, &inputs, captured, Some(len), budget)?;
            let collected = collected.into_iter().map(|t| lengthen(t, longest).map(Value::from));
            let made: Vec<Value> = last.into_iter().map(Ok).chain(collected).collect::<Result<_, OpError>>()?;
            rows.iter_mut().zip(made).for_each(|(all, value)| all.push(value));
        }
        rows.iter().enumerate().map(|(i, all)| stack(all, self.body.output(i)).map(Value::from)).collect()
    }
}

fn tensor_of(value: &Value) -> Result<&Tensor, OpError> {
    value.tensor().ok_or_else(|| OpError::bad(format!("expected a tensor, found {}", value.kind())))
}

/// One entry of an axis, without that axis.
fn entry(tensor: &Tensor, axis: usize, i: usize) -> Result<Tensor, OpError> {
    if axis >= tensor.rank() {
        bad!("there is no axis {axis} in {}", show(tensor.shape()));
    }
    let mut shape = Shape::from_slice(tensor.shape());
    shape.remove(axis);
    part(tensor, axis, i, 1)?.reshaped(&shape)
}

/// The first axis moved to `axis`.
fn to_axis(tensor: Tensor, axis: i64) -> Result<Tensor, OpError> {
    let axis = layout::axis(axis, tensor.rank())?;
    if axis == 0 {
        return Ok(tensor);
    }
    let mut order: Shape = (1..tensor.rank()).collect();
    order.insert(axis, 0);
    permute(&tensor, &order)
}

/// The first axis filled up with 0.
fn lengthen(tensor: Tensor, len: usize) -> Result<Tensor, OpError> {
    let have = tensor.shape().first().copied().unwrap_or(0);
    if have >= len {
        return Ok(tensor);
    }
    let mut shape = Shape::from_slice(tensor.shape());
    shape[0] = len - have;
    let rest = Tensor::zeros_of(tensor.element_type(), &shape)?;
    crate::ops::shape::concat::join(&[&tensor, &rest], 0)
}

fn scan(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let body = Body::new(build, "body")?;
    let batched = build.version() < 9;
    let own = build.node.inputs.len().saturating_sub(usize::from(batched));
    let count = attributes.int("num_scan_inputs")?.ok_or_else(|| missing("num_scan_inputs"))?;
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || own < count || body.inputs != own || body.outputs < own - count {
        bad!("the inputs or outputs of the body do not fit");
    }
    let states = own - count;
    let numbers = |name: &str, count: usize| match attributes.ints(name)? {
        None => Ok(vec![0; count]),
        Some(all) if all.len() == count => Ok(all.to_vec()),
        Some(all) => Err(OpError::bad(format!("{} numbers in `{name}`, expected {count}", all.len()))),
    };
    let ways = |axes: &str, directions: &str, count: usize| -> Result<Vec<Way>, OpError> {
        let both = numbers(axes, count)?.into_iter().zip(numbers(directions, count)?);
        Ok(both.map(|(axis, direction)| Way { axis, backwards: direction != 0 }).collect())
    };
    let collected = body.outputs - states;
    let (scanned, collected) = if batched {
        let outputs = vec![Way { axis: 0, backwards: false }; collected];
        (ways("", "directions", count)?, outputs)
    } else {
        (
            ways("scan_input_axes", "scan_input_directions", count)?,
            ways("scan_output_axes", "scan_output_directions", collected)?,
        )
    };
    Ok(Box::new(Scan { body, states, scanned, collected, batched }))
}
