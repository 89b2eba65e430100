//! Gather, GatherElements and GatherND: elements by their indices.

use std::borrow::Cow;

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::layout::Nest;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("Gather", gather)
        .note("texts are whole entries, of which onnxruntime 1.32 leaves all but the first empty"),
    Operator::own("GatherElements", gather_elements),
    Operator::own("GatherND", gather_nd),
    Operator::own("GatherND", gather_nd).of(MICROSOFT),
];

/// Indices as `i64`, without a copy where they are that already.
///
/// # Errors
/// If they are no whole numbers.
pub fn indices(tensor: &Tensor) -> Result<Cow<'_, [i64]>, OpError> {
    match tensor.elements() {
        Elements::I64(v) => Ok(Cow::Borrowed(v)),
        _ => tensor.to_i64s().map(Cow::Owned),
    }
}

/// An index on an axis of `len`; negative ones count from the back.
///
/// # Errors
/// If it is outside.
#[inline]
pub fn index(i: i64, len: usize) -> Result<usize, OpError> {
    let at = if i < 0 { i.wrapping_add(len as i64) } else { i };
    if at < 0 || at >= len as i64 {
        bad!("an index is outside an axis of {len}");
    }
    Ok(at as usize)
}

#[derive(Debug)]
struct Gather {
    axis: i64,
}

impl Kernel for Gather {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (data, wanted) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let axis = layout::axis(self.axis, data.rank())?;
        let len = data.shape()[axis];
        let list = indices(wanted)?;
        let list: Vec<usize> = list.iter().map(|i| index(*i, len)).collect::<Result<_, _>>()?;
        let mut shape = Shape::from_slice(&data.shape()[..axis]);
        shape.extend_from_slice(wanted.shape());
        shape.extend_from_slice(&data.shape()[axis + 1..]);
        let total = layout::admit(data.elements(), &shape)?;
        let (_, _, inner) = layout::around(data.shape(), axis);
        each_type!(data.elements(), v => Tensor::new(&shape, rows(v, &list, len, inner, total))).map(one)
    }
}

/// The `inner` elements at each index of an axis of `len`, for everything before that axis.
pub fn rows<T: Clone>(data: &[T], list: &[usize], len: usize, inner: usize, total: usize) -> Vec<T> {
    if total == 0 {
        return vec![];
    }
    let mut out = Vec::with_capacity(total);
    for block in data.chunks_exact(len * inner) {
        if inner == 1 {
            out.extend(list.iter().map(|i| block[*i].clone()));
        } else {
            list.iter().for_each(|i| out.extend_from_slice(&block[i * inner..(i + 1) * inner]));
        }
    }
    out
}

fn gather(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Gather { axis: build.node.attributes.int_or("axis", 0)? }))
}

#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

impl Kernel for GatherElements {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (data, wanted) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let places = element_places(data.shape(), wanted, self.axis)?;
        layout::admit(data.elements(), wanted.shape())?;
        each_type!(data.elements(), v => {
            Tensor::new(wanted.shape(), at(v, &places))
        })
        .map(one)
    }
}

fn at<T: Clone>(data: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|at| data[*at].clone()).collect()
}

/// Where the elements lie that GatherElements reads and ScatterElements writes: at the place of each index, but for
/// `axis`, where the index tells it.
///
/// # Errors
/// If ranks or lengths do not fit, or an index is outside.
pub fn element_places(shape: &[usize], wanted: &Tensor, axis: i64) -> Result<Vec<usize>, OpError> {
    let axis = layout::axis(axis, shape.len())?;
    let fits = wanted.rank() == shape.len()
        && wanted.shape().iter().zip(shape).enumerate().all(|(i, (w, d))| i == axis || w <= d);
    if !fits {
        bad!("indices of {} for {}", show(wanted.shape()), show(shape));
    }
    let mut steps = layout::steps(shape);
    let (len, step) = (shape[axis], steps[axis] as usize);
    steps[axis] = 0;
    let list = indices(wanted)?;
    let nest = Nest::new(wanted.shape(), [&steps]);
    let mut places = Vec::with_capacity(list.len());
    let mut outside = false;
    nest.walk([0], |[mut at]| {
        for i in &list[places.len()..places.len() + nest.len] {
            match index(*i, len) {
                Ok(i) => places.push(at + i * step),
                Err(_) => {
                    outside = true;
                    places.push(0);
                }
            }
            at = at.wrapping_add_signed(nest.inner[0]);
        }
    });
    if outside {
        bad!("an index is outside an axis of {len}");
    }
    Ok(places)
}

fn gather_elements(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(GatherElements { axis: build.node.attributes.int_or("axis", 0)? }))
}

#[derive(Debug)]
struct GatherNd {
    batch: usize,
}

impl Kernel for GatherNd {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (data, wanted) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (starts, size, tail) = slice_places(data.shape(), wanted, self.batch)?;
        let mut shape = Shape::from_slice(&wanted.shape()[..wanted.rank() - 1]);
        shape.extend_from_slice(tail);
        let total = layout::admit(data.elements(), &shape)?;
        each_type!(data.elements(), v => Tensor::new(&shape, slices(v, &starts, size, total))).map(one)
    }
}

fn slices<T: Element>(data: &[T], starts: &[usize], size: usize, total: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(total);
    starts.iter().for_each(|at| out.extend_from_slice(&data[*at..at + size]));
    out
}

