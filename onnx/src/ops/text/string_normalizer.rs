//! StringNormalizer: stop words go, and letters become upper or lower case.

use std::collections::HashSet;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::tensor::show;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] =
    &[Operator::own("StringNormalizer", string_normalizer).note("case by Unicode, whatever the locale")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Keep,
    Lower,
    Upper,
}

#[derive(Debug)]
struct StringNormalizer {
    case: Case,
    /// Stop words are found in any case; they are in lower case then.
    any_case: bool,
    stop_words: HashSet<String>,
}

impl Kernel for StringNormalizer {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.take(0)?;
        let row = match x.shape() {
            [n] if *n > 0 => false,
            [1, n] if *n > 0 => true,
            shape => bad!("the shape {} is neither [n] nor [1, n]", show(shape)),
        };
        let mut texts = x.into_vec::<String>()?;
        if !self.stop_words.is_empty() {
            texts.retain(|text| {
                let stop = if self.any_case {
                    self.stop_words.contains(&with_case(text, Case::Lower))
                } else {
                    self.stop_words.contains(text)
                };
                !stop
            });
        }
        if self.case != Case::Keep {
            texts.iter_mut().for_each(|text| *text = with_case(text, self.case));
        }
        if texts.is_empty() {
            texts.push(String::new());
        }
        let n = texts.len();
        Ok(one(if row { Tensor::new(&[1, n], texts)? } else { Tensor::vector(texts) }))
    }
}

/// Letter by letter, as C does it: a letter becomes one letter or stays.
fn with_case(text: &str, case: Case) -> String {
    match case {
        Case::Keep => text.into(),
        Case::Lower => text.chars().map(lower).collect(),
        Case::Upper => text.chars().map(upper).collect(),
    }
}

fn lower(c: char) -> char {
    let mut all = c.to_lowercase();
    match (all.next(), all.next()) {
        (Some(one), None) => one,
        // capital I with a dot, the only one: its simple mapping is a plain i
        _ => 'i',
    }
}

fn upper(c: char) -> char {
    let mut all = c.to_uppercase();
    if let (Some(one), None) = (all.next(), all.next()) {
        return one;
    }
    // Greek letters with a subscript iota have a simple mapping beside the full one; the others have none
    let simple = match u32::from(c) {
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => code + 8,
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => code + 9,
        code => code,
    };
    char::from_u32(simple).unwrap_or(c)
}

fn string_normalizer(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let case = match attributes.text_or("case_change_action", "NONE")? {
        "NONE" => Case::Keep,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        _ => bad!("attribute `case_change_action` must be NONE, LOWER or UPPER"),
    };
    let any_case = !attributes.flag("is_case_sensitive", false)?;
    let words = attributes.texts("stopwords")?.unwrap_or_default();
    let stop_words = if any_case {
        words.iter().map(|word| with_case(word, Case::Lower)).collect()
    } else {
        words.into_iter().collect()
    };
    Ok(Box::new(StringNormalizer { case, any_case, stop_words }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_changes_letter_by_letter() {
        for (text, low, up) in [("Straße É", "straße é", "STRAßE É"), ("İı", "iı", "İI"), ("ᾳŉ", "ᾳŉ", "ᾼŉ")]
        {
            assert_eq!(with_case(text, Case::Lower), low);
            assert_eq!(with_case(text, Case::Upper), up);
        }
    }
}
