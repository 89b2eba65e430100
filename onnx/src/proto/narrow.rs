//! Numbers of fewer than eight bits, of which files hold several in a byte.

use crate::tensor::ElementType;

/// The type that holds such numbers, and how many bits they have, of a code of `TensorProto.DataType`.
pub fn from_onnx(code: i32) -> Option<(ElementType, usize)> {
    match code {
        21 => Some((ElementType::U8, 4)),
        22 => Some((ElementType::I8, 4)),
        25 => Some((ElementType::U8, 2)),
        26 => Some((ElementType::I8, 2)),
        _ => None,
    }
}

/// The type that holds the numbers of a code of `TensorProto.DataType`, and how many bits a number has in a file.
pub fn stored(code: i32) -> Option<(ElementType, usize)> {
    ElementType::from_onnx(code).map(|kind| (kind, 8 * kind.size())).or_else(|| from_onnx(code))
}

/// One number a byte, of `len` that lie `8 / bits` to a byte with the first in the lowest bits; signed ones by their sign.
pub fn unpacked(bytes: &[u8], len: usize, bits: usize, signed: bool) -> Vec<u8> {
    let (each, unused) = (8 / bits, 8 - bits);
    let numbers = bytes.iter().flat_map(|byte| (0..each).map(move |i| byte >> (i * bits) << unused));
    numbers.take(len).map(|x| if signed { (x.cast_signed() >> unused).cast_unsigned() } else { x >> unused }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_lowest_bits_first_and_keep_their_sign() {
        assert_eq!(unpacked(&[0x8f, 0x07], 3, 4, false), [15, 8, 7]);
        assert_eq!(unpacked(&[0x8f, 0x07], 3, 4, true), [-1i8, -8, 7].map(i8::cast_unsigned));
        assert_eq!(unpacked(&[0b1101_1000], 4, 2, false), [0, 2, 1, 3]);
        assert_eq!(unpacked(&[0b1101_1000], 4, 2, true), [0i8, -2, 1, -1].map(i8::cast_unsigned));
    }
}