/// Where the slices start that GatherND reads and ScatterND writes, with their size and shape: the last axis of
/// `wanted` holds one index tuple each; its first `batch` axes are those of the data.
///
/// # Errors
/// If ranks or lengths do not fit, or an index is outside.
pub fn slice_places<'a>(
    shape: &'a [usize],
    wanted: &Tensor,
    batch: usize,
) -> Result<(Vec<usize>, usize, &'a [usize]), OpError> {
    let Some((depth, before)) = wanted.shape().split_last() else { bad!("the indices are a scalar") };
    let fits = batch <= before.len() && batch <= shape.len() && *depth <= shape.len() - batch;
    if !fits || before[..batch] != shape[..batch] {
        bad!("indices of {} for {} with {batch} batch axes", show(wanted.shape()), show(shape));
    }
    let (axes, tail) = shape[batch..].split_at(*depth);
    let (size, block) = (layout::product(tail), layout::product(&shape[batch..]));
    let (batches, each) = (layout::product(&before[..batch]), layout::product(&before[batch..]));
    if before.contains(&0) {
        return Ok((vec![], size, tail));
    }
    // an empty tuple means the whole block
    if *depth == 0 {
        volume(before, size_of::<usize>())?;
        let starts = (0..batches).flat_map(|b| std::iter::repeat_n(b * block, each)).collect();
        return Ok((starts, size, tail));
    }
    let list = indices(wanted)?;
    let mut starts = Vec::with_capacity(batches * each);
    for (i, tuple) in list.chunks_exact(*depth).enumerate() {
        let mut at = 0;
        for (i, len) in tuple.iter().zip(axes) {
            // wraps around only if the slices are empty
            at = usize::wrapping_mul(at, *len).wrapping_add(index(*i, *len)?);
        }
        starts.push((i / each * block).wrapping_add(at.wrapping_mul(size)));
    }
    Ok((starts, size, tail))
}

fn gather_nd(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let batch = build.node.attributes.int_or("batch_dims", 0)?;
    let batch = usize::try_from(batch).map_err(|_| OpError::bad("`batch_dims` is negative"))?;
    Ok(Box::new(GatherNd { batch }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, data: Tensor, list: Tensor) -> Result<Tensor, OpError> {
        let mut inputs = [data.into(), list.into()];
        Ok(kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone())
    }

    fn data() -> Tensor {
        Tensor::new(&[2, 3], ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec()).unwrap()
    }

    fn texts(tensor: &Tensor) -> String {
        tensor.slice::<String>().unwrap().concat()
    }

    #[test]
    fn an_axis_is_looked_up() {
        let list = Tensor::new(&[1, 2], vec![-1i32, 0]).unwrap();
        let got = run(&Gather { axis: 1 }, data(), list.clone()).unwrap();
        assert_eq!((got.shape(), texts(&got)), (&[2, 1, 2][..], "cafd".into()));
        let got = run(&Gather { axis: 0 }, data(), Tensor::scalar(1i64)).unwrap();
        assert_eq!((got.shape(), texts(&got)), (&[3][..], "def".into()));
        for wrong in [3, -4, i64::MIN, i64::MAX] {
            assert!(run(&Gather { axis: 1 }, data(), Tensor::scalar(wrong)).is_err());
        }
        assert!(run(&Gather { axis: 2 }, data(), list).is_err());
    }

    #[test]
    fn every_index_at_its_place() {
        let list = Tensor::new(&[2, 2], vec![2i64, 0, -2, 1]).unwrap();
        assert_eq!(texts(&run(&GatherElements { axis: 1 }, data(), list).unwrap()), "caee");
        let list = Tensor::new(&[1, 3], vec![1i64, 0, 1]).unwrap();
        assert_eq!(texts(&run(&GatherElements { axis: 0 }, data(), list.clone()).unwrap()), "dbf");
        assert!(run(&GatherElements { axis: 0 }, data(), Tensor::vector(vec![0i64])).is_err());
        assert!(run(&GatherElements { axis: 1 }, data(), Tensor::new(&[1, 1], vec![3i64]).unwrap()).is_err());
    }

    #[test]
    fn tuples_of_indices() {
        let list = |shape: &[usize], v: Vec<i64>| Tensor::new(shape, v).unwrap();
        let whole = run(&GatherNd { batch: 0 }, data(), list(&[2, 2], vec![0, 1, -1, -1])).unwrap();
        assert_eq!(texts(&whole), "bf");
        let rows = run(&GatherNd { batch: 0 }, data(), list(&[1, 1], vec![1])).unwrap();
        assert_eq!((rows.shape(), texts(&rows)), (&[1, 3][..], "def".into()));
        let batch = run(&GatherNd { batch: 1 }, data(), list(&[2, 1], vec![2, 0])).unwrap();
        assert_eq!(texts(&batch), "cd");
        assert!(run(&GatherNd { batch: 0 }, data(), list(&[1, 3], vec![0, 0, 0])).is_err());
        assert!(run(&GatherNd { batch: 2 }, data(), list(&[2, 1], vec![0, 0])).is_err());
        assert!(run(&GatherNd { batch: 0 }, data(), list(&[1, 2], vec![0, 3])).is_err());
    }
}
