//! Einsum: every equation, by sums along single axes and products of two operands at a time.

use half::f16;

use crate::bad;
use crate::dense;
use crate::dense::Start;
use crate::dense::batch::permuted;
use crate::dense::batch::strided;
use crate::dense::plain;
use crate::dense::plain::Number;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::dense::floats;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("Einsum", einsum).note("no bfloat16")];

/// A letter of the equation, or an axis under its dots, counted from the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Dots(std::cmp::Reverse<usize>),
    Letter(char),
}

/// A side of the equation as written; `None` stands for the dots.
type Term = Vec<Option<char>>;

#[derive(Debug)]
struct Einsum {
    operands: Vec<Term>,
    /// `None` if the equation has no arrow.
    result: Option<Term>,
}

fn einsum(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let equation = build.node.attributes.text("equation")?.ok_or_else(|| missing("equation"))?;
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let operands = left.split(',').map(term).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(Einsum { operands, result: right.map(term).transpose()? }))
}

fn term(text: &str) -> Result<Term, OpError> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut out = Term::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if out.contains(&None) {
                bad!("a term has dots twice");
            }
            out.push(None);
            rest = after;
        } else if c.is_ascii_alphabetic() {
            out.push(Some(c));
            rest = &rest[1..];
        } else {
            bad!("the equation holds the character `{c}`");
        }
    }
    Ok(out)
}

/// Labels of a term whose dots stand for `dots` axes.
fn labels(term: &Term, dots: usize) -> Vec<Label> {
    let each = |t: &Option<char>| match t {
        Some(c) => vec![Label::Letter(*c)],
        None => (0..dots).rev().map(|i| Label::Dots(std::cmp::Reverse(i))).collect(),
    };
    term.iter().flat_map(each).collect()
}

/// A tensor whose axes have names, each another one.
#[derive(Clone, Debug)]
struct Named<T> {
    values: Vec<T>,
    labels: Vec<Label>,
    shape: Vec<usize>,
}

impl Kernel for Einsum {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let tensors = (0..inputs.len()).map(|i| inputs.tensor(i)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = tensors.first().filter(|_| tensors.len() == self.operands.len()) else {
            bad!("{} operands for an equation of {}", tensors.len(), self.operands.len());
        };
        if tensors.iter().any(|t| t.element_type() != first.element_type()) {
            bad!("the operands differ in type");
        }
        let (shape, elements) = match first.elements() {
            Elements::F32(_) => self.typed::<f32>(&tensors, product_f32)?,
            Elements::F16(_) => {
                let wide = tensors.iter().map(|t| Tensor::new(t.shape(), floats(t)?.into_owned()));
                let wide = wide.collect::<Result<Vec<_>, OpError>>()?;
                let (shape, out) = self.typed::<f32>(&wide.iter().collect::<Vec<_>>(), product_f32)?;
                let out = f32::take(out).unwrap_or_default();
                (shape, Elements::F16(out.into_iter().map(f16::from_f32).collect()))
            }
            Elements::F64(_) => self.typed::<f64>(&tensors, plain::multiply)?,
            Elements::I32(_) => self.typed::<i32>(&tensors, plain::multiply)?,
            Elements::I64(_) => self.typed::<i64>(&tensors, plain::multiply)?,
            Elements::U32(_) => self.typed::<u32>(&tensors, plain::multiply)?,
            Elements::U64(_) => self.typed::<u64>(&tensors, plain::multiply)?,
            _ => bad!("{} has no sums of products", first.element_type()),
        };
        Ok(one(Tensor::from_elements(&shape, elements)?))
    }
}

fn product_f32(a: &[f32], b: &[f32], sizes: (usize, usize), out: &mut [f32]) {
    dense::multiply(a, b, sizes, out, Start::Zero, 1.0);
}

/// Adds `a x b` to an output of zeros; see [`plain::multiply`].
type Multiply<T> = fn(&[T], &[T], (usize, usize), &mut [T]);

