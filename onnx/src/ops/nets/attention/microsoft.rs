//! Attention and MultiHeadAttention of Microsoft's domain.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::nets::attention::core::Heads;
use crate::ops::nets::attention::core::Scoring;
use crate::ops::nets::attention::core::attend;
use crate::ops::nets::attention::mask::Mask;
use crate::ops::nets::attention::padding::Padding;
use crate::ops::nets::real::Real;
use crate::ops::nets::real::by_float;
use crate::registry::MICROSOFT;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::unsupported;
use crate::value::Value;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[
    Operator::own("Attention", attention)
        .of(MICROSOFT)
        .note("no rotary embedding inside, no shared buffer for past and present"),
    Operator::own("MultiHeadAttention", multi_head).of(MICROSOFT).note("no shared buffer for past and present"),
];

/// Attributes of both operators.
#[derive(Debug)]
struct Settings {
    heads: usize,
    causal: bool,
    scale: Option<f32>,
    /// What is added to the score of a masked key.
    filter: f32,
}

impl Settings {
    fn read(build: &Build<'_>) -> Result<Settings, OpError> {
        let attributes = &build.node.attributes;
        let heads = match attributes.int("num_heads")?.ok_or_else(|| missing("num_heads"))? {
            n @ 1..=0x7fff_ffff => n as usize,
            n => bad!("{n} heads"),
        };
        if attributes.flag("past_present_share_buffer", false)? || attributes.flag("do_rotary", false)? {
            unsupported!("rotary embedding inside, or a shared buffer for past and present");
        }
        Ok(Settings {
            heads,
            causal: attributes.flag("unidirectional", false)?,
            scale: attributes.float("scale")?.filter(|s| *s != 0.0),
            filter: attributes.float_or("mask_filter_value", -10_000.0)?,
        })
    }

    /// Attention with padding and bias, after `past` positions; gives `[batch, queries, width]`.
    fn attend<T: Real>(
        &self,
        q: &Heads<T>,
        k: &Heads<T>,
        v: &Heads<T>,
        padding: Option<&Tensor>,
        bias: Option<&Tensor>,
        past: usize,
    ) -> Result<Tensor, OpError> {
        let scores = [q.batch, q.heads, q.length, k.length];
        let filter = T::from_f64(f64::from(self.filter));
        let padding = padding.map(|t| Padding::read(t, scores)).transpose()?;
        let bias = bias.map(|t| Mask::<T>::read(t, scores, T::LOWEST)).transpose()?;
        let scale = self.scale.map_or_else(|| 1.0 / (q.size as f64).sqrt(), f64::from);
        let scoring = Scoring { scale, softcap: 0.0, tap: None };
        let lowest = T::from_f64(f64::from(f32::MIN));
        let attended = attend(q, k, v, &scoring, |b, h, scores| {
            if let Some(bias) = &bias {
                bias.add(b, h, k.length, scores);
            }
            for (i, row) in scores.chunks_exact_mut(k.length.max(1)).enumerate() {
                for (j, score) in row.iter_mut().enumerate() {
                    let hidden = padding.as_ref().is_some_and(|p| p.hides(b, i, j));
                    // The last query sees everything, even where there are more keys than queries: as onnxruntime has it.
                    if self.causal && i + 1 < q.length && j > i + past {
                        *score = lowest;
                    } else if hidden {
                        *score += filter;
                    }
                }
            }
            Ok(())
        })?;
        let v = attended.values;
        Tensor::new(&[v.batch, v.length, v.heads * v.size], v.merged())
    }
}

#[derive(Debug)]
pub struct Attention {
    settings: Settings,
    sizes: Option<Vec<usize>>,
}

impl Kernel for Attention {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.attend::<f32>(i), |i| self.attend::<f64>(i))
    }
}

impl Attention {
    /// From the node's attributes.
    ///
    /// # Errors
    /// If they break the specification.
    pub fn read(build: &Build<'_>) -> Result<Attention, OpError> {
        let sizes = match build.node.attributes.ints("qkv_hidden_sizes")? {
            None => None,
            Some(sizes) if sizes.len() == 3 && sizes.iter().all(|s| (0..=1 << 31).contains(s)) => {
                Some(sizes.iter().map(|s| *s as usize).collect())
            }
            Some(_) => bad!("qkv_hidden_sizes is not three widths"),
        };
        Ok(Attention { settings: Settings::read(build)?, sizes })
    }

    /// Widths of queries, keys and values, all heads together.
    pub fn widths(&self, width: usize) -> Result<Vec<usize>, OpError> {
        let widths = self.sizes.clone().unwrap_or_else(|| vec![width / 3; 3]);
        let heads = self.settings.heads;
        if widths.iter().sum::<usize>() != width || widths.iter().any(|w| w % heads != 0) || widths[0] != widths[1] {
            bad!("weights to {width} for {heads} heads");
        }
        Ok(widths)
    }

