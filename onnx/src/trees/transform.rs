//! What `ai.onnx.ml` calls `post_transform`, with the formulas that onnxruntime uses (its `ml_common.h`).

use crate::bad;
use crate::error::OpError;
use crate::trees::real::Real;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transform {
    #[default]
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// # Errors
    /// If ONNX does not define the text.
    pub fn parse(name: &str) -> Result<Transform, OpError> {
        Ok(match name {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            _ => bad!("attribute `post_transform` is not known"),
        })
    }

    /// The number that TreeEnsemble 5 uses, as onnxruntime reads it: the specification swaps 1 and 2.
    ///
    /// # Errors
    /// If ONNX does not define it.
    pub fn number(code: i64) -> Result<Transform, OpError> {
        use Transform::*;
        match [None, Logistic, Softmax, SoftmaxZero, Probit].get(usize::try_from(code).unwrap_or(usize::MAX)) {
            Some(transform) => Ok(*transform),
            Option::None => bad!("post_transform {code} is not known"),
        }
    }

    /// Transforms the scores of one row; the elementwise ones go through 32 bits, as in onnxruntime.
    pub fn apply<T: Real>(self, scores: &mut [T]) {
        match self {
            Transform::None => {}
            Transform::Logistic => scores.iter_mut().for_each(|s| *s = T::from_f32(logistic(s.to_f32()))),
            Transform::Probit => scores.iter_mut().for_each(|s| *s = T::from_f32(probit(s.to_f32()))),
            Transform::Softmax => softmax(scores),
            Transform::SoftmaxZero => softmax_zero(scores),
        }
    }
}

/// Computed for the absolute value, so that a large negative score does not overflow.
pub fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - v } else { v }
}

/// Inverse of the normal distribution by Winitzki's approximation.
pub fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let root = (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * root.copysign(if x < 0.0 { -1.0 } else { 1.0 })
}

fn greatest<T: Real>(scores: &[T]) -> T {
    scores.iter().fold(T::LOWEST, |m, s| if *s > m { *s } else { m })
}

fn softmax<T: Real>(scores: &mut [T]) {
    let max = greatest(scores);
    let mut sum = T::ZERO;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|s| *s = *s / sum);
}

/// Softmax in which a score of zero means "no score" and stays zero.
fn softmax_zero<T: Real>(scores: &mut [T]) {
    let max = greatest(scores);
    let small = T::from_f32(1e-7);
    let mut sum = T::ZERO;
    for score in scores.iter_mut() {
        if *score > small || *score < -small {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score = *score * (-max).exp();
        }
    }
    scores.iter_mut().for_each(|s| *s = *s / sum);
}
