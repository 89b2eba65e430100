//! Class probabilities out of those of every pair of classes.
//!
//! Source: Wu, Lin, Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling" (2004), algorithm 2,
//! as in libsvm's `multiclass_probability`, in 32 bits as onnxruntime computes it.

/// Rounds after which the estimate is taken as it is.
const ROUNDS: usize = 100;

/// `pairs[i * n + j]` is the probability of class i where only i and j are possible; `out` gets one a class.
///
/// # Panics
/// If `pairs` is smaller than the square of the number of classes.
pub fn couple(pairs: &[f32], out: &mut [f32]) {
    let n = out.len();
    let mut q = vec![0.0f32; n * n];
    for i in 0..n {
        out[i] = 1.0 / n as f32;
        for j in (0..n).filter(|j| *j != i) {
            q[i * n + i] += pairs[j * n + i] * pairs[j * n + i];
            q[i * n + j] = if j < i { q[j * n + i] } else { -pairs[j * n + i] * pairs[i * n + j] };
        }
    }
    let enough = 0.005 / n as f32;
    let mut qp = vec![0.0f32; n];
    for _ in 0..ROUNDS {
        let mut pqp = 0.0f32;
        for (i, qp) in qp.iter_mut().enumerate() {
            *qp = (0..n).fold(0.0, |sum, j| sum + q[i * n + j] * out[j]);
            pqp += out[i] * *qp;
        }
        let error = qp.iter().map(|x| (x - pqp).abs()).fold(0.0, |max, e| if e > max { e } else { max });
        if error < enough {
            break;
        }
        for i in 0..n {
            let diff = (-qp[i] + pqp) / q[i * n + i];
            out[i] += diff;
            pqp = (pqp + diff * (diff * q[i * n + i] + 2.0 * qp[i])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..n {
                qp[j] = (qp[j] + diff * q[i * n + j]) / (1.0 + diff);
                out[j] /= 1.0 + diff;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consistent_pairs_give_their_classes_back() {
        let classes = [0.5f32, 0.3, 0.2];
        let mut pairs = [0.0; 9];
        for i in 0..3 {
            for j in 0..3 {
                pairs[i * 3 + j] = classes[i] / (classes[i] + classes[j]);
            }
        }
        let mut out = [0.0; 3];
        couple(&pairs, &mut out);
        assert!(out.iter().zip(classes).all(|(o, c)| (o - c).abs() < 0.01), "{out:?}");
    }
}
