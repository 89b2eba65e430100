//! Attention of the default domain (operator sets 23 and later).

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::attention::core::Heads;
use crate::ops::nets::attention::core::Scoring;
use crate::ops::nets::attention::core::Tap;
use crate::ops::nets::attention::core::attend;
use crate::ops::nets::attention::mask::Mask;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] =
    &[Operator::own("Attention", attention)
        .note("half precision is computed in float, whatever softmax_precision says")];

#[derive(Debug)]
struct Attention {
    causal: bool,
    q_heads: usize,
    kv_heads: usize,
    scale: Option<f32>,
    softcap: f32,
    tap: Option<Tap>,
    /// Keys that a query sees before and after its own position.
    left: Option<i64>,
    right: Option<i64>,
}

impl Kernel for Attention {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.attend::<f32>(i), |i| self.attend::<f64>(i))
    }
}

impl Attention {
    fn attend<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let flat = inputs.tensor(0)?.rank() == 3;
        let q = Heads::<T>::read(inputs.tensor(0)?, self.q_heads)?;
        let past = |i: usize| inputs.optional(i)?.map(|t| Heads::<T>::read(t, self.kv_heads)).transpose();
        let (past_k, past_v) = (past(4)?, past(5)?);
        let before = past_k.as_ref().map(|p| p.length);
        let k = Heads::<T>::read(inputs.tensor(1)?, self.kv_heads)?.after(past_k)?;
        let v = Heads::<T>::read(inputs.tensor(2)?, self.kv_heads)?.after(past_v)?;
        let scores = [q.batch, q.heads, q.length, k.length];
        let mask = inputs.optional(3)?.map(|m| Mask::<T>::read(m, scores, T::LOWEST)).transpose()?;
        let lengths = inputs.optional(6)?.map(Tensor::to_i64s).transpose()?;
        if lengths.as_ref().is_some_and(|l| l.len() != q.batch) {
            bad!("nonpad_kv_seqlen does not fit a batch of {}", q.batch);
        }
        let scoring = Scoring {
            scale: self.scale.map_or_else(|| 1.0 / (q.size as f64).sqrt(), f64::from),
            softcap: f64::from(self.softcap),
            tap: self.tap,
        };
        let attended = attend(&q, &k, &v, &scoring, |b, h, scores| {
            if let Some(mask) = &mask {
                mask.add(b, h, k.length, scores);
            }
            let length = lengths.as_ref().map(|l| l[b]);
            let shift = match (before, length) {
                (Some(before), _) => before as i64,
                (None, Some(length)) => length.saturating_sub(q.length as i64),
                (None, None) => 0,
            };
            // A single query after a past sees all keys, even if several are new: as onnxruntime has it.
            let causal = self.causal && !(before.is_some() && q.length == 1);
            self.hide(causal, shift, length, k.length, scores);
            Ok(())
        })?;
        let y = if flat {
            let v = &attended.values;
            Tensor::new(&[v.batch, v.length, v.heads * v.size], v.merged())?
        } else {
            attended.values.tensor()?
        };
        let tapped = attended.tapped.map(Heads::tensor).transpose()?.map_or(Value::Absent, Value::from);
        Ok(smallvec![y.into(), k.tensor()?.into(), v.tensor()?.into(), tapped])
    }

    /// Hides the keys that no query may see: the padding, what comes after it, what is outside its window.
    fn hide<T: Real>(&self, causal: bool, shift: i64, length: Option<i64>, keys: usize, scores: &mut [T]) {
        if !causal && length.is_none() && self.left.is_none() && self.right.is_none() {
            return;
        }
        for (i, row) in scores.chunks_exact_mut(keys.max(1)).enumerate() {
            let own = (i as i64).saturating_add(shift);
            let last = match (causal, self.right) {
                (true, _) => Some(own),
                (false, right) => right.map(|r| own.saturating_add(r)),
            };
            let first = self.left.map(|l| own.saturating_sub(l));
            for (j, score) in row.iter_mut().enumerate() {
                let j = j as i64;
                let hidden =
                    last.is_some_and(|l| j > l) || first.is_some_and(|f| j < f) || length.is_some_and(|l| j >= l);
                if hidden {
                    *score = T::LOWEST;
                }
            }
        }
    }
}

fn attention(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let heads = |name: &str| -> Result<usize, OpError> {
        match attributes.int_or(name, 0)? {
            n @ 0..=0x7fff_ffff => Ok(n as usize),
            n => bad!("{name} is {n}"),
        }
    };
    let side = |name: &str| -> Result<Option<i64>, OpError> {
        match attributes.int_or(name, -1)? {
            -1 => Ok(None),
            n @ 0.. => Ok(Some(n)),
            n => bad!("{name} is {n}"),
        }
    };
    let tap = match attributes.int_or("qk_matmul_output_mode", 0)? {
        0 => Tap::Raw,
        1 => Tap::Capped,
        2 => Tap::Biased,
        3 => Tap::Weights,
        other => bad!("qk_matmul_output_mode is {other}"),
    };
    Ok(Box::new(Attention {
        causal: attributes.flag("is_causal", false)?,
        q_heads: heads("q_num_heads")?,
        kv_heads: heads("kv_num_heads")?,
        scale: attributes.float("scale")?,
        softcap: attributes.float_or("softcap", 0.0)?,
        tap: build.has_output(3).then_some(tap),
        left: side("left_window_size")?,
        right: side("right_window_size")?,
    }))
}
