//! GridSample and AffineGrid: images looked at through a grid of coordinates.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("AffineGrid", affine),
    Operator::own("GridSample", sample).note("at most three spatial axes; floats"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

#[derive(Debug)]
struct GridSample {
    mode: Mode,
    outside: Outside,
    align_corners: bool,
}

/// Elements along one axis with their weights; `None` stands for a zero.
type Taps<T> = Vec<(Option<usize>, T)>;

impl Kernel for GridSample {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.sample::<f32>(i), |i| self.sample::<f64>(i))
    }
}

impl GridSample {
    fn sample<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, grid) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let rank = x.rank().saturating_sub(2);
        if !(1..=3).contains(&rank) || grid.rank() != x.rank() || grid.shape()[rank + 1] != rank {
            bad!("an input of {:?} and a grid of {:?}", x.shape(), grid.shape());
        }
        if grid.shape()[0] != x.shape()[0] || x.shape()[2..].contains(&0) {
            bad!("an input of {:?} and a grid of {:?}", x.shape(), grid.shape());
        }
        let mut shape = x.shape()[..2].to_vec();
        shape.extend_from_slice(&grid.shape()[1..=rank]);
        let mut out = vec![T::ZERO; volume(&shape, size_of::<T>())?];
        if out.is_empty() {
            return Ok(one(Tensor::new(&shape, out)?));
        }
        let (channels, size) = (shape[1], x.shape()[2..].iter().product::<usize>());
        let points: usize = shape[2..].iter().product();
        let (xs, grid) = (x.slice::<T>()?, grid.slice::<T>()?);
        for (at, point) in grid.chunks_exact(rank).enumerate() {
            let (n, p) = (at / points, at % points);
            // The grid names the last axis first.
            let taps: Vec<Taps<T>> =
                x.shape()[2..].iter().zip(point.iter().rev()).map(|(length, v)| self.taps(*v, *length)).collect();
            for c in 0..channels {
                let image = &xs[(n * channels + c) * size..][..size];
                out[(n * channels + c) * points + p] = weigh(image, &x.shape()[2..], &taps);
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }

    fn taps<T: Real>(&self, v: T, length: usize) -> Taps<T> {
        let (v, n) = (v.to_f64(), length as f64);
        let x = if self.align_corners { (v + 1.0) / 2.0 * (n - 1.0) } else { ((v + 1.0) * n - 1.0) / 2.0 };
        // In the precision of the elements, as a nearest neighbour depends on it.
        let x = T::from_f64(x).to_f64();
        let x = if self.mode == Mode::Nearest { x.round_ties_even() } else { x };
        let borders = if self.align_corners { (0.0, n - 1.0) } else { (-0.5, n - 0.5) };
        let x = match self.outside {
            // A cubic looks at elements outside on its own.
            _ if self.mode == Mode::Cubic || x >= borders.0 && x <= borders.1 => x,
            Outside::Zeros => x,
            Outside::Border => x.clamp(0.0, n - 1.0),
            Outside::Reflection => reflect(x, borders),
        };
        let x = if x.is_nan() { -1e9 } else { x.clamp(-1e9, 1e9) };
        let pixel = |i: f64| -> Option<usize> {
            match self.outside {
                Outside::Zeros => (i >= 0.0 && i < n).then_some(i as usize),
                Outside::Border => Some(i.clamp(0.0, n - 1.0) as usize),
                Outside::Reflection => Some(reflect(i, borders).clamp(0.0, n - 1.0) as usize),
            }
        };
        let low = x.floor();
        let part = x - low;
        match self.mode {
            Mode::Nearest => vec![(pixel(x), T::ONE)],
            Mode::Linear => {
                vec![(pixel(low), T::from_f64(1.0 - part)), (pixel(low + 1.0), T::from_f64(part))]
            }
            Mode::Cubic => {
                (-1..=2).map(|d| (pixel(low + f64::from(d)), T::from_f64(keys((part - f64::from(d)).abs())))).collect()
            }
        }
    }
}

