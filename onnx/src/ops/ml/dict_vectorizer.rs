//! DictVectorizer of `ai.onnx.ml`: the values of a map in the order of a vocabulary, zero (or "") where there is none.

use crate::bad;
use crate::each_type;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::layout::admit;
use crate::ops::ml::labels;
use crate::ops::ml::lookup::Duplicates;
use crate::ops::ml::lookup::Lookup;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Element;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Keys;
use crate::value::Map;
use crate::value::Value;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] =
    &[Operator::own("DictVectorizer", dict_vectorizer).of(ML).note("a sequence of maps gives a row for each, too")];

#[derive(Debug)]
struct DictVectorizer {
    vocabulary: Lookup,
    /// The next place of the same word, if a word stands in the vocabulary more than once.
    again: Vec<Option<usize>>,
}

impl Kernel for DictVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.value(0)?;
        let y = match x {
            Value::Map(map) => self.maps(&[map])?,
            Value::Sequence(all) => {
                let maps: Option<Vec<&Map>> =
                    all.iter().map(|v| if let Value::Map(m) = v { Some(&**m) } else { None }).collect();
                match maps {
                    Some(maps) if !maps.is_empty() => self.maps(&maps)?,
                    _ => bad!("expected maps, found {}", x.kind()),
                }
            }
            Value::Table(table) => {
                let rows = table.values.shape().first().copied().unwrap_or(0);
                self.rows(&table.keys, table.values.elements(), rows)?
            }
            other => bad!("expected a map, found {}", other.kind()),
        };
        Ok(one(y))
    }

    fn bytes(&self) -> usize {
        self.vocabulary.bytes()
    }
}

impl DictVectorizer {
    fn maps(&self, maps: &[&Map]) -> Result<Tensor, OpError> {
        if let [map] = maps {
            return self.rows(&map.keys, map.values.elements(), 1);
        }
        let rows = maps.iter().map(|m| self.rows(&m.keys, m.values.elements(), 1)).collect::<Result<Vec<_>, _>>()?;
        let shape = [rows.len(), self.again.len()];
        volume(&shape, rows[0].element_type().size())?;
        let elements = each_type!(rows[0].elements(), first => joined(first, &rows)?);
        Tensor::from_elements(&shape, elements)
    }

    fn rows(&self, keys: &Keys, values: &Elements, rows: usize) -> Result<Tensor, OpError> {
        let places: Vec<Option<usize>> = match keys {
            Keys::Texts(v) => v.iter().map(|k| self.vocabulary.text(k)).collect(),
            Keys::Integers(v) => v.iter().map(|k| self.vocabulary.integer(*k)).collect(),
        };
        if Some(values.len()) != places.len().checked_mul(rows) {
            bad!("{} values for {} keys", values.len(), places.len());
        }
        let shape = [rows, self.again.len()];
        admit(values, &shape)?;
        Tensor::from_elements(&shape, each_type!(values, v => self.scatter(v, &places, rows)))
    }

    fn scatter<T: Element>(&self, values: &[T], places: &[Option<usize>], rows: usize) -> Elements {
        let width = self.again.len();
        let mut out = vec![T::default(); rows * width];
        for (r, out) in out.chunks_exact_mut(width).enumerate() {
            for (value, place) in values[r * places.len()..].iter().zip(places) {
                let mut next = *place;
                while let Some(at) = next {
                    out[at] = value.clone();
                    next = self.again[at];
                }
            }
        }
        T::wrap(out)
    }
}

fn joined<T: Element>(_: &[T], rows: &[Tensor]) -> Result<Elements, OpError> {
    let mut all = vec![];
    for row in rows {
        all.extend_from_slice(row.slice::<T>()?);
    }
    Ok(T::wrap(all))
}

fn dict_vectorizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let words = labels::some(&build.node.attributes, "int64_vocabulary", "string_vocabulary")?;
    let vocabulary = match &words {
        Keys::Texts(v) => Lookup::texts(v, Duplicates::First),
        Keys::Integers(v) => Lookup::integers(v, Duplicates::First),
    };
    let find = |i: usize| match &words {
        Keys::Texts(v) => vocabulary.text(&v[i]),
        Keys::Integers(v) => vocabulary.integer(v[i]),
    };
    // the chain of equal words starts at the first and is followed once each
    let mut last: Vec<usize> = (0..words.len()).collect();
    let mut again = vec![None; words.len()];
    for i in 0..words.len() {
        let Some(first) = find(i).filter(|first| *first < i) else { continue };
        again[last[first]] = Some(i);
        last[first] = i;
    }
    Ok(Box::new(DictVectorizer { vocabulary, again }))
}
