//! Pools over regions of interest: RoiAlign, MaxRoiPool.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
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

pub const OPERATORS: &[Operator] = &[Operator::own("MaxRoiPool", max_pool), Operator::own("RoiAlign", align)];

/// Sides of an output, and points of a cell of RoiAlign: more than these are refused.
const MOST: i64 = 1 << 15;

#[derive(Debug)]
struct RoiAlign {
    height: usize,
    width: usize,
    /// Points along a side of a cell; 0 for as many as elements.
    ratio: usize,
    scale: f32,
    half_pixel: bool,
    max: bool,
}

impl Kernel for RoiAlign {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.align::<f32>(i), |i| self.align::<f64>(i))
    }
}

impl RoiAlign {
    fn align<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, rois, of) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(2)?.to_i64s()?);
        let (&[batch, channels, height, width], &[count, 4]) = (x.shape(), rois.shape()) else {
            bad!("an input of {:?} and regions of {:?}", x.shape(), rois.shape());
        };
        if of.len() != count {
            bad!("{} batch indices for {count} regions", of.len());
        }
        let shape = [count, channels, self.height, self.width];
        let mut out = vec![T::ZERO; volume(&shape, size_of::<T>())?];
        if out.is_empty() || x.is_empty() {
            return Ok(one(Tensor::new(&shape, out)?));
        }
        let (xs, cells) = (x.slice::<T>()?, self.height * self.width);
        let regions = rois.slice::<T>()?.chunks_exact(4).zip(&of).zip(out.chunks_exact_mut(channels * cells));
        for ((roi, item), out) in regions {
            let Some(item) = usize::try_from(*item).ok().filter(|i| *i < batch) else {
                bad!("a batch index of {item}")
            };
            let images = &xs[item * channels * height * width..][..channels * height * width];
            for cell in 0..cells {
                let points = self.points(roi, cell, height, width)?;
                for (c, image) in images.chunks_exact(height * width).enumerate() {
                    out[c * cells + cell] = self.pool(image, &points);
                }
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }

    /// The points of a cell: each four elements with their weights.
    fn points<T: Real>(
        &self,
        roi: &[T],
        cell: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<[(usize, T); 4]>, OpError> {
        let scale = T::from_f64(f64::from(self.scale));
        let offset = T::from_f64(if self.half_pixel { 0.5 } else { 0.0 });
        let side = |low: T, high: T, cells: usize, at: usize| -> Result<Vec<T>, OpError> {
            let (start, end) = (low * scale - offset, high * scale - offset);
            let length = if self.half_pixel { end - start } else { (end - start).max(T::ONE) };
            let step = length / T::from_usize(cells);
            let wanted = if self.ratio > 0 { self.ratio as f64 } else { step.to_f64().ceil() };
            if wanted > MOST as f64 {
                bad!("a region of more than {MOST} points a cell");
            }
            let n = wanted.max(0.0) as usize;
            let at = start + T::from_usize(at) * step;
            Ok((0..n).map(|i| at + T::from_f64(i as f64 + 0.5) * step / T::from_usize(n)).collect())
        };
        let ys = side(roi[1], roi[3], self.height, cell / self.width)?;
        let xs = side(roi[0], roi[2], self.width, cell % self.width)?;
        let mut points = Vec::with_capacity(ys.len() * xs.len());
        for y in &ys {
            for x in &xs {
                points.push(match (between(*y, height), between(*x, width)) {
                    (Some((y0, y1, v)), Some((x0, x1, u))) => [
                        (y0 * width + x0, (T::ONE - v) * (T::ONE - u)),
                        (y0 * width + x1, (T::ONE - v) * u),
                        (y1 * width + x0, v * (T::ONE - u)),
                        (y1 * width + x1, v * u),
                    ],
                    _ => [(0, T::ZERO); 4],
                });
            }
        }
        Ok(points)
    }

    fn pool<T: Real>(&self, image: &[T], points: &[[(usize, T); 4]]) -> T {
        let weighted = points.iter().map(|p| p.map(|(i, w)| w * image[i]));
        if self.max {
            // The largest weighted element, not the largest point: so does onnxruntime.
            let most = weighted.flatten().fold(None, |m: Option<T>, v| Some(m.map_or(v, |m| m.max(v))));
            return most.unwrap_or(T::ZERO);
        }
        weighted.map(|w| w[0] + w[1] + w[2] + w[3]).sum::<T>() / T::from_usize(points.len().max(1))
    }
}

/// The elements around a position, and how far it is to the second.
fn between<T: Real>(v: T, length: usize) -> Option<(usize, usize, T)> {
    if !(v.to_f64() >= -1.0 && v.to_f64() <= length as f64) {
        return None;
    }
    let v = v.max(T::ZERO);
    let low = v.to_f64() as usize;
    if low >= length - 1 {
        Some((length - 1, length - 1, T::ZERO))
    } else {
        Some((low, low + 1, v - T::from_usize(low)))
    }
}

fn align(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let side = |name: &str, otherwise: i64, least: i64| -> Result<usize, OpError> {
        match attributes.int_or(name, otherwise)? {
            n if (least..=MOST).contains(&n) => Ok(n as usize),
            n => bad!("{name} is {n}"),
        }
    };
    let usual = if build.version() < 16 { "output_half_pixel" } else { "half_pixel" };
    Ok(Box::new(RoiAlign {
        height: side("output_height", 1, 1)?,
        width: side("output_width", 1, 1)?,
        ratio: side("sampling_ratio", 0, 0)?,
        scale: attributes.float_or("spatial_scale", 1.0)?,
        half_pixel: attributes.text_or("coordinate_transformation_mode", usual)? == "half_pixel",
        max: match attributes.text_or("mode", "avg")? {
            "avg" => false,
            "max" => true,
            other => bad!("mode `{other}` is not known"),
        },
    }))
}

#[derive(Debug)]
struct MaxRoiPool {
    height: usize,
    width: usize,
    scale: f32,
}

impl Kernel for MaxRoiPool {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.pool::<f32>(i), |i| self.pool::<f64>(i))
    }
}

