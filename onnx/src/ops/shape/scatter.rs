//! Scatter, ScatterElements, ScatterND and TensorScatter: a tensor with some of its elements replaced.

use crate::bad;
use crate::each_number;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::shape::arithmetic::Arithmetic;
use crate::ops::shape::gather::element_places;
use crate::ops::shape::gather::slice_places;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Scatter", scatter_elements),
    Operator::own("ScatterElements", scatter_elements),
    Operator::own("ScatterND", scatter_nd),
    Operator::own("TensorScatter", tensor_scatter),
];

/// How an update meets what is there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reduction {
    Replace,
    Add,
    Multiply,
    Minimum,
    Maximum,
}

fn reduction(build: &Build<'_>) -> Result<Reduction, OpError> {
    Ok(match build.node.attributes.text_or("reduction", "none")? {
        "none" => Reduction::Replace,
        "add" => Reduction::Add,
        "mul" => Reduction::Multiply,
        "min" => Reduction::Minimum,
        "max" => Reduction::Maximum,
        other => bad!("the reduction {other} does not exist"),
    })
}

/// Writes runs of `size` updates at each of `starts`, in order.
fn write(data: Tensor, starts: &[usize], size: usize, updates: &Tensor, how: Reduction) -> Result<Tensor, OpError> {
    if data.element_type() != updates.element_type() {
        bad!("updates of {} for {}", updates.element_type(), data.element_type());
    }
    if updates.len() != starts.len() * size {
        bad!("updates of {} do not fit the indices", show(updates.shape()));
    }
    if how == Reduction::Add {
        layout::admit_together(&[&data, updates])?;
    }
    let (shape, mut elements) = data.into_parts();
    match (&mut elements, how) {
        (all, Reduction::Replace) => each_type!(all, v => replace(v, starts, size, updates.slice()?)),
        (Elements::Text(v), Reduction::Add) => append(v, starts, size, updates.slice()?),
        (Elements::Bool(v), Reduction::Add | Reduction::Multiply) => combine(v, starts, size, updates.slice()?, how),
        (all, how) => {
            let name = all.element_type();
            each_number!(all, v => combine(v, starts, size, updates.slice()?, how), unsupported!("this reduction of {name}"))
        }
    }
    Tensor::from_elements(&shape, elements)
}

fn replace<T: Element>(data: &mut [T], starts: &[usize], size: usize, updates: &[T]) {
    if size == 1 {
        starts.iter().zip(updates).for_each(|(at, update)| data[*at].clone_from(update));
    } else if size > 0 {
        for (at, update) in starts.iter().zip(updates.chunks_exact(size)) {
            data[*at..at + size].clone_from_slice(update);
        }
    }
}

fn append(data: &mut [String], starts: &[usize], size: usize, updates: &[String]) {
    for (i, update) in updates.iter().enumerate() {
        data[starts[i / size] + i % size].push_str(update);
    }
}

fn combine<T: Arithmetic>(data: &mut [T], starts: &[usize], size: usize, updates: &[T], how: Reduction) {
    if size == 0 {
        return;
    }
    for (at, update) in starts.iter().zip(updates.chunks_exact(size)) {
        for (old, new) in data[*at..at + size].iter_mut().zip(update) {
            // of a NaN and a number the later one stays, as in onnxruntime
            let keep = match how {
                Reduction::Add => {
                    *old = old.plus(*new);
                    continue;
                }
                Reduction::Multiply => {
                    *old = old.times(*new);
                    continue;
                }
                Reduction::Minimum => *old < *new,
                Reduction::Maximum => *old > *new,
                Reduction::Replace => false,
            };
            if !keep {
                *old = *new;
            }
        }
    }
}

#[derive(Debug)]
struct ScatterElements {
    axis: i64,
    how: Reduction,
}

impl Kernel for ScatterElements {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.take(0)?;
        let (wanted, updates) = (inputs.tensor(1)?, inputs.tensor(2)?);
        if wanted.shape() != updates.shape() {
            bad!("indices of {} and updates of {} differ", show(wanted.shape()), show(updates.shape()));
        }
        let places = element_places(data.shape(), wanted, self.axis)?;
        write(data, &places, 1, updates, self.how).map(one)
    }
}

fn scatter_elements(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axis = build.node.attributes.int_or("axis", 0)?;
    Ok(Box::new(ScatterElements { axis, how: reduction(build)? }))
}

#[derive(Debug)]
struct ScatterNd {
    how: Reduction,
}