    fn attend<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let (x, w) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, length, input], &[rows, width]) = (x.shape(), w.shape()) else {
            bad!("an input of {} axes and weights of {}", x.rank(), w.rank());
        };
        let widths = self.widths(width)?;
        if rows != input {
            bad!("weights of {rows} to {width} for {input} inputs");
        }
        let mut all = vec![T::ZERO; volume(&[batch, length, width], size_of::<T>())?];
        if let Some(bias) = inputs.optional(2)? {
            let bias = bias.slice::<T>()?;
            if bias.len() != width {
                bad!("{} biases for {width}", bias.len());
            }
            all.chunks_exact_mut(width.max(1)).for_each(|row| row.copy_from_slice(bias));
        }
        T::multiply(x.slice::<T>()?, w.slice::<T>()?, (input, width), &mut all);
        let others = Others { mask: 3, past: 4, bias: 5 };
        self.of_projected(inputs, &all, [batch, length, width], &widths, &others)
    }

    /// The rest, from queries, keys and values side by side: `all` is `[batch, length, widths]`.
    pub fn of_projected<T: Real>(
        &self,
        inputs: &Inputs<'_>,
        all: &[T],
        [batch, length, width]: [usize; 3],
        widths: &[usize],
        others: &Others,
    ) -> Result<Values, OpError> {
        let heads = self.settings.heads;
        let part = |i: usize| {
            let from = widths[..i].iter().sum();
            Heads::split(all, [batch, length, heads, widths[i] / heads], width, from)
        };
        let (past_k, past_v) = past::<T>(inputs, others.past)?;
        let before = past_k.as_ref().map_or(0, |p| p.length);
        let (q, k, v) = (part(0), part(1).after(past_k)?, part(2).after(past_v)?);
        let y =
            self.settings.attend(&q, &k, &v, inputs.optional(others.mask)?, inputs.optional(others.bias)?, before)?;
        if k.size != v.size {
            return Ok(smallvec![y.into()]);
        }
        let mut present = k.values.clone();
        present.extend_from_slice(&v.values);
        Ok(smallvec![y.into(), Tensor::new(&[2, batch, heads, k.length, k.size], present)?.into()])
    }
}

/// Where the inputs are that are not projected.
pub struct Others {
    pub mask: usize,
    pub past: usize,
    pub bias: usize,
}

/// Keys and values, where there are any.
type Stacked<T> = (Option<Heads<T>>, Option<Heads<T>>);

/// Keys and values of the positions before, stacked.
fn past<T: Real>(inputs: &Inputs<'_>, i: usize) -> Result<Stacked<T>, OpError> {
    let Some(past) = inputs.optional(i)? else { return Ok((None, None)) };
    let &[2, batch, heads, length, size] = past.shape() else { bad!("a past of {:?}", past.shape()) };
    let (k, v) = past.slice::<T>()?.split_at(past.len() / 2);
    let heads = |values: &[T]| Some(Heads { batch, heads, length, size, values: values.to_vec() });
    Ok((heads(k), heads(v)))
}

#[derive(Debug)]
struct MultiHead(Settings);

impl Kernel for MultiHead {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        by_float(inputs, |i| self.attend::<f32>(i), |i| self.attend::<f64>(i))
    }
}

impl MultiHead {
    fn attend<T: Real>(&self, inputs: &Inputs<'_>) -> Result<Values, OpError> {
        let [mut q, mut k, mut v] = self.heads::<T>(inputs)?;
        if let Some(bias) = inputs.optional(3)? {
            let bias = bias.slice::<T>()?;
            let (q_width, k_width) = (q.heads * q.size, k.heads * k.size);
            if bias.len() != q_width + k_width + v.heads * v.size {
                bad!("{} biases", bias.len());
            }
            q.add(&bias[..q_width]);
            k.add(&bias[q_width..q_width + k_width]);
            v.add(&bias[q_width + k_width..]);
        }
        let earlier = |i: usize| inputs.optional(i)?.map(|t| Heads::<T>::read(t, self.0.heads)).transpose();
        let past_k = earlier(6)?;
        let before = past_k.as_ref().map_or(0, |p| p.length);
        let (k, v) = (k.after(past_k)?, v.after(earlier(7)?)?);
        let y = self.0.attend(&q, &k, &v, inputs.optional(4)?, inputs.optional(5)?, before)?;
        Ok(smallvec![y.into(), Value::from(k.tensor()?), Value::from(v.tensor()?)])
    }

    /// Queries, keys and values, apart or packed.
    fn heads<T: Real>(&self, inputs: &Inputs<'_>) -> Result<[Heads<T>; 3], OpError> {
        let query = inputs.tensor(0)?;
        let packed = |t: &Tensor, parts: usize| -> Result<Vec<Heads<T>>, OpError> {
            let &[batch, length, heads, n, size] = t.shape() else { bad!("{} axes for packed heads", t.rank()) };
            if n != parts {
                bad!("{n} packed parts, expected {parts}");
            }
            let values = t.slice::<T>()?;
            let part = |p: usize| {
                let mut out = Vec::with_capacity(values.len() / parts);
                for b in 0..if values.is_empty() { 0 } else { batch } {
                    for h in 0..heads {
                        for l in 0..length {
                            let at = (((b * length + l) * heads + h) * parts + p) * size;
                            out.extend_from_slice(&values[at..at + size]);
                        }
                    }
                }
                Heads { batch, heads, length, size, values: out }
            };
            Ok((0..parts).map(part).collect())
        };
        let mut parts = match (inputs.optional(1)?, inputs.optional(2)?) {
            (None, _) => packed(query, 3)?,
            (Some(key), None) => {
                let mut all = vec![Heads::read(query, self.0.heads)?];
                all.extend(packed(key, 2)?);
                all
            }
            (Some(key), Some(value)) => {
                [query, key, value].into_iter().map(|t| Heads::read(t, self.0.heads)).collect::<Result<_, _>>()?
            }
        };
        match (parts.pop(), parts.pop(), parts.pop()) {
            (Some(v), Some(k), Some(q)) if q.heads == self.0.heads => Ok([q, k, v]),
            _ => bad!("the queries do not have {} heads", self.0.heads),
        }
    }
}

fn attention(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Attention::read(build)?))
}

fn multi_head(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    if build.has_output(3) {
        unsupported!("the scores as an output");
    }
    Ok(Box::new(MultiHead(Settings::read(build)?)))
}