impl MaxRoiPool {
    fn pool<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, rois) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, channels, height, width], &[count, 5]) = (x.shape(), rois.shape()) else {
            bad!("an input of {:?} and regions of {:?}", x.shape(), rois.shape());
        };
        let shape = [count, channels, self.height, self.width];
        let mut out = Vec::with_capacity(volume(&shape, size_of::<T>())?);
        let xs = x.slice::<T>()?;
        for roi in rois.slice::<T>()?.chunks_exact(5) {
            let item = roi[0].to_f64();
            if !(item >= 0.0 && (item as usize) < batch) {
                bad!("a batch index outside the batch of {batch}");
            }
            let at = |v: T| (v.to_f64() * f64::from(self.scale)).round().clamp(-1e9, 1e9);
            let (x0, y0, x1, y1) = (at(roi[1]), at(roi[2]), at(roi[3]), at(roi[4]));
            let cell = |i: usize, start: f64, end: f64, cells: usize, length: usize| -> std::ops::Range<usize> {
                // In float: a product that is whole must stay so.
                let step = (end - start + 1.0).max(1.0) as f32 / cells as f32;
                let edge = |v: f64| (v + start).clamp(0.0, length as f64) as usize;
                edge(f64::from((i as f32 * step).floor()))..edge(f64::from(((i + 1) as f32 * step).ceil()))
            };
            for c in 0..channels {
                let image = &xs[((item as usize) * channels + c) * height * width..][..height * width];
                for i in 0..self.height {
                    for j in 0..self.width {
                        let (rows, columns) =
                            (cell(i, y0, y1, self.height, height), cell(j, x0, x1, self.width, width));
                        let all = rows.flat_map(|y| image[y * width..][..width].get(columns.clone()).unwrap_or(&[]));
                        out.push(
                            all.fold(None, |m: Option<T>, v| Some(m.map_or(*v, |m| m.max(*v)))).unwrap_or(T::ZERO),
                        );
                    }
                }
            }
        }
        Ok(one(Tensor::new(&shape, out)?))
    }
}

fn max_pool(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    match attributes.ints("pooled_shape")?.ok_or_else(|| missing("pooled_shape"))? {
        [h, w] if (1..=MOST).contains(h) && (1..=MOST).contains(w) => Ok(Box::new(MaxRoiPool {
            height: *h as usize,
            width: *w as usize,
            scale: attributes.float_or("spatial_scale", 1.0)?,
        })),
        _ => bad!("pooled_shape is not two positive sides"),
    }
}
