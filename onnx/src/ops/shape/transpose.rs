//! Transpose, DepthToSpace and SpaceToDepth: the same elements in another order of axes.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::layout::Steps;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("DepthToSpace", depth_to_space),
    Operator::shared("SpaceToDepth", space_to_depth),
    Operator::shared("Transpose", transpose),
];

#[derive(Debug)]
struct Transpose {
    order: Option<Vec<i64>>,
}

impl Kernel for Transpose {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let rank = inputs.tensor(0)?.rank();
        let order: Shape = match &self.order {
            None => (0..rank).rev().collect(),
            Some(order) => layout::axes(order, rank)?,
        };
        if order.len() != rank {
            bad!("the order names {} axes of {rank}", order.len());
        }
        let shape = inputs.tensor(0)?.shape();
        let turned: Shape = order.iter().map(|i| shape[*i]).collect();
        // axes of length 1 may go anywhere without that an element moves
        let long = order.iter().filter(|i| shape[**i] != 1);
        if long.is_sorted() {
            return inputs.take(0)?.reshaped(&turned).map(one);
        }
        permute(inputs.tensor(0)?, &order).map(one)
    }
}

/// The axes in another order; `order` names every axis once.
///
/// # Errors
/// If the result is too large.
pub fn permute(tensor: &Tensor, order: &[usize]) -> Result<Tensor, OpError> {
    let steps = layout::steps(tensor.shape());
    let shape: Shape = order.iter().map(|i| tensor.shape()[*i]).collect();
    let steps: Steps = order.iter().map(|i| steps[*i]).collect();
    layout::view(tensor, 0, &shape, &steps)
}

fn transpose(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Transpose { order: build.node.attributes.ints("perm")?.map(<[i64]>::to_vec) }))
}

/// Blocks of pixels become channels, or the other way round.
#[derive(Debug)]
struct Blocks {
    size: usize,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Depth,
    /// As [`Way::Depth`], with the channels outermost (CRD).
    DepthColumnFirst,
    /// Channels hold block rows, block columns, then channels (DCR).
    SpaceDepthFirst,
    /// Channels hold channels, then block rows, block columns (CRD).
    SpaceColumnFirst,
}

impl Kernel for Blocks {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensor = inputs.take(0)?;
        let &[n, c, h, w] = tensor.shape() else {
            bad!("expected [batch, channels, height, width], found {}", show(tensor.shape()));
        };
        let b = self.size;
        let fits = match self.way {
            Way::Depth | Way::DepthColumnFirst => h % b == 0 && w % b == 0,
            _ => c % (b * b) == 0,
        };
        if !fits {
            bad!("{} cannot be cut into blocks of {b}", show(tensor.shape()));
        }
        let (split, order, shape) = match self.way {
            Way::Depth => ([n, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], [n, c.saturating_mul(b * b), h / b, w / b]),
            Way::DepthColumnFirst => {
                ([n, c, h / b, b, w / b, b], [0, 1, 3, 5, 2, 4], [n, c.saturating_mul(b * b), h / b, w / b])
            }
            Way::SpaceDepthFirst => (
                [n, b, b, c / b / b, h, w],
                [0, 3, 4, 1, 5, 2],
                [n, c / b / b, h.saturating_mul(b), w.saturating_mul(b)],
            ),
            Way::SpaceColumnFirst => (
                [n, c / b / b, b, b, h, w],
                [0, 1, 4, 2, 5, 3],
                [n, c / b / b, h.saturating_mul(b), w.saturating_mul(b)],
            ),
        };
        permute(&tensor.reshaped(&split)?, &order)?.reshaped(&shape).map(one)
    }
}

fn block_size(build: &Build<'_>) -> Result<usize, OpError> {
    let size = build.node.attributes.int("blocksize")?.ok_or_else(|| missing("blocksize"))?;
    match usize::try_from(size) {
        Ok(size) if (1..1 << 16).contains(&size) => Ok(size),
        _ => bad!("the block size {size} is not possible"),
    }
}

fn depth_to_space(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let way = match build.node.attributes.text_or("mode", "DCR")? {
        "DCR" => Way::SpaceDepthFirst,
        "CRD" => Way::SpaceColumnFirst,
        other => bad!("the mode {other} does not exist"),
    };
    Ok(Box::new(Blocks { size: block_size(build)?, way }))
}

fn space_to_depth(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let way = match build.node.attributes.text_or("mode", "DCR")? {
        "DCR" => Way::Depth,
        "CRD" => Way::DepthColumnFirst,
        other => bad!("the mode {other} does not exist"),
    };
    Ok(Box::new(Blocks { size: block_size(build)?, way }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, tensor: Tensor) -> Result<Tensor, OpError> {
        let mut inputs = [tensor.into()];
        Ok(kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone())
    }

    #[test]
    fn axes_are_turned() {
        let t = Tensor::new(&[1, 2, 3], vec![1i64, 2, 3, 4, 5, 6]).unwrap();
        let turned = run(&Transpose { order: None }, t.clone()).unwrap();
        assert_eq!(turned, Tensor::new(&[3, 2, 1], vec![1i64, 4, 2, 5, 3, 6]).unwrap());
        let moved = run(&Transpose { order: Some(vec![1, 0, 2]) }, t.clone()).unwrap();
        assert_eq!(moved, t.clone().reshaped(&[2, 1, 3]).unwrap());
        for wrong in [vec![0, 1], vec![0, 1, 1], vec![0, 1, 3]] {
            assert!(run(&Transpose { order: Some(wrong) }, t.clone()).is_err());
        }
    }

    #[test]
    fn blocks_go_and_come_back() {
        let t = Tensor::new(&[1, 4, 1, 2], (0i64..8).collect()).unwrap();
        let space = run(&Blocks { size: 2, way: Way::SpaceDepthFirst }, t.clone()).unwrap();
        assert_eq!(space, Tensor::new(&[1, 1, 2, 4], vec![0i64, 2, 1, 3, 4, 6, 5, 7]).unwrap());
        assert_eq!(run(&Blocks { size: 2, way: Way::Depth }, space).unwrap(), t);
        assert!(run(&Blocks { size: 3, way: Way::SpaceColumnFirst }, t).is_err());
    }
}
