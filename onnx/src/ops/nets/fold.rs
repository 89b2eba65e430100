//! Col2Im: windows laid back over the image that they came from, and added where they overlap (`torch.nn.Fold`).

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::ops::nets::window::Axis;
use crate::ops::nets::window::Window;
use crate::ops::nets::window::three;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Col2Im", fold).note("at most three spatial axes; floats")];

#[derive(Debug)]
struct Col2Im(Window);

impl Kernel for Col2Im {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.fold::<f32>(i), |i| self.fold::<f64>(i))
    }
}

impl Col2Im {
    /// Columns of `[n, channels * taps, windows]` to images of `[n, channels, ...]`.
    fn fold<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let columns = inputs.tensor(0)?;
        let (image, block) = (sides(inputs, 1)?, sides(inputs, 2)?);
        let axes = three(&self.0.place(&image, &block)?);
        let taps = volume(&axes.each_ref().map(|a| a.kernel), 1)?;
        let windows = volume(&axes.each_ref().map(|a| a.output), 1)?;
        let &[n, rows, width] = columns.shape() else {
            bad!("columns of {:?}: three axes are wanted", columns.shape())
        };
        if rows % taps != 0 || width != windows {
            bad!("columns of {:?} for {taps} taps and {windows} windows", columns.shape());
        }
        let mut shape = vec![n, rows / taps];
        shape.extend_from_slice(&image);
        let mut out = vec![T::ZERO; volume(&shape, size_of::<T>())?];
        if !out.is_empty() {
            let size: usize = image.iter().product();
            let channels = columns.slice::<T>()?.chunks_exact(taps * windows);
            channels.zip(out.chunks_exact_mut(size)).for_each(|(columns, image)| add(&axes, columns, image));
        }
        Ok(one(Tensor::new(&shape, out)?))
    }
}

/// One channel: a row of `columns` for each tap, in which there is an element for each window.
fn add<T: Real>(axes: &[Axis; 3], columns: &[T], image: &mut [T]) {
    let [deep, high, wide] = axes;
    let windows = deep.output * high.output * wide.output;
    for (tap, row) in columns.chunks_exact(windows).enumerate() {
        let (kd, kh, kw) = (tap / wide.kernel / high.kernel, tap / wide.kernel % high.kernel, tap % wide.kernel);
        let (from, to) = wide.inside(kw);
        for (line, values) in row.chunks_exact(wide.output).enumerate() {
            let (Some(z), Some(y)) = (deep.at(line / high.output, kd), high.at(line % high.output, kh)) else {
                continue;
            };
            let target = &mut image[(z * high.input + y) * wide.input..][..wide.input];
            for (o, value) in values.iter().enumerate().take(to).skip(from) {
                target[wide.first(o, kw)] += *value;
            }
        }
    }
}

/// Lengths of spatial axes.
fn sides(inputs: &Inputs<'_>, index: usize) -> Result<Vec<usize>, OpError> {
    let given = inputs.tensor(index)?.to_i64s()?;
    match given.iter().map(|s| usize::try_from(*s).ok().filter(|s| *s > 0)).collect() {
        Some(sides) => Ok(sides),
        None => bad!("sides of {given:?}"),
    }
}

fn fold(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Col2Im(Window::read(&build.node.attributes)?)))
}
