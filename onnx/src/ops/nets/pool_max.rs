//! MaxPool: the largest number of every window.
//!
//! Which number is left of a window with NaN depends on the order in which its numbers are compared, and there onnxruntime
//! has several; each is kept, so that rows with holes agree.

use smallvec::smallvec;

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::pool::Plan;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Window;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("MaxPool", max).note("at most three spatial axes")];

/// Channels that onnxruntime's blocked kernels take together, with AVX-512: they follow convolutions of so many filters.
const BLOCK: usize = 16;
/// Longest row, padding included, that MLAS's vector kernels take.
const ROW: usize = 2048;

/// How the numbers of a window are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// With the lowest number at first: NaN is passed over.
    Lowest,
    /// With the first number of the window at first: only there NaN stays.
    First,
    /// One after the other; NaN takes the place of what was before it, and gives way to what comes next.
    Last,
    /// As `Last`, down the columns of the window at first.
    Columns,
}

#[derive(Debug)]
struct MaxPool {
    window: Window,
    indices: bool,
    /// Indices count the first spatial axis fastest.
    column_major: bool,
}

impl Kernel for MaxPool {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        match inputs.tensor(0)?.elements() {
            // without NaN any order will do
            Elements::I8(_) => self.pool(inputs, i8::MIN, |_| Order::Last),
            Elements::U8(_) => self.pool(inputs, u8::MIN, |_| Order::Last),
            _ => by_float(
                inputs,
                |i| self.pool(i, f32::MIN, |plan| order(plan, i.0[0].tensor().map_or(&[], Tensor::shape))),
                |i| self.pool(i, f64::MIN, |_| Order::First),
            ),
        }
    }
}

/// The order in which onnxruntime compares floats.
fn order(plan: &Plan, x: &[usize]) -> Order {
    let [_, _, wide] = &plan.axes;
    let row = wide.input.saturating_add_signed(wide.before).saturating_add_signed(wide.after);
    if plan.axes.iter().any(|a| a.dilation > 1) {
        Order::First
    } else if x.len() == 3 || wide.stride > 2 || wide.before < 0 || row > ROW {
        Order::Lowest
    } else if x.len() == 4 && x[1].is_multiple_of(BLOCK) {
        Order::Last
    } else {
        Order::Columns
    }
}

impl MaxPool {
    fn pool<T: Element + Copy + PartialOrd>(
        &self,
        inputs: &Inputs<'_>,
        lowest: T,
        order: impl Fn(&Plan) -> Order,
    ) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let plan = Plan::new(&self.window, x.shape(), size_of::<T>().max(8 * usize::from(self.indices)))?;
        let xs = x.slice::<T>()?;
        if self.indices {
            let (values, indices) = self.with_indices(&plan, xs, lowest);
            return Ok(smallvec![Tensor::new(&plan.shape, values)?.into(), Tensor::new(&plan.shape, indices)?.into()]);
        }
        let out = match order(&plan) {
            Order::Lowest => plan.fold(xs, lowest, larger_or_old, |_, _, _| {}),
            Order::Last => plan.fold(xs, lowest, larger_or_new, |_, _, _| {}),
            Order::Columns => columns(&plan, xs, lowest),
            Order::First => {
                let step = |v: Option<T>, s| Some(v.map_or(s, |v| larger_or_old(v, s)));
                plan.fold(xs, None, step, |_, _, _| {}).into_iter().map(|v| v.unwrap_or(lowest)).collect()
            }
        };
        Ok(one(Tensor::new(&plan.shape, out)?))
    }

    fn with_indices<T: Copy + PartialOrd>(&self, plan: &Plan, x: &[T], lowest: T) -> (Vec<T>, Vec<i64>) {
        let [deep, high, wide] = &plan.axes;
        let mut found = vec![];
        for base in (0..plan.channels).map(|c| c * plan.input()) {
            for (od, oh, ow) in positions(&plan.axes) {
                let mut best = (lowest, -1i64);
                let (d, h, w) = (deep.taps(od), high.taps(oh), wide.taps(ow));
                for z in (d.0..d.1).filter_map(|k| deep.at(od, k)) {
                    for y in (h.0..h.1).filter_map(|k| high.at(oh, k)) {
                        for x_at in (w.0..w.1).filter_map(|k| wide.at(ow, k)) {
                            let value = x[base + (z * high.input + y) * wide.input + x_at];
                            if value > best.0 || best.1 < 0 {
                                best = (value, (base + self.index(&plan.axes, [z, y, x_at])) as i64);
                            }
                        }
                    }
                }
                found.push(best);
            }
        }
        found.into_iter().unzip()
    }

    fn index(&self, [deep, high, wide]: &[Axis; 3], [z, y, x]: [usize; 3]) -> usize {
        if self.column_major { (x * high.input + y) * deep.input + z } else { (z * high.input + y) * wide.input + x }
    }
}

