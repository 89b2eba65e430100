//! onnxruntime's operators on quantised tensors that work element by element.

use crate::bad;
use crate::dense::activate;
use crate::dense::activation::Activation;
use crate::dense::batch::broadcast;
use crate::dense::batch::offsets;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::quant::Scaled;
use crate::ops::dense::quant::integers;
use crate::ops::dense::quant::quantised;
use crate::ops::dense::quant::saturated;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("QLinearAdd", |_| Ok(Box::new(Binary { product: false }))).of(MICROSOFT),
    Operator::own("QLinearConcat", concat).of(MICROSOFT),
    Operator::own("QLinearLeakyRelu", leaky_relu).of(MICROSOFT),
    Operator::own("QLinearMul", |_| Ok(Box::new(Binary { product: true }))).of(MICROSOFT),
    Operator::own("QLinearSigmoid", |_| Ok(Box::new(Table(Activation::Sigmoid)))).of(MICROSOFT),
];

/// QLinearAdd and QLinearMul.
#[derive(Debug)]
struct Binary {
    product: bool,
}

impl Kernel for Binary {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(3)?);
        let scaled_a = Scaled::read(inputs.tensor(1)?, inputs.optional(2)?)?;
        let scaled_b = Scaled::read(inputs.tensor(4)?, inputs.optional(5)?)?;
        let absent = Tensor::zeros_of(a.element_type(), &[])?;
        let zero = inputs.optional(7)?.unwrap_or(&absent);
        let scaled_y = Scaled::read(inputs.tensor(6)?, Some(zero))?;
        let Some(shape) = broadcast(a.shape(), b.shape()) else { bad!("the shapes cannot be broadcast") };
        volume(&shape, 16)?;
        let (x, y) = (spread(a, &shape)?, spread(b, &shape)?);
        let pairs = x.into_iter().zip(y).map(|(x, y)| (f32::from(x), f32::from(y)));
        let (za, zb, zy) = (scaled_a.zero, scaled_b.zero, scaled_y.zero);
        // in the order of MLAS (`qladd.cpp`, `qlmul.cpp`), zero point included before rounding
        let out = if self.product {
            let ratio = scaled_a.scale * scaled_b.scale / scaled_y.scale;
            saturated(pairs.map(|(x, y)| (x - za) * (y - zb) * ratio + zy), zero)?
        } else {
            let (ratio_a, ratio_b) = (scaled_a.scale / scaled_y.scale, scaled_b.scale / scaled_y.scale);
            let fixed = zy - (ratio_a * za + ratio_b * zb);
            saturated(pairs.map(|(x, y)| fused(x, ratio_a, fused(y, ratio_b, fixed))), zero)?
        };
        Ok(one(Tensor::from_elements(&shape, out)?))
    }
}

/// `a * b + c`, rounded once but for halves of halves; a processor without the instruction vectorises this.
fn fused(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

/// The elements, broadcast to `shape`.
fn spread(tensor: &Tensor, shape: &[usize]) -> Result<Vec<i16>, OpError> {
    let values = integers(tensor)?;
    if tensor.shape() == shape {
        return Ok(values);
    }
    Ok(offsets(tensor.shape(), shape).into_iter().map(|at| values[at]).collect())
}

/// A function of one number, looked up for each of the 256.
#[derive(Debug)]
struct Table(Activation);

fn leaky_relu(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Table(Activation::LeakyRelu(build.node.attributes.float_or("alpha", 0.01)?))))
}

/// What becomes of every number from the least one on.
pub(super) fn table(
    least: i16,
    from: Scaled,
    function: Activation,
    to: Scaled,
    zero: &Tensor,
) -> Result<Elements, OpError> {
    let mut floats: Vec<f32> = (least..least + 256).map(|x| (f32::from(x) - from.zero) * from.scale).collect();
    activate(function, &mut floats);
    quantised(floats.into_iter().map(|x| x / to.scale), zero)
}

/// Looks the elements up, each by its distance from the least number of its type.
pub(super) fn looked_up(tensor: &Tensor, table: &Elements) -> Result<Elements, OpError> {
    let least = least(tensor);
    let at = integers(tensor)?.into_iter().map(|x| (x - least) as usize);
    match table {
        Elements::I8(table) => Ok(Elements::I8(at.map(|i| table[i]).collect())),
        Elements::U8(table) => Ok(Elements::U8(at.map(|i| table[i]).collect())),
        other => Err(OpError::bad(format!("a zero point of type {}", other.element_type()))),
    }
}

/// The least number of the tensor's type.
pub(super) fn least(tensor: &Tensor) -> i16 {
    if matches!(tensor.elements(), Elements::I8(_)) { -128 } else { 0 }
}

impl Kernel for Table {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let from = Scaled::read(inputs.tensor(1)?, inputs.optional(2)?)?;
        let absent = Tensor::zeros_of(x.element_type(), &[])?;
        let zero = inputs.optional(4)?.unwrap_or(&absent);
        let to = Scaled::read(inputs.tensor(3)?, Some(zero))?;
        let table = table(least(x), from, self.0, to, zero)?;
        Ok(one(Tensor::from_elements(x.shape(), looked_up(x, &table)?)?))
    }
}

/// QLinearConcat: inputs are the result's scale and zero point, then value, scale and zero point of each part.
#[derive(Debug)]
struct Concat {
    axis: i64,
}

fn concat(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let axis = build.node.attributes.int("axis")?;
    Ok(Box::new(Concat { axis: axis.ok_or_else(|| crate::graph::attributes::missing("axis"))? }))
}

impl Kernel for Concat {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let zero = inputs.tensor(1)?;
        let to = Scaled::read(inputs.tensor(0)?, Some(zero))?;
        let mut parts = vec![];
        for i in (2..inputs.len()).step_by(3) {
            let part = inputs.tensor(i)?;
            let from = Scaled::read(inputs.tensor(i + 1)?, inputs.optional(i + 2)?)?;
            let table = table(least(part), from, Activation::None, to, zero)?;
            parts.push((part.shape(), looked_up(part, &table)?));
        }
        let Some((first, _)) = parts.first() else { bad!("nothing to join") };
        let rank = first.len() as i64;
        if self.axis < -rank || self.axis >= rank {
            bad!("axis {} of {rank}", self.axis);
        }
        let axis = self.axis.rem_euclid(rank) as usize;
        let mut shape = first.to_vec();
        shape[axis] = 0;
        for (part, _) in &parts {
            let same = part.len() == shape.len() && (0..shape.len()).all(|i| i == axis || part[i] == shape[i]);
            if !same {
                bad!("the parts differ in more than axis {axis}");
            }
            shape[axis] = shape[axis].saturating_add(part[axis]);
        }
        let outer: usize = if volume(&shape, 1)? == 0 { 0 } else { shape[..axis].iter().product() };
        let mut out = Tensor::zeros_of(zero.element_type(), &[0])?.into_parts().1;
        for i in 0..outer {
            for (part, values) in &parts {
                let run: usize = part[axis..].iter().product();
                match (&mut out, values) {
                    (Elements::I8(out), Elements::I8(v)) => out.extend_from_slice(&v[i * run..(i + 1) * run]),
                    (Elements::U8(out), Elements::U8(v)) => out.extend_from_slice(&v[i * run..(i + 1) * run]),
                    _ => bad!("the types differ"),
                }
            }
        }
        Ok(one(Tensor::from_elements(&shape, out)?))
    }
}
