//! Two pairs of QuantizeLinear and DequantizeLinear one behind the other become one pair, of the range that both have.
//!
//! Source: DoubleQDQPairsRemover of onnxruntime (`double_qdq_pairs_remover.cc`).

use crate::graph::quantised::Joiner;
use crate::graph::quantised::Part;
use crate::graph::quantised::is_dequantize;
use crate::graph::quantised::is_quantize;
use crate::tensor::ElementType;
use crate::tensor::Tensor;

/// Scales closer than this are the same.
const SAME: f32 = 1e-20;

/// A quantisation of a whole tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    kind: ElementType,
    scale: f32,
    zero: i16,
}

impl Step {
    fn of(joiner: &Joiner, part: &Part) -> Option<Step> {
        let (scale, zero) = (joiner.constant(&part.names[1])?, joiner.constant(&part.names[2])?);
        let &[scale] = scale.slice::<f32>().ok()? else { return None };
        let zero = match part.kind {
            ElementType::U8 => i16::from(*zero.slice::<u8>().ok()?.first()?),
            ElementType::I8 => i16::from(*zero.slice::<i8>().ok()?.first()?),
            _ => return None,
        };
        Some(Step { kind: part.kind, scale, zero })
    }

    fn limits(self) -> (f32, f32) {
        if self.kind == ElementType::U8 { (0.0, 255.0) } else { (-128.0, 127.0) }
    }

    /// The step of the range that two have in common.
    fn within(self, other: Step) -> Step {
        let (low, high) = self.limits();
        let zeros = (f32::from(self.zero), f32::from(other.zero));
        let least = ((low - zeros.0) * self.scale).max((low - zeros.1) * other.scale);
        let most = ((high - zeros.0) * self.scale).min((high - zeros.1) * other.scale);
        let scale = (most - least) / (high - low);
        Step { kind: self.kind, scale, zero: (low - least / scale).round() as i16 }
    }

    fn tensors(self) -> (Tensor, Tensor) {
        let zero = match self.kind {
            ElementType::U8 => Tensor::scalar(self.zero.clamp(0, 255) as u8),
            _ => Tensor::scalar(self.zero.clamp(-128, 127) as i8),
        };
        (Tensor::scalar(self.scale), zero)
    }
}

/// Takes the inner two of four nodes out, wherever they stand so.
pub fn remove(joiner: &mut Joiner) {
    for inner in joiner.places() {
        if let Some((ends, steps)) = pairs(joiner, inner) {
            join(joiner, inner, ends, steps);
        }
    }
}

/// The node before, and the two after a DequantizeLinear, and what the two pairs do.
fn pairs(joiner: &Joiner, inner: usize) -> Option<([usize; 3], [Step; 2])> {
    let node = joiner.node(inner).filter(|n| is_dequantize(n))?;
    let number = node.inputs.first()?;
    let before = joiner.maker_at(number)?;
    let after = joiner.only_reader(node.outputs.first()?)?;
    let last = joiner.only_reader(joiner.node(after)?.outputs.first()?)?;
    joiner.only_reader(number)?;
    let all = [before, inner, after, last].map(|i| joiner.node(i));
    let [Some(first), Some(_), Some(second), Some(end)] = all else { return None };
    if !is_quantize(first) || !is_quantize(second) || !is_dequantize(end) {
        return None;
    }
    let mut steps =
        all.iter().map(|n| joiner.part(n.as_ref()?).filter(|p| p.scales == 1).and_then(|p| Step::of(joiner, &p)));
    let [a, b, c, d] = [steps.next()??, steps.next()??, steps.next()??, steps.next()??];
    (a == b && c == d && a.kind == c.kind).then_some(([before, after, last], [a, c]))
}

fn join(joiner: &mut Joiner, inner: usize, [before, after, last]: [usize; 3], [first, second]: [Step; 2]) {
    let Some(number) = joiner.node(inner).and_then(|n| n.inputs.first().cloned()) else { return };
    let mut names = vec![(last, 0, number.clone())];
    if first.zero != second.zero || (first.scale - second.scale).abs() >= SAME {
        let (scale, zero) = first.within(second).tensors();
        for (at, name, tensor) in [(1, format!("{number}#scale"), scale), (2, format!("{number}#zero"), zero)] {
            joiner.add(&name, tensor);
            names.extend([before, last].map(|node| (node, at, name.clone())));
        }
    }
    joiner.take_out(&[inner, after]);
    names.into_iter().for_each(|(node, at, name)| joiner.rename_input(node, at, name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_in_common_gets_all_steps() {
        let step = |scale, zero| Step { kind: ElementType::U8, scale, zero };
        // -3.84 to 3.81 and -2 to 3.1 have -2 to 3.1 in common
        assert_eq!(step(0.03, 128).within(step(0.02, 100)), step(0.02, 100));
        // 0 to 7.65 and -2 to 3.1: 0 to 3.1
        let both = step(0.03, 0).within(step(0.02, 100));
        assert_eq!((both.scale, both.zero), (3.1 / 255.0, 0));
    }
}
