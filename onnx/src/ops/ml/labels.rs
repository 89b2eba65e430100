//! Class labels, whole numbers or texts.

use crate::bad;
use crate::error::OpError;
use crate::graph::attributes::Attributes;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::value::Keys;

/// Reads the labels that one of two attributes holds; texts win if both do.
///
/// # Errors
/// If an attribute is of another type.
pub fn read(attributes: &Attributes, integers: &str, texts: &str) -> Result<Keys, OpError> {
    match attributes.texts(texts)? {
        Some(labels) if !labels.is_empty() => Ok(Keys::Texts(labels)),
        _ => Ok(Keys::Integers(attributes.ints(integers)?.unwrap_or_default().to_vec())),
    }
}

/// As [`read`], where no labels at all make no sense.
///
/// # Errors
/// As [`read`], or if there are none.
pub fn some(attributes: &Attributes, integers: &str, texts: &str) -> Result<Keys, OpError> {
    let labels = read(attributes, integers, texts)?;
    if labels.is_empty() {
        bad!("one of the attributes `{integers}` and `{texts}` is needed");
    }
    Ok(labels)
}

/// The two labels of a binary model: negative, positive. Without exactly two names they are 0 and 1.
pub fn pair(labels: Keys) -> Keys {
    match labels {
        Keys::Texts(v) if v.len() != 2 => Keys::Texts(vec!["0".into(), "1".into()]),
        Keys::Integers(v) if v.len() != 2 => Keys::Integers(vec![0, 1]),
        labels => labels,
    }
}

/// The labels at `chosen`, one for each of the rows; every index must be less than the number of labels.
///
/// # Errors
/// If the tensor would be too large.
pub fn tensor(labels: &Keys, rows: usize, chosen: impl Iterator<Item = usize>) -> Result<Tensor, OpError> {
    match labels {
        Keys::Integers(v) => {
            volume(&[rows], size_of::<i64>())?;
            Tensor::new(&[rows], chosen.map(|i| v[i]).collect::<Vec<_>>())
        }
        Keys::Texts(v) => {
            admit_texts(rows, longest(v))?;
            Tensor::new(&[rows], chosen.map(|i| v[i].clone()).collect::<Vec<_>>())
        }
    }
}

/// Bytes of the longest text.
pub fn longest(texts: &[String]) -> usize {
    texts.iter().map(String::len).max().unwrap_or(0)
}

/// Whether so many texts of at most so many bytes may be made.
///
/// # Errors
/// If they are too large.
pub fn admit_texts(count: usize, longest: usize) -> Result<(), OpError> {
    volume(&[count, longest.max(size_of::<String>())], 1).map(drop)
}

/// Position of the first greatest score; a NaN is never greater, and nothing is greater than a NaN in front.
pub fn argmax(scores: &[f32]) -> usize {
    let (mut at, mut max) = (0, f32::NAN);
    for (i, score) in scores.iter().enumerate() {
        if i == 0 || *score > max {
            (at, max) = (i, *score);
        }
    }
    at
}
