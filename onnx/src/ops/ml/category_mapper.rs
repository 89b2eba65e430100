//! CategoryMapper of `ai.onnx.ml`: texts to numbers, or numbers to texts, as the input is.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::ml::labels::admit_texts;
use crate::ops::ml::labels::longest;
use crate::ops::ml::lookup::Duplicates;
use crate::ops::ml::lookup::Lookup;
use crate::registry::ML;
use crate::registry::Operator;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("CategoryMapper", category_mapper).of(ML)];

#[derive(Debug)]
struct Mapper {
    by_text: Lookup,
    by_number: Lookup,
    texts: Vec<String>,
    numbers: Vec<i64>,
    default_text: String,
    default_number: i64,
    /// Bytes of the longest text.
    longest: usize,
}

impl Kernel for Mapper {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        admit_texts(x.len(), self.longest)?;
        let y = match x.elements() {
            Elements::Text(_) => {
                let number = |i: Option<usize>| i.map_or(self.default_number, |i| self.numbers[i]);
                Tensor::new(x.shape(), self.by_text.map(x.elements(), number)?)?
            }
            Elements::I64(_) => {
                let text = |i: Option<usize>| i.map_or(&self.default_text, |i| &self.texts[i]).clone();
                Tensor::new(x.shape(), self.by_number.map(x.elements(), text)?)?
            }
            other => bad!("expected string or int64, found {}", other.element_type()),
        };
        Ok(one(y))
    }

    fn parameters(&self) -> usize {
        self.texts.len() + self.numbers.len()
    }

    fn bytes(&self) -> usize {
        self.by_text.bytes() + self.by_number.bytes()
    }
}

fn category_mapper(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let texts = attributes.texts("cats_strings")?.ok_or_else(|| missing("cats_strings"))?;
    let numbers = attributes.ints("cats_int64s")?.ok_or_else(|| missing("cats_int64s"))?.to_vec();
    mapper(attributes, texts, numbers)
}

/// A kernel that maps either way, with the defaults of the attributes; LabelEncoder 1 is such a one, too.
///
/// # Errors
/// If there are not as many texts as numbers.
pub fn mapper(attributes: &Attributes, texts: Vec<String>, numbers: Vec<i64>) -> Result<Box<dyn Kernel>, OpError> {
    if texts.len() != numbers.len() {
        bad!("{} numbers for {} texts", numbers.len(), texts.len());
    }
    let default_text = attributes.text_or("default_string", "_Unused")?.to_string();
    Ok(Box::new(Mapper {
        longest: longest(&texts).max(default_text.len()),
        by_text: Lookup::texts(&texts, Duplicates::Last),
        by_number: Lookup::integers(&numbers, Duplicates::Last),
        texts,
        numbers,
        default_text,
        default_number: attributes.int_or("default_int64", -1)?,
    }))
}
