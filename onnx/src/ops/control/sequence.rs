//! Sequences of tensors: made, changed, looked into, cut from tensors and joined to tensors.

use std::sync::Arc;

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::limits;
use crate::ops::layout;
use crate::ops::shape::concat::join;
use crate::ops::shape::concat::part;
use crate::ops::shape::gather::index;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Map;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("ConcatFromSequence", concat_from_sequence),
    Operator::own("SequenceAt", |_| Ok(Box::new(SequenceAt))),
    Operator::own("SequenceConstruct", |_| Ok(Box::new(SequenceConstruct))),
    Operator::own("SequenceEmpty", |_| Ok(Box::new(SequenceConstruct))),
    Operator::own("SequenceErase", |_| Ok(Box::new(SequenceErase))),
    Operator::own("SequenceInsert", |_| Ok(Box::new(SequenceInsert))),
    Operator::own("SequenceLength", |_| Ok(Box::new(SequenceLength))),
    Operator::own("SplitToSequence", split_to_sequence),
];

/// The entries of a sequence, without a copy if nobody else holds it.
///
/// # Errors
/// If it is no sequence.
pub fn entries(value: Value) -> Result<Vec<Value>, OpError> {
    match value {
        Value::Sequence(all) => Ok(Arc::unwrap_or_clone(all)),
        other => bad!("expected a sequence, found {}", other.kind()),
    }
}

fn sequence(all: Vec<Value>) -> Values {
    smallvec![Value::Sequence(Arc::new(all))]
}

#[derive(Debug)]
struct SequenceConstruct;

impl Kernel for SequenceConstruct {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        Ok(sequence((0..inputs.len()).map(|i| inputs.take_value(i)).collect()))
    }
}

#[derive(Debug)]
struct SequenceLength;

impl Kernel for SequenceLength {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let len = match inputs.value(0)? {
            Value::Sequence(all) => all.len(),
            Value::Table(table) => table.values.shape().first().copied().unwrap_or(0),
            other => bad!("expected a sequence, found {}", other.kind()),
        };
        Ok(one(Tensor::scalar(len as i64)))
    }
}

#[derive(Debug)]
struct SequenceAt;

impl Kernel for SequenceAt {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let position = inputs.tensor(1)?.to_i64()?;
        Ok(smallvec![match inputs.value(0)? {
            Value::Sequence(all) => all[index(position, all.len())?].clone(),
            Value::Table(table) => {
                let (rows, keys) = (table.values.shape().first().copied().unwrap_or(0), table.keys.len());
                let row = part(&table.values, 0, index(position, rows)?, 1)?.reshaped(&[keys])?;
                Value::Map(Arc::new(Map { keys: (*table.keys).clone(), values: row }))
            }
            other => bad!("expected a sequence, found {}", other.kind()),
        }])
    }
}

#[derive(Debug)]
struct SequenceErase;

impl Kernel for SequenceErase {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let position = inputs.optional(1)?.map(Tensor::to_i64).transpose()?.unwrap_or(-1);
        let mut all = entries(inputs.take_value(0))?;
        all.remove(index(position, all.len())?);
        Ok(sequence(all))
    }
}

#[derive(Debug)]
struct SequenceInsert;

impl Kernel for SequenceInsert {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let position = inputs.optional(2)?.map(Tensor::to_i64).transpose()?;
        let new = Value::from(inputs.take(1)?);
        let mut all = entries(inputs.take_value(0))?;
        if let (Some(Value::Tensor(old)), Value::Tensor(new)) = (all.first(), &new)
            && old.element_type() != new.element_type()
        {
            bad!("{} for a sequence of {}", new.element_type(), old.element_type());
        }
        let len = all.len();
        let at = match position {
            None => len,
            // unlike elsewhere, the end itself is a place
            Some(position) if position == len as i64 => len,
            Some(position) => index(position, len)?,
        };
        all.insert(at, new);
        Ok(sequence(all))
    }
}

#[derive(Debug)]
struct SplitToSequence {
    axis: i64,
    /// Only if the sizes are left out.
    keep: bool,
}

