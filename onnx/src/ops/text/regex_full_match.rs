//! RegexFullMatch: whether a text as a whole matches a pattern of RE2.

use crate::error::OpError;
use crate::graph::attributes::missing;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::text::pattern;
use crate::registry::Operator;
use crate::tensor::Tensor;
use crate::value::Values;
use crate::value::one;

pub const OPERATORS: &[Operator] = &[Operator::own("RegexFullMatch", regex_full_match)];

#[derive(Debug)]
struct RegexFullMatch(regex::Regex);

impl Kernel for RegexFullMatch {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let x = inputs.tensor(0)?;
        let matches = x.slice::<String>()?.iter().map(|text| self.0.is_match(text)).collect::<Vec<_>>();
        Ok(one(Tensor::new(x.shape(), matches)?))
    }
}

fn regex_full_match(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let given = build.node.attributes.text("pattern")?.ok_or_else(|| missing("pattern"))?;
    let whole = format!(r"\A(?:{})\z", pattern::translate(given)?);
    let regex = regex::Regex::new(&whole).map_err(|_| pattern::refused(given))?;
    Ok(Box::new(RegexFullMatch(regex)))
}
