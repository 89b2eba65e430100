//! Tensors made from few numbers: ConstantOfShape, Range, EyeLike, OneHot; and Trilu, which clears a triangle.

use std::sync::Arc;

use crate::bad;
use crate::each_number;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout;
use crate::ops::shape::arithmetic::Arithmetic;
use crate::ops::shape::cast;
use crate::ops::shape::cast::Number;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("ConstantOfShape", constant_of_shape),
    Operator::own("EyeLike", eye_like),
    Operator::own("OneHot", one_hot),
    Operator::own("Range", range),
    Operator::own("Range", range).of(MICROSOFT),
    Operator::own("Trilu", trilu),
    Operator::own("Trilu", trilu).of(MICROSOFT),
];

#[derive(Debug)]
struct ConstantOfShape(Arc<Tensor>);

impl Kernel for ConstantOfShape {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let shape = layout::lengths(&inputs.tensor(0)?.to_i64s()?)?;
        layout::admit(self.0.elements(), &shape)?;
        each_type!(self.0.elements(), v => everywhere(&shape, v)).map(one)
    }
}

fn everywhere<T: Element>(shape: &[usize], value: &[T]) -> Result<Tensor, OpError> {
    Tensor::full(shape, value[0].clone())
}

fn constant_of_shape(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let value = build.node.attributes.tensor("value")?.cloned();
    let value = value.unwrap_or_else(|| Arc::new(Tensor::scalar(0f32)));
    if value.len() != 1 {
        bad!("the value must be one element, not {}", value.len());
    }
    Ok(Box::new(ConstantOfShape(value)))
}

#[derive(Debug)]
struct Range;

impl Kernel for Range {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (start, limit) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let delta = inputs.optional(2)?;
        each_number!(
            start.elements(),
            v => steps(v, limit.slice()?, delta.map(Tensor::slice).transpose()?),
            bad!("there is no range of {}", start.element_type())
        )
        .map(one)
    }
}

/// `start`, then `delta` added again and again, as onnxruntime does: rounding errors add up.
fn steps<T: Arithmetic + Number>(start: &[T], limit: &[T], delta: Option<&[T]>) -> Result<Tensor, OpError> {
    let one = [T::ONE];
    let ([start], [limit], [delta]) = (start, limit, delta.unwrap_or(&one)) else {
        bad!("start, limit and delta must be one number each");
    };
    if *delta == T::default() {
        bad!("the delta of a range is 0");
    }
    // onnxruntime subtracts in the numbers' own type
    let span = match T::TYPE {
        ElementType::F32 => f64::from(limit.single() - start.single()),
        _ if T::TYPE.is_integer() => (i128::from(limit.wide()) - i128::from(start.wide())) as f64,
        _ => limit.double() - start.double(),
    };
    let count = (span / delta.double()).ceil();
    if !count.is_finite() {
        bad!("the range has no end");
    }
    let count = volume(&[count.max(0.0) as usize], T::TYPE.size())?;
    let mut next = *start;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(next);
        next = next.plus(*delta);
    }
    Tensor::new::<T>(&[count], values)
}

fn range(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Range))
}

#[derive(Debug)]
struct EyeLike {
    element_type: Option<ElementType>,
    diagonal: i64,
}

impl Kernel for EyeLike {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let like = inputs.tensor(0)?;
        let &[rows, columns] = like.shape() else { bad!("expected a matrix, found {}", show(like.shape())) };
        let mut eye = Tensor::zeros::<bool>(&[rows, columns])?;
        let cells = eye.slice_mut::<bool>()?;
        for row in 0..if columns == 0 { 0 } else { rows } {
            let column = (row as i64).checked_add(self.diagonal).and_then(|c| usize::try_from(c).ok());
            if let Some(column) = column.filter(|c| *c < columns) {
                cells[row * columns + column] = true;
            }
        }
        cast::convert(&eye, self.element_type.unwrap_or(like.element_type())).map(one)
    }
}

fn eye_like(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let element_type = match attributes.int("dtype")? {
        None => None,
        Some(code) => match i32::try_from(code).ok().and_then(ElementType::from_onnx) {
            Some(ElementType::Text) | None => unsupported!("ones of the type {code}"),
            known => known,
        },
    };
    Ok(Box::new(EyeLike { element_type, diagonal: attributes.int_or("k", 0)? }))
}

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

impl Kernel for OneHot {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let whole = |i: usize| cast::convert(inputs.tensor(i)?, ElementType::I64)?.into_vec::<i64>();
        let [depth] = whole(1)?[..] else { bad!("the depth must be one number") };
        let Some(depth) = usize::try_from(depth).ok().filter(|d| *d > 0) else { bad!("the depth is not positive") };
        let (indices, values) = (inputs.tensor(0)?, inputs.tensor(2)?);
        let axis = layout::axis(self.axis, indices.rank() + 1)?;
        let mut shape = Shape::from_slice(indices.shape());
        shape.insert(axis, depth);
        let list = whole(0)?;
        let total = layout::admit(values.elements(), &shape)?;
        each_type!(values.elements(), v => Tensor::new(&shape, hot(&list, depth, &shape[axis + 1..], v, total)?))
            .map(one)
    }
}

