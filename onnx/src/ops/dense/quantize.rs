//! QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, and onnxruntime's own kin of the first two.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::graph::narrow::BITS;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::floats;
use crate::ops::dense::quant::Grid;
use crate::ops::dense::quant::Quantum;
use crate::ops::dense::quant::dynamic;
use crate::ops::dense::quant::floats_of;
use crate::ops::dense::quant::quantum;
use crate::proto::narrow;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

const NOTE: &str =
    "2, 4, 8 and 16 bits, and int32 to dequantise; fewer than 8 of constants only; no float8, float4, bfloat16";

pub const OPERATORS: &[Operator] = &[
    Operator::own("DequantizeLinear", dequantize).note(NOTE),
    Operator::own("DequantizeLinear", dequantize).of(MICROSOFT).note(NOTE),
    Operator::own("DynamicQuantizeLinear", dynamic_quantize).note("takes statistics over the whole tensor"),
    Operator::own("QuantizeLinear", quantize).note(NOTE),
    Operator::own("QuantizeLinear", quantize).of(MICROSOFT).note(NOTE),
];

/// Attributes that both directions share.
#[derive(Debug)]
struct Linear {
    axis: i64,
    block: usize,
    /// Type of the result, where it is said.
    wanted: Option<ElementType>,
    /// Of each quantised number, where they are fewer than its type has; else 8.
    bits: usize,
}

impl Linear {
    fn new(build: &Build<'_>) -> Result<Linear, OpError> {
        let attributes = &build.node.attributes;
        let (wanted, mut bits) = match i32::try_from(attributes.int_or("output_dtype", 0)?).unwrap_or(-1) {
            0 => (None, 8),
            code => {
                let stored = narrow::stored(code);
                let (kind, bits) = stored.ok_or_else(|| OpError::unsupported(format!("element type {code}")))?;
                (Some(kind), bits.min(8))
            }
        };
        if let Some(told) = attributes.int(BITS)? {
            bits = usize::try_from(told).ok().filter(|b| (1..8).contains(b)).ok_or_else(|| missing(BITS))?;
        }
        let block = usize::try_from(attributes.int_or("block_size", 0)?)
            .map_err(|_| OpError::bad("attribute `block_size` is negative"))?;
        Ok(Linear { axis: attributes.int_or("axis", 1)?, block, wanted, bits })
    }

    fn grid(&self, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>) -> Result<Grid, OpError> {
        if zero.is_some_and(|z| z.len() != scale.len()) {
            bad!("scales and zero points differ in number");
        }
        Grid::new(x.shape(), scale.shape(), self.axis, self.block)
    }
}

#[derive(Debug)]
struct Quantize(Linear);

fn quantize(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Quantize(Linear::new(build)?)))
}

impl Quantize {
    fn values<T: Quantum>(&self, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>) -> Result<Elements, OpError> {
        let grid = self.0.grid(x, scale, zero)?;
        let whole: Vec<f32>;
        let (floats_x, scales) = match x.elements() {
            Elements::I32(v) => {
                whole = v.iter().map(|x| *x as f32).collect();
                (whole.as_slice().into(), floats(scale)?)
            }
            _ => (floats(x)?, floats(scale)?),
        };
        let zeros = match zero {
            Some(zero) => zero.slice::<T>()?.to_vec(),
            None => vec![T::default(); scale.len()],
        };
        let mut out = vec![T::default(); x.len()];
        grid.each(|range, first, step| {
            let (x, out) = (&floats_x[range.clone()], &mut out[range]);
            if step == 0 {
                let (scale, zero) = (scales[first], zeros[first]);
                out.iter_mut().zip(x).for_each(|(o, x)| *o = quantum(x / scale, zero));
            } else {
                let params = scales[first..].iter().zip(&zeros[first..]);
                for ((o, x), (scale, zero)) in out.iter_mut().zip(x).zip(params) {
                    *o = quantum(x / scale, *zero);
                }
            }
        });
        Ok(T::wrap(out))
    }

    /// Numbers of fewer bits saturate earlier, which comes to the same after the rounding.
    fn narrowed(&self, mut elements: Elements) -> Elements {
        let unused = 8 - self.0.bits;
        match &mut elements {
            Elements::I8(v) => v.iter_mut().for_each(|x| *x = (*x).clamp(i8::MIN >> unused, i8::MAX >> unused)),
            Elements::U8(v) => v.iter_mut().for_each(|x| *x = (*x).min(u8::MAX >> unused)),
            _ => {}
        }
        elements
    }
}

impl Kernel for Quantize {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (x, scale, zero) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        let wanted = zero.map(Tensor::element_type).or(self.0.wanted).unwrap_or(ElementType::U8);
        let out = match wanted {
            ElementType::I8 => self.values::<i8>(x, scale, zero)?,
            ElementType::U8 => self.values::<u8>(x, scale, zero)?,
            ElementType::I16 => self.values::<i16>(x, scale, zero)?,
            ElementType::U16 => self.values::<u16>(x, scale, zero)?,
            other => unsupported!("quantised numbers of type {other}"),
        };
        Ok(one(Tensor::from_elements(x.shape(), self.narrowed(out))?))
    }
}

#[derive(Debug)]
struct Dequantize(Linear);

fn dequantize(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Dequantize(Linear::new(build)?)))
}

/// Whole numbers as `i32`.
fn wide(tensor: &Tensor) -> Result<Vec<i32>, OpError> {
    match tensor.elements() {
        Elements::I8(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        Elements::U8(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        Elements::I16(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        Elements::U16(v) => Ok(v.iter().map(|x| i32::from(*x)).collect()),
        Elements::I32(v) => Ok(v.clone()),
        _ => bad!("{} cannot be dequantised", tensor.element_type()),
    }
}

impl Kernel for Dequantize {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (x, scale, zero) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        if zero.is_some_and(|z| z.element_type() != x.element_type()) {
            bad!("the types of the numbers and of the zero point differ");
        }
        let grid = self.0.grid(x, scale, zero)?;
        let (numbers, scales) = (wide(x)?, floats(scale)?);
        let zeros = zero.map_or_else(|| Ok(vec![0; scale.len()]), wide)?;
        let mut out = vec![0.0; x.len()];
        grid.each(|range, first, step| {
            let (x, out) = (&numbers[range.clone()], &mut out[range]);
            if step == 0 {
                let (scale, zero) = (scales[first], zeros[first]);
                out.iter_mut().zip(x).for_each(|(o, x)| *o = x.wrapping_sub(zero) as f32 * scale);
            } else {
                let params = scales[first..].iter().zip(&zeros[first..]);
                for ((o, x), (scale, zero)) in out.iter_mut().zip(x).zip(params) {
                    *o = x.wrapping_sub(*zero) as f32 * scale;
                }
            }
        });
        let out = floats_of(out, self.0.wanted.unwrap_or(scale.element_type()))?;
        Ok(one(Tensor::from_elements(x.shape(), out)?))
    }
}

#[derive(Debug)]
struct DynamicQuantize;

fn dynamic_quantize(_: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(DynamicQuantize))
}

impl Kernel for DynamicQuantize {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let values = x.slice::<f32>()?;
        let (scale, zero) = dynamic(values);
        let out: Vec<u8> = values.iter().map(|x| quantum(x / scale, zero)).collect();
        let out = Tensor::new(x.shape(), out)?;
        Ok(smallvec![out.into(), Tensor::scalar(scale).into(), Tensor::scalar(zero).into()])
    }
}
