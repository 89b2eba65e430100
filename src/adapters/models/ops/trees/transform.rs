//! What `ai.onnx.ml` calls `post_transform`, with the formulas that onnxruntime uses.

use tract_onnx::tract_hir::internal::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// # Errors
    /// Names a text that ONNX does not define.
    pub fn parse(name: Option<&str>) -> TractResult<Transform> {
        Ok(match name.unwrap_or("NONE") {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            other => bail!("post_transform `{other}` is not known"),
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

/// Inverse of the normal distribution by Winitzki's approximation, as onnxruntime does.
pub fn probit(p: f32) -> f32 {
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let root = (-v + (v * v - log / 0.147).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * root.copysign(if x < 0.0 { -1.0 } else { 1.0 })
}

fn greatest(scores: &[f32]) -> f32 {
    scores.iter().fold(-f32::MAX, |m, s| if *s > m { *s } else { m })
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
    let scale = (-max).exp();
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= scale;
        }
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}