impl Einsum {
    fn typed<T: Number + Element>(
        &self,
        tensors: &[&Tensor],
        multiply: Multiply<T>,
    ) -> Result<(Vec<usize>, Elements), OpError> {
        let mut dots = 0;
        let mut all = vec![];
        for (term, tensor) in self.operands.iter().zip(tensors) {
            let letters = term.iter().flatten().count();
            let own = tensor.rank().checked_sub(letters).filter(|n| *n == 0 || term.contains(&None));
            let Some(own) = own else { bad!("an operand has {} axes, its term {letters}", tensor.rank()) };
            dots = dots.max(own);
            all.push(labels(term, own));
        }
        let wanted = match &self.result {
            Some(term) => labels(term, dots),
            None => implied(&all),
        };
        let sizes = sizes(&all, tensors)?;
        if wanted.iter().enumerate().any(|(i, l)| wanted[..i].contains(l) || !sizes.iter().any(|(s, _)| s == l)) {
            bad!("the result names an axis twice, or one that no operand has");
        }
        let size = |label: &Label| sizes.iter().find(|(l, _)| l == label).map_or(1, |(_, n)| *n);
        volume(&wanted.iter().map(size).collect::<Vec<_>>(), size_of::<T>())?;
        let mut operands =
            all.iter().zip(tensors).map(|(l, t)| named::<T>(l, t, &size)).collect::<Result<Vec<_>, _>>()?;
        operands.reverse();
        let mut joined = operands.pop().ok_or_else(|| OpError::bad("no operands"))?;
        loop {
            let needed = |l: &Label| wanted.contains(l) || operands.iter().any(|o| o.labels.contains(l));
            joined = joined.keep(&needed)?;
            let Some(next) = operands.pop() else { break };
            let later = |l: &Label| wanted.contains(l) || operands.iter().any(|o| o.labels.contains(l));
            let next = next.keep(&|l: &Label| later(l) || joined.labels.contains(l))?;
            joined = join(&joined, &next, &later, multiply)?;
        }
        let order: Vec<usize> = wanted.iter().filter_map(|l| joined.labels.iter().position(|x| x == l)).collect();
        let (values, shape) = permuted(&joined.values, &joined.shape, &order);
        Ok((shape.to_vec(), T::wrap(values)))
    }
}

/// Without an arrow: the dots, then the letters that occur once, in alphabetical order.
fn implied(all: &[Vec<Label>]) -> Vec<Label> {
    let mut flat: Vec<Label> = all.iter().flatten().copied().collect();
    flat.sort();
    let count = |l: &Label| flat.iter().filter(|x| *x == l).count();
    let mut out: Vec<Label> = flat.iter().filter(|l| matches!(l, Label::Dots(_)) || count(l) == 1).copied().collect();
    out.dedup();
    out
}

/// The length of every label's axes; an axis of 1 fits any.
fn sizes(all: &[Vec<Label>], tensors: &[&Tensor]) -> Result<Vec<(Label, usize)>, OpError> {
    let mut sizes: Vec<(Label, usize)> = vec![];
    for (label, len) in all.iter().zip(tensors).flat_map(|(l, t)| l.iter().zip(t.shape())) {
        match sizes.iter_mut().find(|(l, _)| l == label) {
            None => sizes.push((*label, *len)),
            Some((_, known)) if *known == 1 => *known = *len,
            Some((_, known)) if *known != *len && *len != 1 => bad!("axes of one name are {known} and {len} long"),
            Some(_) => {}
        }
    }
    Ok(sizes)
}

