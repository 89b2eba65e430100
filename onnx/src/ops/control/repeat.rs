//! Loop: a subgraph again and again, for a count, while a condition holds, or both.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::control::body::Body;
use crate::ops::control::body::Budget;
use crate::ops::control::body::flag;
use crate::ops::control::body::scalar;
use crate::ops::control::body::stack;
use crate::program::State;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("Loop", loop_).note("ends with an error after a million turns")];

#[derive(Debug)]
struct Loop {
    body: Body,
    /// Number of values that one turn hands to the next.
    carried: usize,
    /// Whether each of the node's outputs is wanted.
    wanted: Vec<bool>,
}

impl Kernel for Loop {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let own = inputs.len() - self.body.captures().len();
        let turns = inputs.optional(0)?.map(Tensor::to_i64).transpose()?;
        // the condition may be left out altogether
        let mut going = match if own > 1 { inputs.take_value(1) } else { Value::Absent } {
            Value::Absent => true,
            value => flag(&value)?,
        };
        let mut carried: Vec<Value> = (0..self.carried).map(|i| inputs.take_value(2 + i)).collect();
        let captured: Vec<Value> = (own..inputs.len()).map(|i| inputs.take_value(i)).collect();
        let mut collected: Vec<Vec<Value>> = vec![vec![]; self.body.outputs - 1 - self.carried];
        let mut state = State::default();
        let mut budget = Budget::new(&self.body);
        let mut turn = 0i64;
        while going && turns.is_none_or(|n| turn < n) {
            let mut values = Vec::with_capacity(2 + carried.len() + captured.len());
            values.push(scalar(turn, self.body.input(0)));
            values.push(scalar(going, self.body.input(1)));
            values.append(&mut carried);
            values.extend(captured.iter().cloned());
            let mut made = self.body.run(&mut state, values)?;
            budget.charge(&made)?;
            let rest = made.split_off(1 + self.carried);
            for (i, (all, value)) in collected.iter_mut().zip(rest).enumerate() {
                if self.wanted.get(self.carried + i) == Some(&true) {
                    all.push(value);
                }
            }
            going = flag(&made.remove(0))?;
            carried = made;
            turn += 1;
        }
        let mut out: Values = carried.into();
        for (i, all) in collected.iter().enumerate() {
            let wanted = self.wanted.get(self.carried + i) == Some(&true);
            let kind = self.body.output(1 + self.carried + i);
            out.push(if wanted { stack(all, kind)?.into() } else { Value::Absent });
        }
        Ok(out)
    }

    crate::as_its_body!();
}

fn loop_(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let body = Body::new(build, "body")?;
    let carried = build.node.inputs.len().saturating_sub(2);
    if build.node.inputs.is_empty() || body.inputs != 2 + carried || body.outputs < 1 + carried {
        bad!("the inputs or outputs of the body do not fit");
    }
    let wanted = (0..build.node.outputs.len()).map(|i| build.has_output(i)).collect();
    Ok(Box::new(Loop { body, carried, wanted }))
}

#[cfg(test)]
mod tests;
