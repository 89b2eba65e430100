//! TfIdfVectorizer: how often n-grams of a pool stand in a row of texts or numbers, weighted.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::text::ngrams::NONE;
use crate::ops::text::ngrams::Ngrams;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::tensor::volume;
use crate::value::Keys;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("TfIdfVectorizer", tfidf_vectorizer)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The count.
    Tf,
    /// 1 if there is any.
    Idf,
    /// The count, weighted.
    TfIdf,
}

#[derive(Debug)]
struct TfIdfVectorizer {
    mode: Mode,
    lengths: (usize, usize),
    distance: usize,
    ngrams: Ngrams,
    columns: usize,
    /// One a column, or none at all.
    weights: Vec<f32>,
}

impl Kernel for TfIdfVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let (rows, width) = match x.shape() {
            [] => (1, 1),
            [width] => (1, *width),
            [rows, width] if *rows > 0 => (*rows, *width),
            shape => bad!("the shape {} is neither [n] nor [rows, n]", show(shape)),
        };
        let tokens = self.ngrams.tokens.map(x.elements(), |i| i.map_or(NONE, |i| i as u32))?;
        let shape = [rows, self.columns];
        let mut y = Tensor::zeros::<f32>(if x.rank() == 2 { &shape } else { &shape[1..] })?;
        for (r, out) in y.slice_mut::<f32>()?.chunks_exact_mut(self.columns).enumerate() {
            let row = &tokens[r * width..(r + 1) * width];
            self.ngrams.count(row, self.lengths, self.distance, |column| out[column] += 1.0);
            self.weigh(out);
        }
        Ok(one(y))
    }

    fn parameters(&self) -> usize {
        self.weights.len()
    }

    fn bytes(&self) -> usize {
        self.ngrams.bytes() + 4 * self.weights.len()
    }
}

impl TfIdfVectorizer {
    fn weigh(&self, out: &mut [f32]) {
        let weighted = !self.weights.is_empty();
        match self.mode {
            Mode::Idf if weighted => {
                out.iter_mut().zip(&self.weights).for_each(|(y, w)| *y = if *y > 0.0 { *w } else { 0.0 });
            }
            Mode::Idf => out.iter_mut().for_each(|y| *y = y.min(1.0)),
            Mode::TfIdf if weighted => out.iter_mut().zip(&self.weights).for_each(|(y, w)| *y *= w),
            Mode::Tf | Mode::TfIdf => {}
        }
    }
}

fn tfidf_vectorizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let mode = match attributes.text("mode")? {
        Some("TF") => Mode::Tf,
        Some("IDF") => Mode::Idf,
        Some("TFIDF") => Mode::TfIdf,
        _ => bad!("attribute `mode` must be TF, IDF or TFIDF"),
    };
    let size = |name: &str| match attributes.int(name)?.map(usize::try_from) {
        Some(Ok(size)) => Ok(size),
        _ => Err(OpError::bad(format!("attribute `{name}` is missing or negative"))),
    };
    let (min, max) = (size("min_gram_length")?, size("max_gram_length")?);
    let starts = attributes.ints("ngram_counts")?.ok_or_else(|| missing("ngram_counts"))?;
    if min == 0 || min > max || max > starts.len() {
        bad!("n-grams of {min} to {max} tokens with {} entries in `ngram_counts`", starts.len());
    }
    let columns = attributes.ints("ngram_indexes")?.ok_or_else(|| missing("ngram_indexes"))?;
    let Some(greatest) = columns.iter().max() else { bad!("attribute `ngram_indexes` is empty") };
    let columns = columns.iter().map(|i| u32::try_from(*i)).collect::<Result<Vec<_>, _>>();
    let columns =
        columns.map_err(|_| OpError::bad("attribute `ngram_indexes` has a column that is no small number"))?;
    let count = *greatest as usize + 1;
    volume(&[count], size_of::<f32>())?;
    let weights = attributes.floats("weights")?.unwrap_or_default().to_vec();
    if !weights.is_empty() && (weights.len() != columns.len() || weights.len() < count) {
        bad!("{} weights for {} n-grams and {count} columns", weights.len(), columns.len());
    }
    let pool = match (attributes.texts("pool_strings")?, attributes.ints("pool_int64s")?) {
        (Some(texts), _) if !texts.is_empty() => Keys::Texts(texts),
        (_, Some(numbers)) if !numbers.is_empty() => Keys::Integers(numbers.to_vec()),
        _ => bad!("one of the attributes `pool_strings` and `pool_int64s` is needed"),
    };
    let ngrams = Ngrams::new(&pool, starts, &columns, min..=max)?;
    let distance = size("max_skip_count")?.saturating_add(1);
    Ok(Box::new(TfIdfVectorizer { mode, lengths: (min, max), distance, ngrams, columns: count, weights }))
}
