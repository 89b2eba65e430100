//! Unique: each element, or each entry of an axis, once.

use std::cmp::Ordering;

use smallvec::smallvec;

use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::shape::gather::rows;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Unique", unique).note("NaN counts as one element that is larger than all"),
    Operator::own("Unique", microsoft_unique).of(MICROSOFT),
];

#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    sorted: bool,
    /// Microsoft's gives what is unique, the inverse and the counts; the standard one the first places too.
    first: bool,
}

impl Kernel for Unique {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let data = inputs.tensor(0)?;
        let (from, axis) = match self.axis {
            Some(axis) => (Shape::from_slice(data.shape()), layout::axis(axis, data.rank())?),
            None => (Shape::from_slice(&[data.len()]), 0),
        };
        let (outer, len, inner) = layout::around(&from, axis);
        volume(&[len], size_of::<i64>())?;
        let groups = each_type!(data.elements(), v => group(len, self.sorted, |a, b| {
            if v.is_empty() {
                return Ordering::Equal;
            }
            let entry = |i: usize| (0..outer).flat_map(move |o| &v[(o * len + i) * inner..][..inner]);
            entry(a).zip(entry(b)).map(|(x, y)| order(x, y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        }));
        let mut shape = from.clone();
        shape[axis] = groups.first.len();
        let total = volume(&shape, data.element_type().size())?;
        let kept = each_type!(data.elements(), v => Tensor::new(&shape, rows(v, &groups.first, len, inner, total)))?;
        let list = |all: &[usize]| Tensor::vector(all.iter().map(|i| *i as i64).collect()).into();
        let mut values: Values = smallvec![kept.into()];
        if self.first {
            values.push(list(&groups.first));
        }
        values.push(list(&groups.inverse));
        values.push(list(&groups.counts));
        Ok(values)
    }
}

/// Entries that are alike, in order of value or of appearance.
struct Groups {
    /// Where each group first appears.
    first: Vec<usize>,
    /// The group of each entry.
    inverse: Vec<usize>,
    counts: Vec<usize>,
}

fn group(len: usize, sorted: bool, compare: impl Fn(usize, usize) -> Ordering) -> Groups {
    let mut all: Vec<usize> = (0..len).collect();
    all.sort_by(|a, b| compare(*a, *b));
    let mut groups: Vec<(usize, &[usize])> =
        all.chunk_by(|a, b| compare(*a, *b).is_eq()).map(|members| (members[0], members)).collect();
    if !sorted {
        groups.sort_by_key(|(first, _)| *first);
    }
    let mut inverse = vec![0; len];
    for (i, (_, members)) in groups.iter().enumerate() {
        members.iter().for_each(|m| inverse[*m] = i);
    }
    let counts = groups.iter().map(|(_, members)| members.len()).collect();
    Groups { first: groups.iter().map(|(first, _)| *first).collect(), inverse, counts }
}

/// Total order in which NaN is the largest.
fn order<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    let nan = |x: &T| x.partial_cmp(x).is_none();
    a.partial_cmp(b).unwrap_or_else(|| nan(a).cmp(&nan(b)))
}

fn unique(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    Ok(Box::new(Unique { axis: attributes.int("axis")?, sorted: attributes.flag("sorted", true)?, first: true }))
}

fn microsoft_unique(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Unique { axis: None, sorted: false, first: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &Unique, data: Tensor) -> Vec<Tensor> {
        let mut inputs = [data.into()];
        kernel.run(&mut Inputs(&mut inputs)).unwrap().iter().map(|v| v.tensor().unwrap().clone()).collect()
    }

    #[test]
    fn entries_are_kept_once() {
        let data = Tensor::new(&[3, 2], [3i64, 1, 1, 2, 3, 1].to_vec()).unwrap();
        let list = |v: &[i64]| Tensor::vector(v.to_vec());
        let rows = run(&Unique { axis: Some(0), sorted: true, first: true }, data.clone());
        let kept = Tensor::new(&[2, 2], vec![1i64, 2, 3, 1]).unwrap();
        assert_eq!(rows, [kept, list(&[1, 0]), list(&[1, 0, 1]), list(&[1, 2])]);
        let flat = run(&Unique { axis: None, sorted: false, first: false }, data);
        assert_eq!(flat, [list(&[3, 1, 2]), list(&[0, 1, 1, 2, 0, 1]), list(&[2, 3, 1])]);
        let none = run(&Unique { axis: None, sorted: true, first: true }, Tensor::vector(Vec::<f32>::new()));
        assert!(none.iter().all(|t| t.shape() == [0]));
    }
}