/// An index that is outside lights nothing; a negative one counts from the back.
fn hot<T: Element>(list: &[i64], depth: usize, after: &[usize], values: &[T], total: usize) -> Result<Vec<T>, OpError> {
    let [off, on] = values else { bad!("two values are expected, found {}", values.len()) };
    let inner = layout::product(after);
    let mut out = vec![off.clone(); total];
    for (i, index) in list.iter().enumerate() {
        let index = if *index < 0 { index.wrapping_add(depth as i64) } else { *index };
        if let Some(index) = usize::try_from(index).ok().filter(|index| *index < depth) {
            out[(i / inner * depth + index) * inner + i % inner] = on.clone();
        }
    }
    Ok(out)
}

fn one_hot(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(OneHot { axis: build.node.attributes.int_or("axis", -1)? }))
}

#[derive(Debug)]
struct Trilu {
    upper: bool,
}

impl Kernel for Trilu {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let diagonal = inputs.optional(1)?.map(Tensor::to_i64).transpose()?.unwrap_or(0);
        let data = inputs.take(0)?;
        let &[.., rows, columns] = data.shape() else { bad!("expected matrices, found {}", show(data.shape())) };
        let (shape, mut elements) = data.into_parts();
        each_type!(&mut elements, v => self.clear(v, rows, columns, diagonal));
        Tensor::from_elements(&shape, elements).map(one)
    }
}

impl Trilu {
    fn clear<T: Element>(&self, data: &mut [T], rows: usize, columns: usize, diagonal: i64) {
        if data.is_empty() {
            return;
        }
        for matrix in data.chunks_exact_mut(rows * columns) {
            for (row, cells) in matrix.chunks_exact_mut(columns).enumerate() {
                let first = (row as i64).saturating_add(diagonal);
                let below = first.clamp(0, columns as i64) as usize;
                let above = first.saturating_add(1).clamp(0, columns as i64) as usize;
                let gone = if self.upper { &mut cells[..below] } else { &mut cells[above..] };
                gone.fill(T::default());
            }
        }
    }
}

fn trilu(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Trilu { upper: build.node.attributes.flag("upper", true)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &dyn Kernel, inputs: Vec<Tensor>) -> Result<Tensor, OpError> {
        let mut inputs: Vec<_> = inputs.into_iter().map(Into::into).collect();
        Ok(kernel.run(&mut Inputs(&mut inputs))?[0].tensor().unwrap().clone())
    }

    #[test]
    fn ranges_add_up_their_errors() {
        let floats =
            |a: f32, b: f32, c: f32| run(&Range, vec![Tensor::scalar(a), Tensor::scalar(b), Tensor::scalar(c)]);
        assert_eq!(floats(0.0, 1.0, 0.1).unwrap().slice::<f32>().unwrap()[8], 0.8000001);
        assert_eq!(floats(1.0, 0.0, 0.1).unwrap().len(), 0);
        assert!(floats(0.0, 1.0, 0.0).is_err() && floats(0.0, f32::NAN, 1.0).is_err());
        assert!(floats(0.0, 1e30, 1.0).is_err());
        let whole = |a: i64, b: i64, c: i64| run(&Range, vec![Tensor::scalar(a), Tensor::scalar(b), Tensor::scalar(c)]);
        assert_eq!(whole(5, 0, -2).unwrap(), Tensor::vector(vec![5i64, 3, 1]));
        assert!(whole(i64::MIN, i64::MAX, 1).is_err());
    }

    #[test]
    fn an_index_outside_lights_nothing() {
        let inputs = |depth: i64| {
            vec![Tensor::vector(vec![0i64, -1, 3, i64::MIN]), Tensor::scalar(depth), Tensor::vector(vec![0i8, 1])]
        };
        let got = run(&OneHot { axis: 0 }, inputs(3)).unwrap();
        assert_eq!(got, Tensor::new(&[3, 4], vec![1i8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap());
        assert!(run(&OneHot { axis: -1 }, inputs(0)).is_err());
        assert!(run(&OneHot { axis: -1 }, inputs(1 << 40)).is_err());
    }

    #[test]
    fn triangles_are_cleared() {
        let ones = Tensor::full(&[2, 3], 1i64).unwrap();
        for (upper, diagonal, want) in [
            (true, 0, [1i64, 1, 1, 0, 1, 1]),
            (true, 1, [0, 1, 1, 0, 0, 1]),
            (false, -1, [0, 0, 0, 1, 0, 0]),
            (false, i64::MAX, [1; 6]),
            (true, i64::MIN, [1; 6]),
        ] {
            let got = run(&Trilu { upper }, vec![ones.clone(), Tensor::scalar(diagonal)]).unwrap();
            assert_eq!(got.slice(), Ok(&want[..]));
        }
    }
}
