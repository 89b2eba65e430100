//! Inputs and outputs without their batch axis.

use crate::each_type;
use crate::error::OpError;
use crate::graph::Dim;
use crate::graph::Kind;
use crate::graph::Port;
use crate::session::Feeding;
use crate::session::Reason;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// An input as a row sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPort {
    pub name: String,
    pub kind: Kind,
    /// Element type of a tensor; float if the file does not say.
    pub element_type: ElementType,
    /// Shape of one row's value; `None` if it is not declared, or no tensor.
    pub shape: Option<Vec<Dim>>,
    /// The axis of the rows in the graph's tensor; `None` if it has none.
    pub axis: Option<usize>,
}

impl RowPort {
    /// Elements of one row, where all lengths are declared.
    pub fn fixed_len(&self) -> Option<usize> {
        self.fixed_shape()?.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
    }

    /// The row's shape, where all lengths are declared.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        let dims = self.shape.as_ref()?.iter();
        dims.map(|d| if let Dim::Fixed(n) = d { Some(*n) } else { None }).collect()
    }
}

/// Finds the axis of the rows in every input, and how many rows the graph takes.
///
/// The first axis is the batch; where it has a fixed length and another axis has none, that one is (recurrent
/// networks put time first); a name with "batch" in it decides. If all lengths are fixed, the first axis is a batch
/// of fixed size.
pub fn ports(inputs: &[Port]) -> (Vec<RowPort>, Feeding) {
    let free = inputs.iter().any(|p| free_axis(&p.kind).is_some());
    let fixed = inputs.iter().find_map(|p| match &p.kind {
        Kind::Tensor { shape: Some(dims), .. } => match dims.first() {
            Some(Dim::Fixed(n)) => Some(*n),
            _ => None,
        },
        _ => None,
    });
    let feeding = match (free, fixed) {
        (true, _) | (false, None) => Feeding::Any,
        (false, Some(n)) => Feeding::Fixed(n),
    };
    let ports: Vec<RowPort> = inputs.iter().map(|p| row_port(p, feeding)).collect();
    let plain = ports.iter().any(|p| p.axis.is_none());
    let feeding = match feeding {
        // one row a run needs no axis
        Feeding::Any if plain => Feeding::Single(Reason::PlainInput),
        other => other,
    };
    (ports, feeding)
}

fn free_axis(kind: &Kind) -> Option<usize> {
    let Kind::Tensor { shape, .. } = kind else { return None };
    let Some(dims) = shape else { return Some(0) };
    let is_batch = |d: &Dim| matches!(d, Dim::Named(name) if name.to_ascii_lowercase().contains("batch"));
    dims.iter().position(is_batch).or_else(|| dims.iter().position(|d| !matches!(d, Dim::Fixed(_))))
}

fn row_port(port: &Port, feeding: Feeding) -> RowPort {
    let (element_type, shape, axis) = match &port.kind {
        Kind::Tensor { element_type, shape } => {
            let fixed_axis = match (feeding, shape.as_deref()) {
                (Feeding::Fixed(n), Some([Dim::Fixed(first), ..])) if *first == n => Some(0),
                _ => None,
            };
            let axis = free_axis(&port.kind).or(fixed_axis);
            let mut row = shape.clone();
            if let (Some(row), Some(axis)) = (&mut row, axis) {
                row.remove(axis);
            }
            (element_type.unwrap_or(ElementType::F32), row, axis)
        }
        Kind::Unknown => (ElementType::F32, None, Some(0)),
        _ => (ElementType::F32, None, None),
    };
    RowPort { name: port.name.clone(), kind: port.kind.clone(), element_type, shape, axis }
}