/// The tensor with a label at each axis once: the diagonal where one is repeated, stretched where it is 1 long.
fn named<T: Number + Element>(
    labels: &[Label],
    tensor: &Tensor,
    size: &impl Fn(&Label) -> usize,
) -> Result<Named<T>, OpError> {
    let mut own: Vec<Label> = vec![];
    let (mut shape, mut strides) = (vec![], vec![]);
    let mut stride = tensor.len();
    for (label, len) in labels.iter().zip(tensor.shape()) {
        stride = stride.checked_div(*len).unwrap_or(0);
        let step = if *len == 1 { 0 } else { stride };
        match own.iter().position(|l| l == label) {
            Some(i) => strides[i] += step,
            None => {
                own.push(*label);
                shape.push(size(label));
                strides.push(step);
            }
        }
    }
    volume(&shape, size_of::<T>())?;
    let values = if shape.contains(&0) { vec![] } else { strided(tensor.slice::<T>()?, &shape, &strides) };
    Ok(Named { values, labels: own, shape })
}

impl<T: Number> Named<T> {
    /// Sums along the axes that nobody needs.
    fn keep(self, needed: &impl Fn(&Label) -> bool) -> Result<Named<T>, OpError> {
        let (kept, gone): (Vec<usize>, Vec<usize>) = (0..self.labels.len()).partition(|i| needed(&self.labels[*i]));
        if gone.is_empty() {
            return Ok(self);
        }
        let order: Vec<usize> = kept.iter().chain(&gone).copied().collect();
        let (values, shape) = permuted(&self.values, &self.shape, &order);
        let run = shape[kept.len()..].iter().fold(1usize, |n, d| n.saturating_mul(*d));
        let shape = shape[..kept.len()].to_vec();
        let len = volume(&shape, size_of::<T>())?;
        let sum = |run: &[T]| run.iter().fold(T::default(), |sum, x| sum.plus(*x, T::ONE));
        let values = match run {
            0 => vec![T::default(); len],
            run => values.chunks_exact(run).map(sum).collect(),
        };
        Ok(Named { values, labels: kept.into_iter().map(|i| self.labels[i]).collect(), shape })
    }

    /// The values with their axes in the order of three groups of labels.
    fn arranged(&self, groups: [&[Label]; 3]) -> Vec<T> {
        let place = |l: &Label| self.labels.iter().position(|x| x == l);
        let order: Vec<usize> = groups.into_iter().flatten().filter_map(place).collect();
        permuted(&self.values, &self.shape, &order).0
    }

    fn size(&self, labels: &[Label]) -> usize {
        let len = |l: &Label| self.labels.iter().position(|x| x == l).map_or(1, |i| self.shape[i]);
        labels.iter().map(len).fold(1, usize::saturating_mul)
    }
}

/// The product of two operands, summed along the axes that both have and nobody needs later.
fn join<T: Number>(
    a: &Named<T>,
    b: &Named<T>,
    later: &impl Fn(&Label) -> bool,
    multiply: Multiply<T>,
) -> Result<Named<T>, OpError> {
    let both = |l: &&Label| a.labels.contains(l) && b.labels.contains(l);
    let batch: Vec<Label> = a.labels.iter().filter(|l| both(l) && later(l)).copied().collect();
    let inner: Vec<Label> = a.labels.iter().filter(|l| both(l) && !later(l)).copied().collect();
    let rows: Vec<Label> = a.labels.iter().filter(|l| !both(l)).copied().collect();
    let cols: Vec<Label> = b.labels.iter().filter(|l| !both(l)).copied().collect();
    let labels: Vec<Label> = batch.iter().chain(&rows).chain(&cols).copied().collect();
    let len = |l: &Label| if a.labels.contains(l) { a.size(&[*l]) } else { b.size(&[*l]) };
    let shape: Vec<usize> = labels.iter().map(len).collect();
    let mut values = vec![T::default(); volume(&shape, size_of::<T>())?];
    let (m, k, n) = (a.size(&rows), a.size(&inner), b.size(&cols));
    let (left, right) = (a.arranged([&batch, &rows, &inner]), b.arranged([&batch, &inner, &cols]));
    if !values.is_empty() && k > 0 {
        for (i, out) in values.chunks_exact_mut(m * n).enumerate() {
            multiply(&left[i * m * k..(i + 1) * m * k], &right[i * k * n..(i + 1) * k * n], (k, n), out);
        }
    }
    Ok(Named { values, labels, shape })
}
