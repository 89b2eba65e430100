//! Operators of the specification that are not run here, with the reason that messages and the documentation give.

/// Domain, name, reason.
pub const REFUSED: &[(&str, &str, &str)] = &[
    ("", "Bernoulli", RANDOM),
    ("", "Multinomial", RANDOM),
    ("", "RandomNormal", RANDOM),
    ("", "RandomNormalLike", RANDOM),
    ("", "RandomUniform", RANDOM),
    ("", "RandomUniformLike", RANDOM),
    ("", "ImageDecoder", "images are decoded before the graph, by the bundle"),
    ("ai.onnx.preview.training", "Adagrad", TRAINING),
    ("ai.onnx.preview.training", "Adam", TRAINING),
    ("ai.onnx.preview.training", "Gradient", TRAINING),
    ("ai.onnx.preview.training", "Momentum", TRAINING),
];

const RANDOM: &str = "its result cannot be repeated, so a replayed record would be scored differently";
const TRAINING: &str = "it belongs to training";

/// Why an operator is refused; `None` if it is simply not known.
pub fn reason(domain: &str, name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(d, n, _)| *d == domain && *n == name).map(|(.., why)| *why)
}
