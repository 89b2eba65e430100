//! Eight-bit weights of DynamicQuantizeLSTM: what they are multiplied by is quantised anew for every product.

use crate::bad;
use crate::dense::plain::transposed;
use crate::error::OpError;
use crate::kernel::Build;
use crate::ops::dense::quant::dynamic;
use crate::ops::dense::quant::integers;
use crate::ops::dense::quant::quantum;
use crate::ops::dense::saturating;
use crate::ops::nets::recurrent::weights::Side;
use crate::ops::nets::recurrent::weights::Weights;
use crate::tensor::ElementType;
use crate::unsupported;

/// The right side of a product, a row for each of its columns.
#[derive(Clone, Debug)]
pub struct Quantised {
    k: usize,
    rows: Vec<i16>,
    totals: Vec<i32>,
    /// One, or one for each column.
    scales: Vec<f32>,
    zero: i32,
    saturates: bool,
}

impl Quantised {
    /// `out += a x self`, with all of `a` quantised together.
    pub fn multiply_by(&self, a: &[f32], out: &mut [f32]) {
        let (scale, zero) = dynamic(a);
        let a: Vec<i16> = a.iter().map(|x| i16::from(quantum::<u8>(x / scale, zero))).collect();
        let n = self.totals.len();
        for (a, out) in a.chunks_exact(self.k.max(1)).zip(out.chunks_exact_mut(n.max(1))) {
            let total = saturating::total(a);
            for (j, (out, row)) in out.iter_mut().zip(self.rows.chunks_exact(self.k)).enumerate() {
                let sum = if self.saturates { saturating::sum(a, row) } else { saturating::exact(a, row) };
                let zeros = [i32::from(zero), self.zero];
                let sum = sum.wrapping_add(saturating::correction(self.k, [total, self.totals[j]], zeros));
                *out += sum as f32 * (scale * self.scales[j % self.scales.len()]);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice()) + size_of_val(self.totals.as_slice())
    }
}

/// Weights of all directions, from constant inputs.
///
/// # Errors
/// If they are not constant, or do not fit each other.
pub fn prepare(build: &Build<'_>, directions: usize) -> Result<Vec<Weights<f32>>, OpError> {
    let (input, state) = (sides(build, 1, 8, directions)?, sides(build, 2, 10, directions)?);
    let side = Side::Quantised;
    let both = input.into_iter().zip(state);
    Ok(both.map(|(input, state)| Weights { input: side(input), state: side(state), reset: None }).collect())
}

/// The sides of all directions from `[directions, k, n]` at `at`, with scales and zero points from `scale` on.
fn sides(build: &Build<'_>, at: usize, scale: usize, directions: usize) -> Result<Vec<Quantised>, OpError> {
    let constant = |i: usize| build.constant(i).ok_or_else(|| OpError::unsupported("weights that are not constant"));
    let (weights, scales, zeros) = (constant(at)?, constant(scale)?, constant(scale + 1)?);
    let &[count, k, n] = weights.shape() else { bad!("weights of {} axes", weights.rank()) };
    let (scales, zeros) = (scales.slice::<f32>()?, integers(zeros)?);
    let each = scales.len() / directions;
    if count != directions || zeros.len() != scales.len() || scales.len() != each * directions || each != 1 && each != n
    {
        bad!("{} scales and {} zero points for weights of {:?}", scales.len(), zeros.len(), weights.shape());
    }
    let values = integers(weights)?;
    let direction = |d: usize| {
        let zero = zeros[d * each];
        if zeros[d * each..(d + 1) * each].iter().any(|z| *z != zero) {
            unsupported!("a zero point for every column of the weights");
        }
        let rows = transposed(&values[d * k * n..(d + 1) * k * n], k, n);
        let totals = (0..n).map(|j| saturating::total(&rows[j * k..(j + 1) * k])).collect();
        let saturates = saturating::saturates(ElementType::U8, weights.element_type());
        let scales = scales[d * each..(d + 1) * each].to_vec();
        Ok(Quantised { k, rows, totals, scales, zero: i32::from(zero), saturates })
    };
    (0..directions).map(direction).collect()
}