impl Kernel for ScatterNd {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.take(0)?;
        let (wanted, updates) = (inputs.tensor(1)?, inputs.tensor(2)?);
        let (starts, size, tail) = slice_places(data.shape(), wanted, 0)?;
        let before = &wanted.shape()[..wanted.rank() - 1];
        if updates.shape().strip_prefix(before) != Some(tail) {
            bad!("updates of {} do not fit the indices", show(updates.shape()));
        }
        write(data, &starts, size, updates, self.how).map(one)
    }
}

fn scatter_nd(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(ScatterNd { how: reduction(build)? }))
}

/// A cache with new entries written behind one another from an index of each row of the batch on.
#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    circular: bool,
}

impl Kernel for TensorScatter {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let cache = inputs.take(0)?;
        let update = inputs.tensor(1)?;
        let axis = layout::axis(self.axis, cache.rank())?;
        let alike = update.rank() == cache.rank()
            && (0..cache.rank()).all(|i| i == axis || update.shape()[i] == cache.shape()[i]);
        if axis == 0 || !alike {
            bad!("an update of {} for a cache of {} on the axis {axis}", show(update.shape()), show(cache.shape()));
        }
        let (outer, len, inner) = layout::around(cache.shape(), axis);
        let (new, batch) = (update.shape()[axis], cache.shape()[0]);
        let at = match inputs.optional(2)? {
            Some(at) => at.to_i64s()?,
            None => vec![0; volume(&[batch], size_of::<i64>())?],
        };
        if at.len() != batch || new > len {
            bad!("{} indices and {new} entries for {batch} rows of {len}", at.len());
        }
        let mut starts = Vec::with_capacity(outer.saturating_mul(new).min(update.len()));
        for row in 0..if update.is_empty() { 0 } else { outer } {
            let first = usize::try_from(at[row / (outer / batch)]).ok().filter(|f| self.circular || f + new <= len);
            let Some(first) = first else { bad!("an index is outside an axis of {len}") };
            starts.extend((0..new).map(|i| (row * len + (first % len + i) % len) * inner));
        }
        write(cache, &starts, inner, update, Reduction::Replace).map(one)
    }
}

fn tensor_scatter(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let circular = match build.node.attributes.text_or("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => bad!("the mode {other} does not exist"),
    };
    Ok(Box::new(TensorScatter { axis: build.node.attributes.int_or("axis", -2)?, circular }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        kernel: &dyn Kernel,
        data: &[f32],
        shape: &[usize],
        list: Vec<i64>,
        updates: &[f32],
    ) -> Result<Vec<f32>, OpError> {
        let data = Tensor::vector(data.to_vec());
        let list = Tensor::new(shape, list)?;
        let mut inputs = [data.into(), list.into(), Tensor::vector(updates.to_vec()).into()];
        kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone().into_vec()
    }

    /// Answers of onnxruntime 1.32.
    #[test]
    fn updates_of_the_same_place_add_up() {
        let nan = f32::NAN;
        for (how, want) in [
            (Reduction::Replace, [1.0, 2.0, 1.0]),
            (Reduction::Add, [7.0, 2.0, nan]),
            (Reduction::Multiply, [5.0, 2.0, nan]),
            (Reduction::Minimum, [1.0, 2.0, 1.0]),
            (Reduction::Maximum, [5.0, 2.0, 1.0]),
        ] {
            let same = |got: Vec<f32>| got.iter().zip(want).all(|(a, b)| *a == b || a.is_nan() && b.is_nan());
            let (data, updates) = ([1.0, 2.0, nan], [5.0, 1.0, 1.0]);
            assert!(same(run(&ScatterElements { axis: 0, how }, &data, &[3], vec![0, -3, 2], &updates).unwrap()));
            assert!(same(run(&ScatterNd { how }, &data, &[3, 1], vec![0, 0, -1], &updates).unwrap()));
        }
    }

    #[test]
    fn indices_must_be_inside() {
        let nd = ScatterNd { how: Reduction::Replace };
        let elements = ScatterElements { axis: 0, how: Reduction::Replace };
        assert!(run(&nd, &[1.0], &[1, 1], vec![1], &[2.0]).is_err());
        assert!(run(&nd, &[1.0], &[1, 2], vec![0, 0], &[2.0]).is_err());
        assert!(run(&nd, &[1.0], &[2, 1], vec![0, 0], &[2.0]).is_err());
        assert!(run(&elements, &[1.0], &[1], vec![-2], &[2.0]).is_err());
        assert!(run(&elements, &[1.0], &[2], vec![0, 0], &[2.0]).is_err());
    }
}
