//! The post transform of a single score that stands for two classes.

use crate::trees::transform::Transform;
use crate::trees::transform::logistic;
use crate::trees::transform::probit;

/// Scores of two classes out of the one of the second: onnxruntime knows the logistic function there, and PROBIT, whose
/// second score it leaves open; to all others the score is a probability.
pub fn two(transform: Transform, score: f32) -> [f32; 2] {
    match transform {
        Transform::Logistic => [logistic(-score), logistic(score)],
        Transform::Probit => [probit(score), 0.0],
        Transform::None | Transform::Softmax | Transform::SoftmaxZero => [1.0 - score, score],
    }
}
