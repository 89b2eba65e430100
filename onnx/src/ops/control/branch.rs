//! If: one of two subgraphs.

use crate::error::OpError;
use crate::kernel::Build;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::ops::control::body::Body;
use crate::ops::control::body::flag;
use crate::program::State;
use crate::registry::Operator;
use crate::value::Values;

pub const OPERATORS: &[Operator] = &[Operator::own("If", if_)];

#[derive(Debug)]
struct If {
    then: Branch,
    otherwise: Branch,
    captures: Vec<String>,
}

#[derive(Debug)]
struct Branch {
    body: Body,
    /// Where its captures stand among all.
    places: Vec<usize>,
}

impl Kernel for If {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let branch = if flag(inputs.value(0)?)? { &self.then } else { &self.otherwise };
        let first = inputs.len() - self.captures.len();
        let values = branch.places.iter().map(|i| inputs.take_value(first + i)).collect();
        Ok(branch.body.run(&mut State::default(), values)?.into())
    }

    fn captures(&self) -> &[String] {
        &self.captures
    }

    fn parameters(&self) -> usize {
        self.then.body.parameters() + self.otherwise.body.parameters()
    }

    fn bytes(&self) -> usize {
        self.then.body.bytes() + self.otherwise.body.bytes()
    }

    fn is_pure(&self) -> bool {
        self.then.body.is_pure() && self.otherwise.body.is_pure()
    }
}

fn if_(build: &Build<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let mut captures: Vec<String> = vec![];
    let mut branch = |attribute: &str| {
        let body = Body::new(build, attribute)?;
        if body.inputs > 0 || body.outputs < build.node.outputs.len() {
            return Err(OpError::bad(format!("the inputs or outputs of `{attribute}` do not fit")));
        }
        let place = |name: &String| {
            captures.iter().position(|c| c == name).unwrap_or_else(|| {
                captures.push(name.clone());
                captures.len() - 1
            })
        };
        let places = body.captures().iter().map(place).collect();
        Ok(Branch { body, places })
    };
    let (then, otherwise) = (branch("then_branch")?, branch("else_branch")?);
    Ok(Box::new(If { then, otherwise, captures }))
}
