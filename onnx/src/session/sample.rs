//! Made-up rows for trials before there are real ones: load-time checks, memory estimates, measurements.

use half::f16;

use crate::error::OpError;
use crate::graph::Dim;
use crate::graph::Kind;
use crate::session::rows::RowPort;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::value::Value;

/// Length of an axis that is not declared.
const FREE: usize = 4;

/// `count` rows for every input, the same for the same `seed`: floats within [-2, 2), whole numbers 0 and 1 (which are
/// codes of most encoders and tables), texts "a" and "b".
///
/// # Errors
/// If an input is no tensor, or a row would be too large.
pub fn rows(ports: &[RowPort], count: usize, seed: u64) -> Result<Vec<Value>, OpError> {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15));
    ports.iter().map(|port| input(port, count, &mut random)).collect()
}

/// Inputs of the same shapes with other floats, within [-2, 2); all else stays.
///
/// # Errors
/// If there is no memory for them.
pub fn like(inputs: &[Value]) -> Result<Vec<Value>, OpError> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut floats = |len: usize| -> Vec<f64> { (0..len).map(|_| random.float()).collect() };
    let like = |value: &Value| {
        let Some(tensor) = value.tensor() else { return Ok(value.clone()) };
        let (shape, len) = (tensor.shape(), tensor.len());
        let made = match tensor.element_type() {
            ElementType::F16 => Tensor::new(shape, floats(len).into_iter().map(f16::from_f64).collect()),
            ElementType::F32 => Tensor::new(shape, floats(len).into_iter().map(|x| x as f32).collect()),
            ElementType::F64 => Tensor::new(shape, floats(len)),
            _ => return Ok(value.clone()),
        };
        made.map(Value::from)
    };
    inputs.iter().map(like).collect()
}

fn input(port: &RowPort, count: usize, random: &mut Random) -> Result<Value, OpError> {
    if !matches!(port.kind, Kind::Tensor { .. } | Kind::Unknown) {
        return Err(OpError::unsupported(format!("no rows can be made up for {}", port.kind)));
    }
    let row = port.shape.iter().flatten().map(|d| if let Dim::Fixed(n) = d { *n } else { FREE });
    let shape: Vec<usize> = std::iter::once(count).chain(row).collect();
    let len = crate::tensor::volume(&shape, port.element_type.size())?;
    macro_rules! fill {
        ($make:expr) => {
            Tensor::new(&shape, (0..len).map(|_| $make).collect::<Vec<_>>())
        };
    }
    let made = match port.element_type {
        ElementType::Bool => fill!(random.bit() == 1),
        ElementType::I8 => fill!(random.bit() as i8),
        ElementType::I16 => fill!(random.bit() as i16),
        ElementType::I32 => fill!(random.bit() as i32),
        ElementType::I64 => fill!(random.bit() as i64),
        ElementType::U8 => fill!(random.bit() as u8),
        ElementType::U16 => fill!(random.bit() as u16),
        ElementType::U32 => fill!(random.bit() as u32),
        ElementType::U64 => fill!(random.bit()),
        ElementType::F16 => fill!(f16::from_f64(random.float())),
        ElementType::F32 => fill!(random.float() as f32),
        ElementType::F64 => fill!(random.float()),
        ElementType::Text => fill!(if random.bit() == 1 { "a" } else { "b" }.to_string()),
    };
    made.map(Value::from)
}

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bit(&mut self) -> u64 {
        self.next() >> 63
    }

    fn float(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 51) as f64 - 2.0
    }
}
