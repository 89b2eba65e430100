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
    /// The weight if there is any, else 0.
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
    /// Columns of the output.
    width: usize,
    /// Column of each n-gram.
    columns: Vec<u32>,
    /// What a hit of each n-gram counts.
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
        let shape = [rows, self.width];
        let mut y = Tensor::zeros::<f32>(if x.rank() == 2 { &shape } else { &shape[1..] })?;
        for (r, out) in y.slice_mut::<f32>()?.chunks_exact_mut(self.width).enumerate() {
            let row = &tokens[r * width..(r + 1) * width];
            self.ngrams.count(row, self.lengths, self.distance, |ngram| {
                let (place, weight) = (&mut out[self.columns[ngram] as usize], self.weights[ngram]);
                *place = if self.mode == Mode::Idf { weight } else { *place + weight };
            });
        }
        Ok(one(y))
    }

    fn parameters(&self) -> usize {
        self.weights.len()
    }

    fn bytes(&self) -> usize {
        self.ngrams.bytes() + 4 * (self.weights.len() + self.columns.len())
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
    let width = *greatest as usize + 1;
    volume(&[width], size_of::<f32>())?;
    let weights = match attributes.floats("weights")?.unwrap_or_default() {
        given if given.len() == columns.len() && mode != Mode::Tf => given.to_vec(),
        given if given.is_empty() || given.len() == columns.len() => vec![1.0; columns.len()],
        given => bad!("{} weights for {} n-grams", given.len(), columns.len()),
    };
    let pool = match (attributes.texts("pool_strings")?, attributes.ints("pool_int64s")?) {
        (Some(texts), _) if !texts.is_empty() => Keys::Texts(texts),
        (_, Some(numbers)) if !numbers.is_empty() => Keys::Integers(numbers.to_vec()),
        _ => bad!("one of the attributes `pool_strings` and `pool_int64s` is needed"),
    };
    let ngrams = Ngrams::new(&pool, starts, columns.len(), min..=max)?;
    let distance = size("max_skip_count")?.saturating_add(1);
    Ok(Box::new(TfIdfVectorizer { mode, lengths: (min, max), distance, ngrams, width, columns, weights }))
}