impl Kernel for SplitToSequence {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        let axis = layout::axis(self.axis, data.rank())?;
        let len = data.shape()[axis];
        if len > limits::TURNS {
            return Err(OpError::too_large(format!("an axis of {len} makes too many parts")));
        }
        let mut keep = true;
        let sizes = match inputs.optional(1)? {
            None => {
                keep = self.keep;
                vec![1; len]
            }
            Some(sizes) if sizes.rank() == 0 => {
                let size = usize::try_from(sizes.to_i64()?).ok().filter(|s| *s > 0);
                let Some(size) = size else { bad!("the size of a part is not positive") };
                (0..len).step_by(size).map(|start| size.min(len - start)).collect()
            }
            Some(sizes) => layout::parts(&sizes.to_i64s()?, len)?,
        };
        let mut all = Vec::with_capacity(sizes.len());
        let mut start = 0;
        for size in sizes {
            let mut piece = part(data, axis, start, size)?;
            if !keep {
                let mut shape = Shape::from_slice(piece.shape());
                shape.remove(axis);
                piece = piece.reshaped(&shape)?;
            }
            all.push(piece.into());
            start += size;
        }
        Ok(sequence(all))
    }
}

fn split_to_sequence(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(SplitToSequence { axis: attributes.int_or("axis", 0)?, keep: attributes.flag("keepdims", true)? }))
}

#[derive(Debug)]
struct ConcatFromSequence {
    axis: i64,
    new_axis: bool,
}

impl Kernel for ConcatFromSequence {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let all = entries(inputs.take_value(0))?;
        let tensors: Vec<&Tensor> = all.iter().filter_map(Value::tensor).collect();
        if tensors.len() != all.len() {
            bad!("the sequence holds something else than tensors");
        }
        if !self.new_axis {
            return join(&tensors, self.axis).map(one);
        }
        let Some(first) = tensors.first() else { bad!("the sequence is empty") };
        let axis = layout::axis(self.axis, first.rank() + 1)?;
        let raised = tensors.iter().map(|tensor| {
            let mut shape = Shape::from_slice(tensor.shape());
            shape.insert(axis.min(shape.len()), 1);
            (*tensor).clone().reshaped(&shape)
        });
        let raised: Vec<Tensor> = raised.collect::<Result<_, _>>()?;
        join(&raised.iter().collect::<Vec<_>>(), axis as i64).map(one)
    }
}

fn concat_from_sequence(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let axis = attributes.int("axis")?.ok_or_else(|| missing("axis"))?;
    Ok(Box::new(ConcatFromSequence { axis, new_axis: attributes.flag("new_axis", false)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, inputs: Vec<Value>) -> Result<Value, OpError> {
        let mut inputs = inputs;
        Ok(kernel.run(&mut Inputs(&mut inputs))?.remove(0))
    }

    fn number(n: i64) -> Value {
        Tensor::scalar(n).into()
    }

    #[test]
    fn entries_come_and_go() {
        let two = run(&SequenceConstruct, vec![number(1), number(2)]).unwrap();
        let three = run(&SequenceInsert, vec![two.clone(), number(3), number(-1)]).unwrap();
        assert_eq!(entries(three.clone()).unwrap(), [number(1), number(3), number(2)]);
        let last = run(&SequenceInsert, vec![two.clone(), number(3), number(2)]).unwrap();
        assert_eq!(run(&SequenceAt, vec![last, number(-1)]).unwrap(), number(3));
        assert_eq!(run(&SequenceErase, vec![three, number(1)]).unwrap(), two);
        assert_eq!(run(&SequenceLength, vec![two.clone()]).unwrap(), number(2));
        for wrong in [2, -3, i64::MIN] {
            assert!(run(&SequenceAt, vec![two.clone(), number(wrong)]).is_err());
            assert!(run(&SequenceErase, vec![two.clone(), number(wrong)]).is_err());
        }
        assert!(run(&SequenceInsert, vec![two.clone(), number(0), number(3)]).is_err());
        assert!(run(&SequenceInsert, vec![two, Tensor::scalar(1f32).into()]).is_err());
    }

    #[test]
    fn tensors_are_cut_and_joined() {
        let data = Tensor::new(&[2, 3], (0i64..6).collect()).unwrap();
        let cut = |keep| SplitToSequence { axis: 1, keep };
        let columns = run(&cut(false), vec![data.clone().into()]).unwrap();
        let join = |new_axis| ConcatFromSequence { axis: 1, new_axis };
        assert_eq!(run(&join(true), vec![columns]).unwrap(), Value::from(data.clone()));
        let parts = run(&cut(true), vec![data.clone().into(), number(2)]).unwrap();
        assert_eq!(entries(parts.clone()).unwrap().len(), 2);
        assert_eq!(run(&join(false), vec![parts]).unwrap(), Value::from(data.clone()));
        assert!(run(&cut(true), vec![data.clone().into(), number(0)]).is_err());
        assert!(run(&cut(true), vec![data.into(), Tensor::vector(vec![1i64, 1]).into()]).is_err());
    }
}
