//! CumSum and CumProd: sums and products of all elements up to each one, in order.

use crate::bad;
use crate::each_number;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::shape::arithmetic::Arithmetic;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("CumProd", cum_prod), Operator::own("CumSum", cum_sum)];

#[derive(Debug)]
struct Cumulate {
    product: bool,
    exclusive: bool,
    reverse: bool,
}

impl Kernel for Cumulate {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let axis = inputs.tensor(1)?.to_i64()?;
        let data = inputs.take(0)?;
        let axis = layout::axis(axis, data.rank())?;
        let (_, len, inner) = layout::around(data.shape(), axis);
        let (shape, mut elements) = data.into_parts();
        let name = elements.element_type();
        each_number!(&mut elements, v => self.typed(v, len, inner), bad!("{name} has no sums"));
        Tensor::from_elements(&shape, elements).map(one)
    }
}

impl Cumulate {
    fn typed<T: Arithmetic>(&self, data: &mut [T], len: usize, inner: usize) {
        if data.is_empty() {
            return;
        }
        let neutral = if self.product { T::ONE } else { T::default() };
        for block in data.chunks_exact_mut(len * inner) {
            for column in 0..inner {
                let mut line = block[column..].iter_mut().step_by(inner);
                if self.reverse {
                    self.line(line.rev(), neutral);
                } else {
                    self.line(line.by_ref(), neutral);
                }
            }
        }
    }

    fn line<'a, T: Arithmetic>(&self, line: impl Iterator<Item = &'a mut T>, neutral: T) {
        let mut so_far = neutral;
        for (i, value) in line.enumerate() {
            let next = match (i, self.product) {
                // the first is taken as it is, which keeps a -0
                (0, _) => *value,
                (_, true) => so_far.times(*value),
                (_, false) => so_far.plus(*value),
            };
            *value = if self.exclusive { so_far } else { next };
            so_far = next;
        }
    }
}

fn build_cumulate(build: &Build<'_>, product: bool) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let (exclusive, reverse) = (attributes.flag("exclusive", false)?, attributes.flag("reverse", false)?);
    Ok(Box::new(Cumulate { product, exclusive, reverse }))
}

fn cum_sum(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    build_cumulate(build, false)
}

fn cum_prod(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    build_cumulate(build, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_run_either_way() {
        for (product, exclusive, reverse, want) in [
            (false, false, false, [1i64, 2, 4, 6]),
            (false, true, false, [0, 0, 1, 2]),
            (false, true, true, [3, 4, 0, 0]),
            (true, false, true, [3, 8, 3, 4]),
            (true, true, false, [1, 1, 1, 2]),
        ] {
            let data = Tensor::new(&[2, 2], vec![1i64, 2, 3, 4]).unwrap();
            let mut inputs = [data.into(), Tensor::scalar(0i32).into()];
            let out = Cumulate { product, exclusive, reverse }.run(&mut Inputs(&mut inputs)).unwrap();
            assert_eq!(out[0].tensor().unwrap().slice(), Ok(&want[..]));
        }
    }
}
