//! BatchNormalization at inference, InstanceNormalization, GroupNormalization: one scale and bias a channel (axis 1).

use std::sync::Arc;

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::math::broadcast::writable;
use crate::ops::math::functions::Real;
use crate::ops::math::layer_norm::moments_of;
use crate::ops::math::widen::doubles;
use crate::ops::math::widen::widened;
use crate::registry::Operator;
use crate::tensor::ElementType;
use crate::tensor::Tensor;
use crate::unsupported;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::shared("BatchNormalization", batch).note("training mode is refused"),
    Operator::own("GroupNormalization", group),
    Operator::own("InstanceNormalization", instance),
];

/// `x * factor + shift` by channel, both made of scale, bias, mean and variance.
#[derive(Debug)]
struct Batch {
    epsilon: f32,
    /// A channel is axis 1; else every element of a row has its own statistics (before operator set 9).
    spatial: bool,
    /// Factors and shifts of float constants, made at load.
    ready: Option<(Vec<f32>, Vec<f32>)>,
}

fn batch(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let (attributes, version) = (&build.node.attributes, build.version());
    let training = match version {
        14.. => attributes.flag("training_mode", false)?,
        7.. => (1..5).any(|i| build.has_output(i)),
        _ => !attributes.flag("is_test", false)?,
    };
    if training {
        unsupported!("training mode, which takes statistics over the batch");
    }
    let epsilon = attributes.float_or("epsilon", 1e-5)?;
    let constants: Vec<&Arc<Tensor>> = (1..5).filter_map(|i| build.constant(i)).collect();
    let all = constants.iter().map(|t| t.slice::<f32>()).collect::<Result<Vec<_>, _>>();
    let ready = match all.as_deref() {
        Ok([scale, bias, mean, variance]) => Some(affine(scale, bias, mean, variance, epsilon)?),
        _ => None,
    };
    let spatial = version >= 9 || attributes.flag("spatial", true)?;
    Ok(Box::new(Batch { epsilon, spatial, ready }))
}

fn affine<R: Real>(
    scale: &[R],
    bias: &[R],
    mean: &[R],
    variance: &[R],
    epsilon: f32,
) -> Result<(Vec<R>, Vec<R>), OpError> {
    let n = scale.len();
    if [bias.len(), mean.len(), variance.len()] != [n; 3] {
        bad!("scale, bias, mean and variance differ in length");
    }
    let epsilon = R::from_f32(epsilon);
    let factors: Vec<R> =
        scale.iter().zip(variance).map(|(s, v)| s.times(R::one().over(v.plus(epsilon).root()))).collect();
    let shifts = bias.iter().zip(mean).zip(&factors).map(|((b, m), f)| b.minus(m.times(*f))).collect();
    Ok((factors, shifts))
}

impl Kernel for Batch {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match (inputs.tensor(0)?.element_type(), &self.ready) {
            (ElementType::F32, Some((factors, shifts))) => self.apply::<f32>(inputs, factors, shifts),
            (ElementType::F32, None) => self.all::<f32>(inputs),
            (ElementType::F64, _) => self.all::<f64>(inputs),
            (other, _) => bad!("expected floats, found {other}"),
        })
    }

    fn bytes(&self) -> usize {
        self.ready.as_ref().map_or(0, |(factors, _)| factors.len() * 8)
    }
}

impl Batch {
    fn all<R: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|i| reals::<R>(inputs.tensor(i)));
        let (factors, shifts) = affine(&scale?, &bias?, &mean?, &variance?, self.epsilon)?;
        self.apply(inputs, &factors, &shifts)
    }

    fn apply<R: Real>(&self, inputs: &mut Inputs<'_>, factors: &[R], shifts: &[R]) -> Result<Values, OpError> {
        let mut value = inputs.take_value(0);
        let shape = value.tensor().map(Tensor::shape).unwrap_or_default();
        let channels = match shape.get(1) {
            _ if !self.spatial => shape.iter().skip(1).product(),
            Some(channels) => *channels,
            None => 1,
        };
        if channels != factors.len() {
            bad!("{} statistics for {channels} channels", factors.len());
        }
        let inner: usize = if self.spatial { shape.iter().skip(2).product() } else { 1 };
        let values = writable::<R>(&mut value)?;
        if values.is_empty() {
            return Ok(smallvec![value]);
        }
        for row in values.chunks_exact_mut(channels * inner) {
            if inner == 1 {
                for ((v, f), s) in row.iter_mut().zip(factors).zip(shifts) {
                    *v = v.times(*f).plus(*s);
                }
            } else {
                for ((channel, f), s) in row.chunks_exact_mut(inner).zip(factors).zip(shifts) {
                    channel.iter_mut().for_each(|v| *v = v.times(*f).plus(*s));
                }
            }
        }
        Ok(smallvec![value])
    }
}

