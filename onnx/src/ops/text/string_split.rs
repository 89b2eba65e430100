//! StringSplit: texts cut at a delimiter, filled up with empty ones.

use smallvec::smallvec;

use crate::bad;
use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::registry::Operator;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("StringSplit", string_split)];

#[derive(Debug)]
struct StringSplit {
    /// Empty: runs of blanks.
    delimiter: String,
    /// How often a text is cut at most.
    cuts: usize,
}

impl Kernel for StringSplit {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let parts: Vec<Vec<&str>> = x.slice::<String>()?.iter().map(|text| self.split(text)).collect();
        let width = parts.iter().map(Vec::len).max().unwrap_or(0);
        let mut shape = Shape::from_slice(x.shape());
        shape.push(width);
        let mut y = Tensor::zeros::<String>(&shape)?;
        for (to, from) in y.slice_mut::<String>()?.chunks_exact_mut(width.max(1)).zip(&parts) {
            to.iter_mut().zip(from).for_each(|(to, from)| to.push_str(from));
        }
        let counts = parts.iter().map(|parts| parts.len() as i64).collect::<Vec<_>>();
        Ok(smallvec![y.into(), Tensor::new(x.shape(), counts)?.into()])
    }
}

impl StringSplit {
    fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        if text.is_empty() {
            return vec![];
        }
        let most = self.cuts.saturating_add(1);
        if !self.delimiter.is_empty() {
            return text.splitn(most, &self.delimiter).collect();
        }
        let mut parts = vec![];
        let mut rest = text.trim_matches(' ');
        while !rest.is_empty() {
            let cut = if parts.len() + 1 == most { None } else { rest.find(' ') };
            let (part, behind) = rest.split_at(cut.unwrap_or(rest.len()));
            parts.push(part);
            rest = behind.trim_start_matches(' ');
        }
        parts
    }
}

fn string_split(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let attributes = &build.node.attributes;
    let cuts = attributes.int_or("maxsplit", i64::MAX)?;
    let Ok(cuts) = usize::try_from(cuts) else { bad!("attribute `maxsplit` is {cuts}") };
    Ok(Box::new(StringSplit { delimiter: attributes.text_or("delimiter", "")?.into(), cuts }))
}