/// Moves the first axis to `axis`, or back with `back`.
///
/// # Errors
/// If there is no such axis.
pub fn move_axis(tensor: Tensor, axis: usize, back: bool) -> Result<Tensor, OpError> {
    if axis == 0 {
        return Ok(tensor);
    }
    let shape = tensor.shape().to_vec();
    if axis >= shape.len() {
        return Err(OpError::bad(format!("axis {axis} of a tensor of rank {}", shape.len())));
    }
    // [rows, before.., after..] <-> [before.., rows, after..]: two outer axes change places
    let (rows, before) = if back {
        (shape[axis], shape[..axis].iter().product::<usize>())
    } else {
        (shape[0], shape[1..=axis].iter().product::<usize>())
    };
    let after: usize = shape[axis + 1..].iter().product();
    let (outer, inner) = if back { (before, rows) } else { (rows, before) };
    let mut moved = shape.clone();
    if back {
        moved.remove(axis);
        moved.insert(0, rows);
    } else {
        moved.remove(0);
        moved.insert(axis, rows);
    }
    let (_, elements) = tensor.into_parts();
    each_type!(elements, v => Tensor::new(&moved, swap(&v, outer, inner, after)))
}

fn swap<T: Element>(values: &[T], outer: usize, inner: usize, width: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for i in 0..inner {
        for o in 0..outer {
            out.extend_from_slice(&values[(o * inner + i) * width..][..width]);
        }
    }
    out
}

/// Rows `from..to` of a tensor whose first axis is the rows; past the end the last row is repeated.
///
/// # Errors
/// If there is no row.
pub fn rows(tensor: &Tensor, from: usize, to: usize) -> Result<Tensor, OpError> {
    let Some((&count, rest)) = tensor.shape().split_first() else {
        return Err(OpError::bad("a scalar has no rows"));
    };
    if from >= count || to < from {
        return Err(OpError::bad(format!("rows {from}..{to} of {count}")));
    }
    let width: usize = rest.iter().product();
    let mut shape = vec![to - from];
    shape.extend_from_slice(rest);
    crate::tensor::volume(&shape, tensor.element_type().size())?;
    each_type!(tensor.elements(), v => {
        let mut out = v[from * width..to.min(count) * width].to_vec();
        for _ in count..to {
            out.extend_from_slice(&v[(count - 1) * width..]);
        }
        Tensor::new(&shape, out)
    })
}

/// Puts the rows of all parts behind each other.
///
/// # Errors
/// If their rows differ in shape or type.
pub fn join(parts: Vec<Tensor>) -> Result<Tensor, OpError> {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return Err(OpError::bad("nothing to join")) };
    let (mut shape, mut elements) = first.into_parts();
    for part in parts {
        let differ = || OpError::bad("the rows of an output differ in shape; they cannot be one column");
        let (next_shape, next) = part.into_parts();
        if next_shape.len() != shape.len() || next_shape.is_empty() || next_shape[1..] != shape[1..] {
            return Err(differ());
        }
        shape[0] += next_shape[0];
        append(&mut elements, next).ok_or_else(differ)?;
    }
    Tensor::from_elements(&shape, elements)
}

fn append(to: &mut Elements, from: Elements) -> Option<()> {
    fn extend<T: Element>(to: &mut Vec<T>, from: Elements) -> Option<()> {
        to.extend(T::take(from)?);
        Some(())
    }
    each_type!(to, v => extend(v, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_moves_there_and_back() {
        let t = Tensor::new(&[2, 3, 4, 1], (0..24i64).collect::<Vec<_>>()).unwrap();
        for axis in 0..4 {
            let there = move_axis(t.clone(), axis, false).unwrap();
            let mut shape = vec![3, 4, 1];
            shape.insert(axis, 2);
            assert_eq!(there.shape(), shape);
            assert_eq!(move_axis(there, axis, true).unwrap(), t);
        }
        let there = move_axis(t, 1, false).unwrap();
        assert_eq!(there.slice::<i64>().unwrap()[..8], [0, 1, 2, 3, 12, 13, 14, 15]);
    }

    #[test]
    fn the_last_piece_is_padded_with_its_last_row() {
        let t = Tensor::new(&[3, 2], vec![1i64, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(rows(&t, 2, 4).unwrap().slice::<i64>().unwrap(), [5, 6, 5, 6]);
        assert!(rows(&t, 3, 4).is_err());
    }
}
