//! ReverseSequence: the first entries of each sequence of a batch the other way round.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("ReverseSequence", reverse_sequence)];

#[derive(Debug)]
struct ReverseSequence {
    batch_axis: i64,
    time_axis: i64,
}

impl Kernel for ReverseSequence {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.take(0)?;
        let (batch_axis, time_axis) = (self.batch_axis, self.time_axis);
        let (batch, time) = match (data.shape(), batch_axis, time_axis) {
            (&[batch, time, ..], 0, 1) | (&[time, batch, ..], 1, 0) => (batch, time),
            (shape, ..) => bad!("the axes {batch_axis} and {time_axis} of {} are no batch and time", show(shape)),
        };
        let lens = inputs.tensor(1)?.to_i64s()?;
        if lens.len() != batch || lens.iter().any(|n| *n < 0 || *n > time as i64) {
            bad!("the {} lengths do not fit {}", lens.len(), show(data.shape()));
        }
        let inner = layout::product(&data.shape()[2..]);
        let steps = layout::steps(data.shape());
        let (batch_step, time_step) = (steps[batch_axis as usize] as usize, steps[time_axis as usize] as usize);
        let (shape, mut elements) = data.into_parts();
        if elements.is_empty() {
            return Tensor::from_elements(&shape, elements).map(one);
        }
        each_type!(&mut elements, v => {
            for (row, len) in lens.iter().enumerate() {
                let len = *len as usize;
                for i in 0..len / 2 {
                    let at = |time: usize| row * batch_step + time * time_step;
                    let (head, tail) = v.split_at_mut(at(len - 1 - i));
                    head[at(i)..][..inner].swap_with_slice(&mut tail[..inner]);
                }
            }
        });
        Tensor::from_elements(&shape, elements).map(one)
    }
}

fn reverse_sequence(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let (batch_axis, time_axis) = (attributes.int_or("batch_axis", 1)?, attributes.int_or("time_axis", 0)?);
    Ok(Box::new(ReverseSequence { batch_axis, time_axis }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_entries_turn() {
        let run = |lens: Vec<i64>, batch_axis, time_axis| {
            let data = Tensor::new(&[2, 3, 1], (0i64..6).collect()).unwrap();
            let mut inputs = [data.into(), Tensor::vector(lens).into()];
            let out = ReverseSequence { batch_axis, time_axis }.run(&mut Inputs(&mut inputs))?;
            out[0].tensor().unwrap().to_i64s()
        };
        assert_eq!(run(vec![3, 2], 0, 1).unwrap(), [2, 1, 0, 4, 3, 5]);
        assert_eq!(run(vec![2, 1, 0], 1, 0).unwrap(), [3, 1, 2, 0, 4, 5]);
        assert!(run(vec![4, 0], 0, 1).is_err() && run(vec![-1, 0], 0, 1).is_err() && run(vec![1], 0, 1).is_err());
        assert!(run(vec![1, 1], 0, 0).is_err() && run(vec![1, 1], 0, 2).is_err());
    }
}
