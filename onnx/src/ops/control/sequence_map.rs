//! SequenceMap: a subgraph for every entry of a sequence.

use std::sync::Arc;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::control::body::Body;
use crate::ops::control::body::Budget;
use crate::ops::control::sequence::entries;
use crate::program::State;
use crate::registry::Operator;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("SequenceMap", sequence_map)];

#[derive(Debug)]
struct SequenceMap {
    body: Body,
}

impl Kernel for SequenceMap {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let own = self.body.inputs;
        let all = entries(inputs.take_value(0))?;
        let more: Vec<Value> = (1..inputs.len()).map(|i| inputs.take_value(i)).collect();
        let longer = more[..own - 1].iter().any(|v| matches!(v, Value::Sequence(s) if s.len() != all.len()));
        if longer {
            bad!("the sequences differ in length");
        }
        let mut made: Vec<Vec<Value>> = vec![Vec::with_capacity(all.len()); self.body.outputs];
        let mut budget = Budget::new(&self.body);
        let mut state = State::default();
        for (i, entry) in all.into_iter().enumerate() {
            let mut values = vec![entry];
            for (at, value) in more.iter().enumerate() {
                values.push(match value {
                    Value::Sequence(s) if at < own - 1 => s[i].clone(),
                    value => value.clone(),
                });
            }
            let outputs = self.body.run(&mut state, values)?;
            budget.charge(&outputs)?;
            made.iter_mut().zip(outputs).for_each(|(all, value)| all.push(value));
        }
        Ok(made.into_iter().map(|all| Value::Sequence(Arc::new(all))).collect())
    }

    crate::as_its_body!();
}

fn sequence_map(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let body = Body::new(build, "body")?;
    if body.inputs == 0 || body.inputs != build.node.inputs.len() {
        bad!("the inputs of the body do not fit");
    }
    Ok(Box::new(SequenceMap { body }))
}