/// Keys' cubic with the parameter -0.75.
fn keys(d: f64) -> f64 {
    const A: f64 = -0.75;
    if d <= 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A
    } else {
        0.0
    }
}

/// Reflects at the borders until it is between them.
fn reflect(x: f64, (least, most): (f64, f64)) -> f64 {
    let range = most - least;
    if range <= 0.0 {
        return least;
    }
    let over = if x < least {
        least - x
    } else if x > most {
        x - most
    } else {
        return x;
    };
    let turns = (over / range).trunc();
    let rest = over - turns * range;
    if (turns % 2.0 == 0.0) == (x < least) { least + rest } else { most - rest }
}

fn weigh<T: Real>(image: &[T], shape: &[usize], taps: &[Taps<T>]) -> T {
    let (Some((first, taps)), Some((_, inner))) = (taps.split_first(), shape.split_first()) else { return image[0] };
    let size: usize = inner.iter().product();
    let mut sum = T::ZERO;
    for (i, weight) in first {
        if let Some(i) = i {
            sum += *weight * weigh(&image[i * size..(i + 1) * size], inner, taps);
        }
    }
    sum
}

fn sample(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let mode = match attributes.text_or("mode", "linear")? {
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        "nearest" => Mode::Nearest,
        other => bad!("mode `{other}` is not known"),
    };
    let outside = match attributes.text_or("padding_mode", "zeros")? {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => bad!("padding_mode `{other}` is not known"),
    };
    Ok(Box::new(GridSample { mode, outside, align_corners: attributes.flag("align_corners", false)? }))
}

#[derive(Debug)]
struct AffineGrid {
    align_corners: bool,
}

impl Kernel for AffineGrid {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.grid::<f32>(i), |i| self.grid::<f64>(i))
    }
}

impl AffineGrid {
    fn grid<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (theta, size) = (inputs.tensor(0)?, inputs.tensor(1)?.to_i64s()?);
        let sides: Option<Vec<usize>> = size.iter().map(|s| usize::try_from(*s).ok()).collect();
        let Some(sides) = sides.filter(|s| s.len() == 4 || s.len() == 5) else { bad!("a size of {} axes", size.len()) };
        let rank = sides.len() - 2;
        if theta.shape() != [sides[0], rank, rank + 1] {
            bad!("transforms of {:?} for {} images of {rank} axes", theta.shape(), sides[0]);
        }
        let mut shape = vec![sides[0]];
        shape.extend_from_slice(&sides[2..]);
        shape.push(rank);
        let mut out = Vec::with_capacity(volume(&shape, size_of::<T>())?);
        if out.capacity() == 0 {
            return Ok(one(Tensor::new(&shape, out)?));
        }
        let axes: Vec<Vec<T>> = sides[2..].iter().map(|n| self.axis(*n)).collect();
        let points: usize = sides[2..].iter().product();
        for theta in theta.slice::<T>()?.chunks_exact(rank * (rank + 1)) {
            for p in 0..points {
                let mut rest = p;
                // The last axis first.
                let place: Vec<T> = axes
                    .iter()
                    .rev()
                    .map(|axis| {
                        let v = axis[rest % axis.len()];
                        rest /= axis.len();
                        v
                    })
                    .collect();
                for row in theta.chunks_exact(rank + 1) {
                    let sum = row.iter().zip(&place).fold(T::ZERO, |sum, (t, v)| sum + *t * *v);
                    out.push(sum + row[rank]);
                }
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }

    /// Positions along an axis, from -1 to 1.
    fn axis<T: Real>(&self, n: usize) -> Vec<T> {
        let position = |i: usize| match (self.align_corners, n) {
            // At the end, as in onnxruntime.
            (true, 1) => 1.0,
            (true, _) => -1.0 + i as f64 * 2.0 / (n as f64 - 1.0),
            (false, _) => -1.0 + (2 * i + 1) as f64 / n as f64,
        };
        (0..n).map(|i| T::from_f64(position(i))).collect()
    }
}

fn affine(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(AffineGrid { align_corners: build.node.attributes.flag("align_corners", false)? }))
}
