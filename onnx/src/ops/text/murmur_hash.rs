//! MurmurHash3 of Microsoft's domain, which skl2onnx writes for feature hashing: 32 bits of each element's bytes.
//!
//! Source: Austin Appleby's MurmurHash3_x86_32, public domain.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("MurmurHash3", murmur_hash).of(MICROSOFT)];

#[derive(Debug)]
struct MurmurHash {
    seed: u32,
    /// The result is unsigned.
    positive: bool,
}

impl Kernel for MurmurHash {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let hash = |bytes: &[u8]| murmur3(bytes, self.seed);
        let hashes: Vec<u32> = match x.elements() {
            Elements::Text(v) => v.iter().map(|x| hash(x.as_bytes())).collect(),
            Elements::I32(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            Elements::U32(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            Elements::I64(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            Elements::U64(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            Elements::F32(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            Elements::F64(v) => v.iter().map(|x| hash(&x.to_le_bytes())).collect(),
            other => bad!("expected string or numbers of 32 or 64 bits, found {}", other.element_type()),
        };
        Ok(one(if self.positive {
            Tensor::new(x.shape(), hashes)?
        } else {
            Tensor::new(x.shape(), hashes.into_iter().map(u32::cast_signed).collect::<Vec<_>>())?
        }))
    }
}

fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut h = blocks.iter().fold(seed, |h, block| {
        let h = (h ^ scramble(u32::from_le_bytes(*block))).rotate_left(13);
        h.wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    if !tail.is_empty() {
        h ^= scramble(tail.iter().rev().fold(0, |k, byte| k << 8 | u32::from(*byte)));
    }
    h ^= bytes.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

fn murmur_hash(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let seed = attributes.int_or("seed", 0)? as u32;
    Ok(Box::new(MurmurHash { seed, positive: attributes.flag("positive", true)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        // vectors of the reference implementation
        for (text, seed, hash) in
            [("", 0, 0), ("", 1, 0x514e_28b7), ("aaaa", 0x9747_b28c, 0x5a97_808a), ("abc", 0, 0xb3dd_93fa)]
        {
            assert_eq!(murmur3(text.as_bytes(), seed), hash, "{text} {seed}");
        }
    }
}
