//! Sums of uint8 times int8 as onnxruntime's MLAS has them on processors without VNNI: the products of every two neighbours
//! are added in 16 bits and saturate there (`vpmaddubsw`).
//!
//! A quantised model then scores as it does in onnxruntime on the same processor. The exact sums are better numbers, but
//! nobody has measured the model with them: `reduce_range = True` when quantising avoids the question.

use crate::ops::nets::conv::Plan;
use crate::tensor::ElementType;

/// Whether products of these two types saturate on this processor.
pub fn saturates(left: ElementType, right: ElementType) -> bool {
    left == ElementType::U8 && right == ElementType::I8 && in_sixteen_bits()
}

/// Whether this processor adds neighbouring products in 16 bits.
#[cfg(target_arch = "x86_64")]
pub fn in_sixteen_bits() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("sse4.1") && !(has!("avx512vnni") && has!("avx512bw") && has!("avx512vl")) && !has!("avxvnni")
}

/// Whether this processor adds neighbouring products in 16 bits.
#[cfg(not(target_arch = "x86_64"))]
pub fn in_sixteen_bits() -> bool {
    false
}

/// The sum of products of two rows, whose zero points are still in them.
#[inline]
pub fn sum(left: &[i16], right: &[i16]) -> i32 {
    let (pairs, last) = left.as_chunks::<2>();
    let (others, other) = right.as_chunks::<2>();
    let pair = |([a, b], [x, y]): (&[i16; 2], &[i16; 2])| {
        let sum = i32::from(*a) * i32::from(*x) + i32::from(*b) * i32::from(*y);
        sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
    };
    let rest: i32 = last.iter().zip(other).map(|(a, x)| i32::from(*a) * i32::from(*x)).sum();
    pairs.iter().zip(others).map(pair).fold(rest, i32::wrapping_add)
}

/// The exact sum of products of two rows.
#[inline]
pub fn exact(left: &[i16], right: &[i16]) -> i32 {
    left.iter().zip(right).fold(0i32, |sum, (x, y)| sum.wrapping_add(i32::from(*x) * i32::from(*y)))
}

/// What the zero points add to a sum of `k` products: `[left, right]` are the sums of the rows.
pub fn correction(k: usize, [left, right]: [i32; 2], [left_zero, right_zero]: [i32; 2]) -> i32 {
    let both = (k as i32).wrapping_mul(left_zero.wrapping_mul(right_zero));
    both.wrapping_sub(left_zero.wrapping_mul(right)).wrapping_sub(right_zero.wrapping_mul(left))
}

/// The sum of a row.
pub fn total(row: &[i16]) -> i32 {
    row.iter().fold(0, |sum, x| sum.wrapping_add(i32::from(*x)))
}

/// A convolution of uint8 by int8 with one zero point each; the numbers of a window are added position by position, the
/// channels of each one after the other.
pub fn convolve(plan: &Plan, x: &[i16], w: &[i16], [x_zero, w_zero]: [i16; 2], out: &mut [i32]) {
    let (taps, channels, size) = (plan.taps(), plan.channels, plan.output());
    let (k, group) = (taps * channels, plan.channels * plan.input());
    let filters: Vec<i16> =
        w.chunks_exact(k).flat_map(|f| (0..k).map(|i| f[i % channels * taps + i / channels])).collect();
    let sums: Vec<i32> = filters.chunks_exact(k).map(total).collect();
    let zeros = [i32::from(x_zero), i32::from(w_zero)];
    let mut window = vec![x_zero; k];
    for (i, result) in out.chunks_exact_mut(plan.filters * size).enumerate() {
        let image = &x[i * group..][..group];
        let first = i % plan.groups * plan.filters;
        for at in 0..size {
            gather(plan, image, at, x_zero, &mut window);
            let inside = total(&window);
            for (f, channel) in result.chunks_exact_mut(size).enumerate() {
                let filter = &filters[(first + f) * k..][..k];
                let sum = sum(&window, filter);
                channel[at] = sum.wrapping_add(correction(k, [inside, sums[first + f]], zeros));
            }
        }
    }
}

/// The numbers under the window at an output position.
fn gather(plan: &Plan, image: &[i16], at: usize, padding: i16, window: &mut [i16]) {
    let [deep, high, wide] = &plan.axes;
    let (od, oh, ow) = (at / wide.output / high.output, at / wide.output % high.output, at % wide.output);
    let size = plan.input();
    for (tap, part) in window.chunks_exact_mut(plan.channels).enumerate() {
        let (kd, kh, kw) = (tap / wide.kernel / high.kernel, tap / wide.kernel % high.kernel, tap % wide.kernel);
        match (deep.at(od, kd), high.at(oh, kh), wide.at(ow, kw)) {
            (Some(d), Some(h), Some(w)) => {
                let position = (d * high.input + h) * wide.input + w;
                part.iter_mut().zip(image[position..].iter().step_by(size)).for_each(|(p, x)| *p = *x);
            }
            _ => part.fill(padding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_saturate_together() {
        assert_eq!(sum(&[255, 255, 255], &[127, 127, 127]), 32_767 + 255 * 127);
        assert_eq!(sum(&[255, 255], &[-128, -128]), -32_768);
        assert_eq!(sum(&[255, 255], &[127, -128]), -255);
    }

    #[test]
    fn zero_points_are_taken_off_afterwards() {
        let (a, b) = ([3i16, 200, 7], [5i16, -6, 100]);
        let exact: i32 = a.iter().zip(b).map(|(a, b)| (i32::from(*a) - 9) * (i32::from(b) + 4)).sum();
        assert_eq!(sum(&a, &b) + correction(3, [total(&a), total(&b)], [9, -4]), exact);
    }
}
