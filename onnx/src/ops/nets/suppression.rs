//! NonMaxSuppression: the best boxes, without those that overlap a better one.

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("NonMaxSuppression", suppression)];

#[derive(Debug)]
struct Suppression {
    /// Boxes are centers and sizes, not two corners.
    centered: bool,
}

/// Corners, the smaller ones first.
#[derive(Clone, Copy)]
struct Corners {
    low: [f32; 2],
    high: [f32; 2],
}

impl Corners {
    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Whether the common part is more than `most` of the whole of both.
    fn overlaps(&self, other: &Corners, most: f32) -> bool {
        let side = |i: usize| self.high[i].min(other.high[i]) - self.low[i].max(other.low[i]);
        let (height, width) = (side(0), side(1));
        if height <= 0.0 || width <= 0.0 || self.area() <= 0.0 || other.area() <= 0.0 {
            return false;
        }
        let common = height * width;
        let whole = self.area() + other.area() - common;
        whole > 0.0 && common / whole > most
    }
}

impl Suppression {
    fn corners(&self, b: &[f32]) -> Corners {
        if self.centered {
            let (w, h) = (b[2] / 2.0, b[3] / 2.0);
            return Corners { low: [b[1] - h, b[0] - w], high: [b[1] + h, b[0] + w] };
        }
        Corners { low: [b[0].min(b[2]), b[1].min(b[3])], high: [b[0].max(b[2]), b[1].max(b[3])] }
    }
}

fn scalar(inputs: &Inputs<'_>, i: usize) -> Result<Option<f32>, OpError> {
    let Some(tensor) = inputs.optional(i)? else { return Ok(None) };
    Ok(tensor.slice::<f32>()?.first().copied())
}

impl Kernel for Suppression {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let (boxes, scores) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, count, 4], &[same, classes, boxed]) = (boxes.shape(), scores.shape()) else {
            bad!("boxes of {:?} and scores of {:?}", boxes.shape(), scores.shape());
        };
        if batch != same || count != boxed {
            bad!("boxes of {:?} and scores of {:?}", boxes.shape(), scores.shape());
        }
        let most = inputs.optional(2)?.map(Tensor::to_i64s).transpose()?.and_then(|v| v.first().copied()).unwrap_or(0);
        let overlap = scalar(inputs, 3)?.unwrap_or(0.0);
        let least = scalar(inputs, 4)?;
        if !(0.0..=1.0).contains(&overlap) {
            bad!("iou_threshold must be between 0 and 1");
        }
        let mut found = vec![];
        let (boxes, scores) = (boxes.slice::<f32>()?, scores.slice::<f32>()?);
        for (row, scores) in scores.chunks_exact(count.max(1)).enumerate().filter(|_| most > 0) {
            let (b, class) = (row / classes, row % classes);
            let mut order: Vec<usize> = (0..count).filter(|i| least.is_none_or(|l| scores[*i] > l)).collect();
            order.sort_by(|i, j| scores[*j].total_cmp(&scores[*i]).then(i.cmp(j)));
            let mut kept: Vec<Corners> = vec![];
            for i in order {
                if kept.len() as i64 >= most {
                    break;
                }
                let corners = self.corners(&boxes[(b * count + i) * 4..][..4]);
                if kept.iter().all(|k| !corners.overlaps(k, overlap)) {
                    kept.push(corners);
                    found.extend([b as i64, class as i64, i as i64]);
                }
            }
        }
        Ok(one(Tensor::new(&[found.len() / 3, 3], found)?))
    }
}

fn suppression(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Suppression { centered: build.node.attributes.flag("center_point_box", false)? }))
}
