//! What `ai.onnx.ml` calls `post_transform`, with the formulas that onnxruntime uses (its `ml_common.h`).

use crate::bad;
use crate::error::OpError;

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

    /// Transforms the scores of one row.
    pub fn apply(self, scores: &mut [f32]) {
        match self {
            Transform::None => {}
            Transform::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
            Transform::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
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

fn greatest(scores: &[f32]) -> f32 {
    scores.iter().fold(f32::MIN, |m, s| if *s > m { *s } else { m })
}

fn softmax(scores: &mut [f32]) {
    let max = greatest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}

/// Softmax in which a score of zero means "no score" and stays zero.
fn softmax_zero(scores: &mut [f32]) {
    let max = greatest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if *score > 1e-7 || *score < -1e-7 {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= (-max).exp();
        }
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}
