//! EmbedLayerNormalization: what a BERT model of Microsoft's optimizer starts with.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::real;
use crate::ops::nets::real::Real;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("EmbedLayerNormalization", embed).of(MICROSOFT)];

/// Positions of the inputs.
const WORDS: usize = 2;
const POSITIONS: usize = 3;
const SEGMENTS: usize = 4;
const GAMMA: usize = 5;
const BETA: usize = 6;
const MASK: usize = 7;
const IDS: usize = 8;

#[derive(Debug)]
struct Embed {
    epsilon: f32,
}

impl Kernel for Embed {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let half = inputs.tensor(WORDS)?.element_type() == crate::tensor::ElementType::F16;
        for value in inputs.0.iter_mut() {
            if let Value::Tensor(tensor) = value
                && let Some(wide) = real::widened(tensor)
            {
                *value = wide.into();
            }
        }
        let mut made = self.embed(inputs)?;
        for value in made.iter_mut().filter(|_| half) {
            if let Value::Tensor(tensor) = value
                && let Ok(v) = tensor.slice::<f32>()
            {
                *value = real::narrowed(tensor.shape(), v)?.into();
            }
        }
        Ok(made)
    }
}

/// The row of a table of embeddings that an id names.
fn row(table: &[f32], width: usize, id: i64) -> Result<&[f32], OpError> {
    let at = usize::try_from(id).ok().and_then(|id| id.checked_mul(width));
    let row = at.and_then(|at| table.get(at..at.checked_add(width)?));
    row.ok_or_else(|| OpError::bad("an id outside its table"))
}

impl Embed {
    fn embed(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let ids = inputs.tensor(0)?;
        let (&[batch, length], &[_, width]) = (ids.shape(), inputs.tensor(WORDS)?.shape()) else {
            bad!("ids of {} axes", ids.rank());
        };
        let (words, positions) = (inputs.slice::<f32>(WORDS)?, inputs.slice::<f32>(POSITIONS)?);
        let (gamma, beta) = (inputs.slice::<f32>(GAMMA)?, inputs.slice::<f32>(BETA)?);
        if gamma.len() != width || beta.len() != width || width == 0 {
            bad!("{} scales and {} shifts for a width of {width}", gamma.len(), beta.len());
        }
        let segments = match inputs.optional(SEGMENTS)? {
            Some(table) => Some((table.slice::<f32>()?, inputs.optional(1)?.map(Tensor::to_i64s).transpose()?)),
            None => None,
        };
        let given = inputs.optional(IDS)?.map(Tensor::to_i64s).transpose()?;
        let mut sums = Vec::with_capacity(volume(&[batch, length, width], 4)?);
        for (i, id) in ids.to_i64s()?.into_iter().enumerate() {
            let position = match &given {
                Some(given) if given.len() == length => given[i % length],
                Some(given) => *given.get(i).ok_or_else(|| OpError::bad("position_ids are too few"))?,
                None => (i % length) as i64,
            };
            let (word, position) = (row(words, width, id)?, row(positions, width, position)?);
            let start = sums.len();
            sums.extend(word.iter().zip(position).map(|(w, p)| w + p));
            if let Some((table, ids)) = &segments {
                let id = ids
                    .as_ref()
                    .map_or(Ok(0), |s| s.get(i).copied().ok_or_else(|| OpError::bad("segment_ids are too few")))?;
                sums[start..].iter_mut().zip(row(table, width, id)?).for_each(|(v, s)| *v += s);
            }
        }
        let shape = [batch, length, width];
        let mut out = sums.clone();
        for row in out.chunks_exact_mut(width) {
            normalize(row, gamma, beta, self.epsilon);
        }
        let lengths = match inputs.optional(MASK)? {
            None => vec![0i32; batch],
            Some(mask) => {
                let mask = mask.to_i64s()?;
                let rows = mask.chunks_exact(length.max(1)).take(batch);
                rows.map(|row| row.iter().filter(|m| **m == 1).count() as i32).collect()
            }
        };
        Ok(smallvec![
            Tensor::new(&shape, out)?.into(),
            Tensor::new(&[batch], lengths)?.into(),
            Tensor::new(&shape, sums)?.into(),
        ])
    }
}

fn normalize<T: Real>(row: &mut [T], gamma: &[T], beta: &[T], epsilon: f32) {
    let n = T::from_usize(row.len());
    let mean = row.iter().copied().sum::<T>() / n;
    let variance = row.iter().map(|v| (*v - mean) * (*v - mean)).sum::<T>() / n;
    let deviation = (variance + T::from_f64(f64::from(epsilon))).sqrt();
    for ((v, g), b) in row.iter_mut().zip(gamma).zip(beta) {
        *v = (*v - mean) / deviation * *g + *b;
    }
}

fn embed(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Embed { epsilon: build.node.attributes.float_or("epsilon", 1e-12)? }))
}
