//! BitShift, BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot.

use std::ops::BitAnd;
use std::ops::BitOr;
use std::ops::BitXor;
use std::ops::Not;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::binary_in_place;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::each;
use crate::ops::math::widen::widened_one;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::ElementType;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("BitShift", build),
    Operator::own("BitwiseAnd", build),
    Operator::own("BitwiseNot", build),
    Operator::own("BitwiseOr", build),
    Operator::own("BitwiseXor", build),
];

#[derive(Clone, Copy, Debug)]
enum Bits {
    Left,
    Right,
    And,
    Or,
    Xor,
    Not,
}

/// Whole numbers as rows of bits.
trait Word:
    Element + Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    /// 0 if all bits are shifted out.
    fn left(self, by: Self) -> Self;
    /// Filled with the sign; nothing but that if all bits are shifted out.
    fn right(self, by: Self) -> Self;
}

macro_rules! words {
    ($($ty:ty: $empty:expr),*) => {
        $(impl Word for $ty {
            fn left(self, by: Self) -> Self {
                u32::try_from(by).ok().and_then(|by| self.checked_shl(by)).unwrap_or(0)
            }
            fn right(self, by: Self) -> Self {
                let shifted = u32::try_from(by).ok().and_then(|by| self.checked_shr(by));
                shifted.unwrap_or_else(|| $empty(self))
            }
        })*
    };
}
words!(i32: |v| v >> 31, i64: |v| v >> 63, u64: |_| 0);

fn build(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(match build.node.op_type.as_str() {
        "BitwiseAnd" => Bits::And,
        "BitwiseOr" => Bits::Or,
        "BitwiseXor" => Bits::Xor,
        "BitwiseNot" => Bits::Not,
        _ => match build.node.attributes.text("direction")?.ok_or_else(|| missing("direction"))? {
            "LEFT" => Bits::Left,
            "RIGHT" => Bits::Right,
            _ => bad!("attribute `direction` must be LEFT or RIGHT"),
        },
    }))
}

impl Kernel for Bits {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened_one(inputs, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::I32 => self.all::<i32>(inputs),
            ElementType::I64 => self.all::<i64>(inputs),
            ElementType::U64 => self.all::<u64>(inputs),
            other => bad!("expected whole numbers, found {other}"),
        })
    }
}

impl Bits {
    fn all<T: Word>(self, inputs: &mut Inputs<'_>) -> Result<Value, OpError> {
        match self {
            Bits::Left => binary_in_place::<T>(inputs, |a, b| a.left(*b)),
            Bits::Right => binary_in_place::<T>(inputs, |a, b| a.right(*b)),
            Bits::And => binary_in_place::<T>(inputs, |a, b| *a & *b),
            Bits::Or => binary_in_place::<T>(inputs, |a, b| *a | *b),
            Bits::Xor => binary_in_place::<T>(inputs, |a, b| *a ^ *b),
            Bits::Not => {
                let mut value = inputs.take_value(0);
                each(writable::<T>(&mut value)?, |v| !v);
                Ok(value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_past_the_end_leave_the_sign() {
        assert_eq!((1i32.left(7), 1i32.left(32), u64::MAX.right(64), u64::MAX.left(64)), (128, 0, 0, 0));
        assert_eq!(((-8i32).right(1), (-8i32).right(32), (-8i32).right(-1), 8i32.right(-1)), (-4, -1, -1, 0));
        assert_eq!((i64::MAX.left(1), 3i64.left(-1), 1i32.left(31)), (-2, 0, i32::MIN));
    }
}