fn positions([deep, high, wide]: &[Axis; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    let (d, h, w) = (deep.output, high.output, wide.output);
    (0..d).flat_map(move |z| (0..h).flat_map(move |y| (0..w).map(move |x| (z, y, x))))
}

fn max(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let column_major = attributes.flag("storage_order", false)?;
    Ok(Box::new(MaxPool { window: Window::of_pool(attributes)?, indices: build.has_output(1), column_major }))
}

/// The larger one; beside NaN the first one.
#[inline(always)]
pub fn larger_or_old<T: PartialOrd>(old: T, new: T) -> T {
    if old < new { new } else { old }
}

/// The larger one; beside NaN the second one.
#[inline(always)]
pub fn larger_or_new<T: PartialOrd>(old: T, new: T) -> T {
    if old > new { old } else { new }
}

/// Folds the rows under every row of windows to one, four columns at a time with `larger_or_new` and the last ones by
/// themselves, as MLAS does, then the taps along it.
fn columns<T: Copy + PartialOrd>(plan: &Plan, x: &[T], lowest: T) -> Vec<T> {
    let [deep, high, wide] = &plan.axes;
    let mut out = vec![lowest; plan.shape.iter().product()];
    if out.is_empty() || x.is_empty() {
        return out;
    }
    let before = wide.before.max(0).unsigned_abs();
    let needed = (wide.output - 1) * wide.stride + wide.kernel;
    let mut line = vec![lowest; needed.max(before + wide.input)];
    let (rows, fours) = (deep.output * high.output, wide.input / 4 * 4);
    for (i, row) in out.chunks_exact_mut(wide.output).enumerate() {
        let channel = &x[i / rows * plan.input()..][..plan.input()];
        let (od, oh) = (i % rows / high.output, i % high.output);
        let (d, h) = (deep.taps(od), high.taps(oh));
        let inside = &mut line[before..before + wide.input];
        let mut first = true;
        for id in (d.0..d.1).filter_map(|k| deep.at(od, k)) {
            for ih in (h.0..h.1).filter_map(|k| high.at(oh, k)) {
                let source = &channel[(id * high.input + ih) * wide.input..][..wide.input];
                if first {
                    inside.copy_from_slice(source);
                } else {
                    let (vectors, rest) = inside.split_at_mut(fours);
                    vectors.iter_mut().zip(source).for_each(|(v, s)| *v = larger_or_new(*v, *s));
                    rest.iter_mut().zip(&source[fours..]).for_each(|(v, s)| *v = larger_or_old(*v, *s));
                }
                first = false;
            }
        }
        if first {
            inside.fill(lowest);
        }
        for tap in 0..wide.kernel {
            let taps = line[tap..].iter().step_by(wide.stride);
            if tap == 0 {
                row.iter_mut().zip(taps).for_each(|(v, s)| *v = *s);
            } else {
                row.iter_mut().zip(taps).for_each(|(v, s)| *v = larger_or_new(*v, *s));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::attributes::Attribute;
    use crate::graph::attributes::Attributes;

    fn pooled(shape: &[usize], values: &[f64], single: bool, more: &[(&str, &[i64])]) -> Vec<f64> {
        let mut attributes = Attributes::default();
        for (name, ints) in more {
            attributes.0.insert((*name).into(), Attribute::Ints(ints.to_vec()));
        }
        let pool = MaxPool { window: Window::of_pool(&attributes).unwrap(), indices: false, column_major: false };
        let x = match single {
            true => Tensor::new(shape, values.iter().map(|v| *v as f32).collect::<Vec<_>>()),
            false => Tensor::new(shape, values.to_vec()),
        };
        let made = pool.run(&mut Inputs(&mut [x.unwrap().into()])).unwrap();
        let made = made[0].tensor().unwrap();
        match made.slice::<f32>() {
            Ok(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Err(_) => made.slice::<f64>().unwrap().to_vec(),
        }
    }

    fn same(a: &[f64], b: &[f64]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{a:?} {b:?}");
    }

    /// Results of onnxruntime 1.32.
    #[test]
    fn what_is_left_of_a_window_with_nan_is_as_in_onnxruntime() {
        let (n, low) = (f64::NAN, f64::from(f32::MIN));
        let x = [1.0, n, n, 2.0, 3.0, n, -5.0, n, n];
        let two: (&str, &[i64]) = ("kernel_shape", &[2]);
        same(&pooled(&[1, 1, 9], &x, true, &[two]), &[1.0, low, 2.0, 3.0, 3.0, -5.0, -5.0, low]);
        same(&pooled(&[1, 1, 9], &x, false, &[two]), &[1.0, n, n, 3.0, 3.0, n, -5.0, n]);
        same(&pooled(&[1, 1, 9], &x, true, &[two, ("dilations", &[2])]), &[1.0, n, n, 2.0, 3.0, n, -5.0]);
        let square: (&str, &[i64]) = ("kernel_shape", &[2, 2]);
        let image = [1.0, n, 3.0, n, n, n, 2.0, 4.0, 1.0, n];
        same(&pooled(&[1, 1, 2, 5], &image, true, &[square]), &[2.0, 4.0, 4.0, n]);
    }

    #[test]
    fn every_order_finds_the_largest_number() {
        let x: Vec<f64> = (0..2 * 5 * 7).map(|i| f64::from(i * 37 % 71) - 30.0).collect();
        for attributes in [
            vec![("kernel_shape", &[2i64, 3][..]), ("strides", &[1, 2]), ("pads", &[1, 1, 0, 1])],
            vec![("kernel_shape", &[5, 7])],
            vec![("kernel_shape", &[3, 1]), ("strides", &[2, 2])],
        ] {
            same(&pooled(&[1, 2, 5, 7], &x, true, &attributes), &pooled(&[1, 2, 5, 7], &x, false, &attributes));
        }
    }
}