/// The elements as `R`, whatever kind of float they are.
fn reals<R: Real>(tensor: Result<&Tensor, OpError>) -> Result<Vec<R>, OpError> {
    Ok(doubles(tensor?)?.into_iter().map(R::from_f64).collect())
}

/// Every group of channels of every row has mean 0 and deviation 1, then a scale and a bias.
#[derive(Debug)]
struct Group {
    /// `None`: a group is a channel.
    groups: Option<usize>,
    epsilon: f32,
    /// One scale a group instead of a channel, as before operator set 21.
    by_group: bool,
}

fn instance(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let epsilon = build.node.attributes.float_or("epsilon", 1e-5)?;
    Ok(Box::new(Group { groups: None, epsilon, by_group: false }))
}

fn group(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let groups = attributes.int("num_groups")?.ok_or_else(|| missing("num_groups"))?;
    let groups = usize::try_from(groups).ok().filter(|n| *n > 0);
    let groups = groups.ok_or_else(|| OpError::bad("attribute `num_groups` must be positive"))?;
    let epsilon = attributes.float_or("epsilon", 1e-5)?;
    Ok(Box::new(Group { groups: Some(groups), epsilon, by_group: build.version() < 21 }))
}

impl Kernel for Group {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        widened(inputs, 1, |inputs| match inputs.tensor(0)?.element_type() {
            ElementType::F32 => self.all::<f32>(inputs),
            ElementType::F64 => self.all::<f64>(inputs),
            other => bad!("expected floats, found {other}"),
        })
    }
}

impl Group {
    fn all<R: Real>(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let mut value = inputs.take_value(0);
        let (scale, bias) = (inputs.slice::<R>(1)?, inputs.slice::<R>(2)?);
        let shape = value.tensor().map(Tensor::shape).unwrap_or_default();
        let &[_, channels, ..] = shape else { bad!("at least two axes are needed") };
        let groups = self.groups.unwrap_or(channels);
        if !channels.is_multiple_of(groups.max(1)) {
            bad!("{channels} channels in {groups} groups");
        }
        let wanted = if self.by_group { groups } else { channels };
        if scale.len() != wanted || bias.len() != wanted {
            bad!("{} scales and {} biases where {wanted} are needed", scale.len(), bias.len());
        }
        let inner: usize = shape[2..].iter().product();
        let values = writable::<R>(&mut value)?;
        if values.is_empty() {
            return Ok(smallvec![value]);
        }
        let size = channels / groups * inner;
        for (g, slab) in values.chunks_exact_mut(size).enumerate() {
            let g = g % groups;
            let (mean, inverse) = moments_of(slab, R::from_f32(self.epsilon), true);
            for (c, channel) in slab.chunks_exact_mut(inner).enumerate() {
                let i = if self.by_group { g } else { g * (channels / groups) + c };
                let factor = scale[i].times(inverse);
                channel.iter_mut().for_each(|v| *v = v.minus(mean).times(factor).plus(bias[i]));
            }
        }
        Ok(smallvec![value])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_statistics_belong_to_a_channel_or_to_every_element() {
        let x = || Tensor::new(&[1, 2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap().into();
        let vector = |v: &[f32]| Tensor::vector(v.to_vec()).into();
        let run = |spatial: bool, all: [&[f32]; 4]| {
            let mut inputs = [x(), vector(all[0]), vector(all[1]), vector(all[2]), vector(all[3])];
            let out = Batch { epsilon: 0.0, spatial, ready: None }.run(&mut Inputs(&mut inputs));
            out.map(|out| out[0].tensor().unwrap().slice::<f32>().unwrap().to_vec())
        };
        let by_channel = [&[1.0, 2.0][..], &[0.0, 1.0], &[1.0, 0.0], &[1.0, 4.0]];
        assert_eq!(run(true, by_channel).unwrap(), [0.0, 1.0, 4.0, 5.0]);
        let by_element = [&[1.0; 4][..], &[0.0; 4], &[1.0, 2.0, 3.0, 4.0], &[1.0; 4]];
        assert_eq!(run(false, by_element).unwrap(), [0.0; 4]);
        assert!(run(true, by_element).is_err());
    }

    #[test]
    fn groups_must_divide_the_channels() {
        let x = Tensor::new(&[1, 3, 1], vec![1.0f32, 2.0, 3.0]).unwrap();
        let ones = Tensor::vector(vec![1.0f32; 3]);
        let mut inputs = [x.into(), ones.clone().into(), ones.into()];
        assert!(Group { groups: Some(2), epsilon: 0.0, by_group: false }.run(&mut Inputs(&mut inputs)).is_err());
    }
}
