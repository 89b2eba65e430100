//! Shapes of products of tensors: the last two axes are matrices, the others are broadcast.

use crate::bad;
use crate::error::OpError;
use crate::tensor::Shape;
use crate::tensor::show;

/// A product of stacks of matrices, as `numpy.matmul` has it.
#[derive(Debug, PartialEq)]
pub struct Stack {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Shape of the result.
    pub shape: Shape,
    /// Matrix numbers of the left and the right side for each matrix of the result.
    pub pairs: Vec<(usize, usize)>,
}

impl Stack {
    /// # Errors
    /// If the shapes do not fit.
    pub fn new(a: &[usize], b: &[usize]) -> Result<Stack, OpError> {
        let unfit = || OpError::bad(format!("{} cannot be multiplied by {}", show(a), show(b)));
        let (batch_a, m, k) = match a {
            [] => return Err(unfit()),
            [k] => (&[][..], 1, *k),
            [batch @ .., m, k] => (batch, *m, *k),
        };
        let (batch_b, rows, n) = match b {
            [] => return Err(unfit()),
            [k] => (&[][..], *k, 1),
            [batch @ .., k, n] => (batch, *k, *n),
        };
        if rows != k {
            return Err(unfit());
        }
        let batch = broadcast(batch_a, batch_b).ok_or_else(unfit)?;
        let mut shape = batch.clone();
        shape.extend((a.len() > 1).then_some(m));
        shape.extend((b.len() > 1).then_some(n));
        // checked before anything is made that is as long as the batch
        if crate::tensor::volume(&shape, 16)? == 0 {
            return Ok(Stack { m, k, n, shape, pairs: vec![] });
        }
        // one right side for all: the left sides lie one after the other, which is one tall matrix
        if batch_b.iter().all(|d| *d == 1) {
            let m = batch_a.iter().product::<usize>() * m;
            return Ok(Stack { m, k, n, shape, pairs: vec![(0, 0)] });
        }
        let left = offsets(batch_a, &batch);
        let pairs = left.into_iter().zip(offsets(batch_b, &batch)).collect();
        Ok(Stack { m, k, n, shape, pairs })
    }
}

/// The common shape; `None` if there is none.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    let join = |i| match (dim(a, i), dim(b, i)) {
        (x, y) if x == y => Some(x),
        (1, y) => Some(y),
        (x, 1) => Some(x),
        _ => None,
    };
    (0..rank).map(join).collect()
}

/// For each element of `to` in order, the number of the element of `from` that it is broadcast from.
pub fn offsets(from: &[usize], to: &[usize]) -> Vec<usize> {
    if to.contains(&0) {
        return vec![];
    }
    let mut all = vec![0];
    let mut stride = from.iter().product::<usize>();
    for (i, &len) in to.iter().enumerate() {
        let axis = (i + from.len()).checked_sub(to.len()).map(|i| from[i]);
        if let Some(axis) = axis {
            stride /= axis.max(1);
        }
        let step = if axis.unwrap_or(1) == 1 { 0 } else { stride };
        all = all.iter().flat_map(|x| (0..len).map(move |j| x + j * step)).collect();
    }
    all
}

/// Ends with an error unless a matrix of these shapes can be added to `[m, n]`: what Gemm allows for C.
///
/// # Errors
/// If it cannot be broadcast.
pub fn fits(c: &[usize], m: usize, n: usize) -> Result<(usize, usize), OpError> {
    let (rows, cols) = match c {
        [] => (1, 1),
        [cols] => (1, *cols),
        [rows, cols] => (*rows, *cols),
        _ => bad!("C of shape {} has too many axes", show(c)),
    };
    if rows != 1 && rows != m || cols != 1 && cols != n {
        bad!("C of shape {} cannot be added to {}", show(c), show(&[m, n]));
    }
    Ok((rows, cols))
}

/// The elements with their axes in another order: axis `i` of the result is axis `order[i]`. Also the new shape.
///
/// # Panics
/// If `order` does not name every axis once, or `from` is shorter than `shape` says.
pub fn permuted<T: Clone>(from: &[T], shape: &[usize], order: &[usize]) -> (Vec<T>, Shape) {
    let to: Shape = order.iter().map(|axis| shape[*axis]).collect();
    if from.is_empty() {
        return (vec![], to);
    }
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let strides: Vec<usize> = order.iter().map(|axis| strides[*axis]).collect();
    (strided(from, &to, &strides), to)
}

/// The elements at the strides given, in the order of `shape`.
///
/// # Panics
/// If they reach beyond `from`.
pub fn strided<T: Clone>(from: &[T], shape: &[usize], strides: &[usize]) -> Vec<T> {
    if shape.contains(&0) {
        return vec![];
    }
    let len = shape.iter().product();
    let mut out = Vec::with_capacity(len);
    let Some((&inner, outer)) = shape.split_last() else {
        return from[..1].to_vec();
    };
    let step = strides[outer.len()];
    let mut index = vec![0; outer.len()];
    let mut at = 0;
    while out.len() < len {
        if step == 1 {
            out.extend_from_slice(&from[at..at + inner]);
        } else {
            out.extend((0..inner).map(|i| from[at + i * step].clone()));
        }
        for axis in (0..outer.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < outer[axis] {
                break;
            }
            at -= strides[axis] * outer[axis];
            index[axis] = 0;
        }
    }
    out
}
