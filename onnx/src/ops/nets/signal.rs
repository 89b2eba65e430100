//! Windows and mel filters: HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix.

use std::f64::consts::PI;

use half::f16;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[
    Operator::own("BlackmanWindow", blackman),
    Operator::own("HammingWindow", hamming),
    Operator::own("HannWindow", hann),
    Operator::own("MelWeightMatrix", mel),
];

/// A sum of cosines: `a - b cos(2 pi i / n) + c cos(4 pi i / n)`.
#[derive(Debug)]
struct Window {
    coefficients: [f64; 3],
    periodic: bool,
    element: ElementType,
}

impl Kernel for Window {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let Ok(size) = usize::try_from(inputs.tensor(0)?.to_i64()?) else { bad!("a negative size") };
        volume(&[size], 8)?;
        let [a, b, c] = self.coefficients;
        let n = (if self.periodic { size } else { size.saturating_sub(1) }) as f64;
        let value = |i: usize| {
            let angle = 2.0 * PI * i as f64 / n;
            a - b * angle.cos() + c * (2.0 * angle).cos()
        };
        typed(self.element, &[size], (0..size).map(value).collect()).map(one)
    }
}

/// A tensor of the wanted type.
fn typed(element: ElementType, shape: &[usize], values: Vec<f64>) -> Result<Tensor, OpError> {
    macro_rules! cast {
        ($($variant:ident $ty:ty),*) => {
            match element {
                $(ElementType::$variant => Tensor::new(shape, values.into_iter().map(|v| v as $ty).collect::<Vec<_>>()),)*
                ElementType::F16 => Tensor::new(shape, values.into_iter().map(f16::from_f64).collect::<Vec<_>>()),
                other => unsupported!("an output of {other}"),
            }
        };
    }
    cast!(F32 f32, F64 f64, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64)
}

fn element(build: &Build<'_>) -> Result<ElementType, OpError> {
    let code = build.node.attributes.int_or("output_datatype", 1)?;
    let known = i32::try_from(code).ok().and_then(ElementType::from_onnx);
    known.ok_or_else(|| OpError::unsupported(format!("output_datatype {code}")))
}

fn window(build: &Build<'_>, coefficients: [f64; 3]) -> Result<Box<dyn Kernel>, OpError> {
    let periodic = build.node.attributes.flag("periodic", true)?;
    Ok(Box::new(Window { coefficients, periodic, element: element(build)? }))
}

fn hann(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    window(build, [0.5, 0.5, 0.0])
}

fn hamming(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    window(build, [25.0 / 46.0, 21.0 / 46.0, 0.0])
}

fn blackman(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    window(build, [0.42, 0.5, 0.08])
}

#[derive(Debug)]
struct Mel {
    element: ElementType,
}

fn scalar(tensor: &Tensor) -> Result<f64, OpError> {
    match tensor.elements() {
        Elements::F32(v) if v.len() == 1 => Ok(f64::from(v[0])),
        Elements::F64(v) if v.len() == 1 => Ok(v[0]),
        Elements::F16(v) if v.len() == 1 => Ok(v[0].to_f64()),
        other => bad!("expected one float, found {} of {}", other.len(), other.element_type()),
    }
}

impl Kernel for Mel {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let count = |i: usize| -> Result<usize, OpError> {
            let value = inputs.tensor(i)?.to_i64()?;
            usize::try_from(value)
                .ok()
                .filter(|v| *v <= 1 << 30)
                .ok_or_else(|| OpError::bad(format!("input {i} is {value}")))
        };
        let (bands, length, rate) = (count(0)?, count(1)?, count(2)?.max(1));
        let (low, high) = (scalar(inputs.tensor(3)?)?, scalar(inputs.tensor(4)?)?);
        let shape = [length / 2 + 1, bands];
        let mut out = vec![0.0; volume(&shape, 8)?];
        let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
        let step = (mel(high) - mel(low)) / (bands + 2) as f64;
        let edges: Vec<usize> = (0..bands + 2)
            .map(|i| 700.0 * (10f64.powf((mel(low) + i as f64 * step) / 2595.0) - 1.0))
            .map(|hertz| ((length + 1) as f64 * hertz / rate as f64).floor().max(0.0) as usize)
            .collect();
        if edges.iter().any(|e| *e > shape[0]) {
            bad!("a band above half the sample rate");
        }
        for (band, edge) in edges.windows(3).enumerate() {
            let [lower, center, higher] = [edge[0], edge[1], edge[2]];
            let mut set = |row: usize, value: f64| {
                if let Some(slot) = out.get_mut(row * bands + band) {
                    *slot = value;
                }
            };
            if lower == center {
                set(center, 1.0);
            }
            for j in (lower..=center).filter(|_| lower < center) {
                set(j, (j - lower) as f64 / (center - lower) as f64);
            }
            for j in center..higher {
                set(j, (higher - j) as f64 / (higher - center) as f64);
            }
        }
        typed(self.element, &shape, out).map(one)
    }
}

fn mel(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Mel { element: element(build)? }))
}
