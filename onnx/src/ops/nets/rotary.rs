//! RotaryEmbedding, of the default domain and of Microsoft's.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("RotaryEmbedding", rotary),
    Operator::own("RotaryEmbedding", microsoft).of(MICROSOFT).note("no packed batches"),
];

#[derive(Debug)]
struct Rotary {
    interleaved: bool,
    heads: usize,
    /// Rotated part of a head; 0 for all of it.
    part: usize,
    /// Position ids come before the caches, may be one number to count from, and the output is scaled.
    microsoft: bool,
    scale: f32,
}

/// Sizes and strides of one run, in elements.
struct Layout {
    batch: usize,
    length: usize,
    heads: usize,
    size: usize,
    /// From a batch item, a position, a head to the next.
    strides: [usize; 3],
}

impl Kernel for Rotary {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.rotate::<f32>(i), |i| self.rotate::<f64>(i))
    }
}

impl Rotary {
    fn layout(&self, shape: &[usize], half: usize) -> Result<Layout, OpError> {
        match *shape {
            [batch, heads, length, size] => {
                Ok(Layout { batch, length, heads, size, strides: [heads * length * size, size, length * size] })
            }
            [batch, length, width] => {
                let heads = match (self.heads, half) {
                    (0, 1..) if self.microsoft && self.part == 0 => width / (2 * half),
                    (heads, _) => heads,
                };
                if heads == 0 || width % heads != 0 {
                    bad!("a width of {width} does not split into {heads} heads");
                }
                let size = width / heads;
                Ok(Layout { batch, length, heads, size, strides: [length * width, width, size] })
            }
            _ => bad!("an input of {} axes", shape.len()),
        }
    }

    fn rotate<T: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (ids, cos, sin) = if self.microsoft { (1, 2, 3) } else { (3, 1, 2) };
        let shape = inputs.tensor(0)?.shape().to_vec();
        let mut values = inputs.take(0)?.into_vec::<T>()?;
        if values.is_empty() {
            return Ok(one(Tensor::new(&shape, values)?));
        }
        let (cos_shape, cos, sin) = (inputs.tensor(cos)?.shape(), inputs.slice::<T>(cos)?, inputs.slice::<T>(sin)?);
        let half = cos_shape.last().copied().unwrap_or(0);
        let layout = self.layout(&shape, half)?;
        let part = if self.part == 0 { layout.size } else { self.part };
        if part > layout.size || part != 2 * half || sin.len() != cos.len() {
            bad!("caches of {half} for heads of {} of which {part} are rotated", layout.size);
        }
        let rows = cos.len().checked_div(half).unwrap_or(0);
        let ids = inputs.optional(ids)?.map(Tensor::to_i64s).transpose()?;
        for b in 0..layout.batch {
            for l in 0..layout.length {
                let at = b * layout.length + l;
                let row = match &ids {
                    None => Some(at),
                    Some(ids) if ids.len() == 1 && self.microsoft => usize::try_from(ids[0]).ok().map(|i| i + l),
                    Some(ids) => ids.get(at).and_then(|i| usize::try_from(*i).ok()),
                };
                let Some(row) = row.filter(|r| *r < rows || half == 0) else { bad!("a position outside the caches") };
                let (cos, sin) = (&cos[row * half..][..half], &sin[row * half..][..half]);
                for h in 0..layout.heads {
                    let from = b * layout.strides[0] + l * layout.strides[1] + h * layout.strides[2];
                    self.turn(&mut values[from..from + part], cos, sin);
                }
            }
        }
        if self.scale != 1.0 {
            let scale = T::from_f64(f64::from(self.scale));
            values.iter_mut().for_each(|v| *v *= scale);
        }
        Ok(one(Tensor::new(&shape, values)?))
    }

    fn turn<T: Real>(&self, values: &mut [T], cos: &[T], sin: &[T]) {
        let half = cos.len();
        for i in 0..half {
            let (a, b) = if self.interleaved { (2 * i, 2 * i + 1) } else { (i, half + i) };
            let (x, y) = (values[a], values[b]);
            values[a] = cos[i] * x - sin[i] * y;
            values[b] = sin[i] * x + cos[i] * y;
        }
    }
}

fn make(build: &Build<'_>, microsoft: bool) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    if attributes.flag("is_packed_batching", false)? {
        unsupported!("packed batches");
    }
    let size = |name: &str| -> Result<usize, OpError> {
        match attributes.int_or(name, 0)? {
            n @ 0..=0x7fff_ffff => Ok(n as usize),
            n => bad!("{name} is {n}"),
        }
    };
    Ok(Box::new(Rotary {
        interleaved: attributes.flag("interleaved", false)?,
        heads: size("num_heads")?,
        part: size("rotary_embedding_dim")?,
        microsoft,
        scale: if microsoft { attributes.float_or("scale", 1.0)? } else { 1.0 },
    }))
}

fn rotary(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, false)
}

fn microsoft(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    make(build, true)
}
