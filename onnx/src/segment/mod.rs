//! A run of nodes that tract computes as a whole, so that it can fuse and order them.
//!
//! Plans are made for the shapes that come. When shapes differ in one length only, that length is left open, and one
//! plan serves all batches. Where this crate has kernels for all nodes too, the first results of both are compared, and
//! the faster right one is kept.

pub mod plan;

use std::sync::RwLock;
use std::time::Duration;
use std::time::Instant;

use crate::error::OpError;
use crate::error::RunError;
use crate::kernel::Inputs;
use crate::kernel::Kernel;
use crate::program::Program;
use crate::program::State;
use crate::segment::plan::Key;
use crate::segment::plan::Nodes;
use crate::segment::plan::Open;
use crate::segment::plan::Plan;
use crate::session::probe::close;
use crate::session::probe::within;
use crate::session::sample;
use crate::tensor::Elements;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::value::Value;
use crate::value::Values;

/// Plans for single shapes that are kept at once.
const PLANS: usize = 8;
/// tract is given up when it is this much slower than this crate's kernels.
const SLOWER: f64 = 1.1;
/// Numbers from here on may become infinities within a few layers.
const LARGE: f32 = 1e12;
/// Results for made-up floats may differ so far.
const ROUGH: f64 = 1e-3;

/// See the module.
pub struct Segment {
    nodes: Nodes,
    /// The same by this crate's kernels, where there are some for all nodes.
    own: Option<Program>,
    plans: RwLock<Plans>,
}

#[derive(Debug, Default)]
struct Plans {
    /// For any length of the open axes.
    open: Option<(Key, Open, Plan)>,
    /// An open plan was tried for this pattern and refused.
    closed: Option<Open>,
    fixed: Vec<(Key, Plan)>,
    /// Why tract is not used any more; only with kernels of this crate.
    given_up: Option<String>,
}

impl Segment {
    pub fn new(nodes: Nodes, own: Option<Program>) -> Segment {
        Segment { nodes, own, plans: RwLock::default() }
    }

    fn run_own(own: &Program, inputs: &[Value]) -> Result<Values, OpError> {
        let made = own.run(&mut State::default(), inputs.to_vec());
        made.map(Values::from_vec).map_err(|e| match e {
            RunError::Node { operator, node, source } => {
                let text = format!("operator {operator} of node `{node}`: {source}");
                match source {
                    OpError::Unsupported(_) => OpError::Unsupported(text),
                    OpError::TooLarge(_) => OpError::TooLarge(text),
                    OpError::Bad(_) => OpError::Bad(text),
                }
            }
            other => OpError::bad(other.to_string()),
        })
    }

    fn find(&self, key: &Key) -> Option<Plan> {
        let plans = self.plans.read().unwrap_or_else(|e| e.into_inner());
        if let Some((_, plan)) = plans.fixed.iter().find(|(k, _)| k == key) {
            return Some(plan.clone());
        }
        let (pattern, open, plan) = plans.open.as_ref()?;
        (open_axes(pattern, key)? == *open || pattern == key).then(|| plan.clone())
    }

    /// Makes a plan for shapes that come for the first time, and compares it with this crate's kernels.
    ///
    /// This crate's kernels go first, where there are some: they refuse what asks for absurd amounts of memory, and tract
    /// might not.
    fn learn(&self, key: &Key, inputs: &[Value]) -> Result<Values, OpError> {
        let expected = match self.own.as_ref().map(|own| Segment::run_own(own, inputs)) {
            Some(Ok(values)) => Some(values),
            Some(Err(OpError::Unsupported(_))) | None => None,
            Some(Err(refused)) => return Err(refused),
        };
        let mut plans = self.plans.write().unwrap_or_else(|e| e.into_inner());
        let open = plans.fixed.iter().find_map(|(k, _)| open_axes(k, key)).filter(|o| plans.closed.as_ref() != Some(o));
        let mut made: Option<Result<Values, OpError>> = None;
        if let Some(open) = open {
            match Plan::build(&self.nodes, key, &open)
                .and_then(|plan| Ok((self.checked(&plan, inputs, expected.as_ref())?, plan)))
            {
                Ok((values, plan)) => {
                    plans.open = Some((key.clone(), open, plan));
                    plans.fixed.clear();
                    made = Some(Ok(values));
                }
                Err(_) => plans.closed = Some(open),
            }
        }
        let made = made.unwrap_or_else(|| {
            let plan = Plan::build(&self.nodes, key, &vec![])?;
            let values = self.checked(&plan, inputs, expected.as_ref())?;
            if plans.fixed.len() >= PLANS {
                plans.fixed.remove(0);
            }
            plans.fixed.push((key.clone(), plan));
            Ok(values)
        });
        match (made, expected) {
            (Ok(values), _) => Ok(values),
            (Err(why), Some(values)) => {
                *plans = Plans { given_up: Some(why.to_string()), ..Plans::default() };
                Ok(values)
            }
            (Err(why), None) => Err(why),
        }
    }

    /// Whether a plan agrees with this crate's kernels on made-up floats too: the first rows may be zeros, which hide much.
    /// Roundings may differ, as such floats may be larger than what the graph is made for.
    fn is_right(plan: &Plan, own: &Program, inputs: &[Value]) -> Result<bool, OpError> {
        let inputs = sample::like(inputs)?;
        match Segment::run_own(own, &inputs) {
            Ok(expected) if expected.iter().all(ordinary) => {
                Ok(plan.run(&inputs).is_ok_and(|values| same(&expected, &values, |a, b| within(ROUGH, a, b))))
            }
            _ => Ok(true),
        }
    }

    /// Runs a new plan; an error if this crate's kernels say otherwise or are faster.
    fn checked(&self, plan: &Plan, inputs: &[Value], expected: Option<&Values>) -> Result<Values, OpError> {
        let values = plan.run(inputs)?;
        let (Some(own), Some(expected)) = (&self.own, expected) else { return Ok(values) };
        if !same(expected, &values, close) || !Segment::is_right(plan, own, inputs)? {
            return Err(OpError::bad("tract's result differs"));
        }
        let of_tract = best(|| plan.run(inputs));
        let of_own = best(|| Segment::run_own(own, inputs));
        if of_tract.as_secs_f64() > of_own.as_secs_f64() * SLOWER {
            return Err(OpError::bad("tract is slower"));
        }
        Ok(values)
    }
}

fn same(expected: &Values, values: &Values, close: impl Fn(&Tensor, &Tensor) -> bool) -> bool {
    expected.len() == values.len()
        && expected.iter().zip(values).all(|(a, b)| match (a.tensor(), b.tensor()) {
            (Some(a), Some(b)) => close(a, b),
            _ => a == b,
        })
}

/// Whether tract can be trusted with a value: its sigmoid and tanh make plausible numbers of NaN, which comes with the
/// input or of infinities that meet inside.
fn ordinary(value: &Value) -> bool {
    let Some(tensor) = value.tensor() else { return true };
    match tensor.elements() {
        Elements::F32(v) => v.iter().fold(true, |all, x| all & (x.abs() < LARGE)),
        Elements::F64(v) => v.iter().fold(true, |all, x| all & (x.abs() < f64::from(LARGE))),
        Elements::F16(v) => v.iter().all(|x| x.is_finite()),
        _ => true,
    }
}

/// The better of two runs.
fn best(mut run: impl FnMut() -> Result<Values, OpError>) -> Duration {
    let once = |run: &mut dyn FnMut() -> Result<Values, OpError>| {
        let start = Instant::now();
        let _ = run();
        start.elapsed()
    };
    once(&mut run).min(once(&mut run))
}

/// Axes in which two keys differ, if all of them went from one common length to another.
fn open_axes(a: &Key, b: &Key) -> Option<Open> {
    let mut open = vec![];
    let mut lengths = None;
    if a.len() != b.len() {
        return None;
    }
    for (i, ((ta, sa), (tb, sb))) in a.iter().zip(b).enumerate() {
        if ta != tb || sa.len() != sb.len() {
            return None;
        }
        for (axis, (na, nb)) in sa.iter().zip(sb).enumerate() {
            if na != nb {
                if *lengths.get_or_insert((*na, *nb)) != (*na, *nb) {
                    return None;
                }
                open.push((i, axis));
            }
        }
    }
    (!open.is_empty()).then_some(open)
}

impl Kernel for Segment {
    fn run(&self, inputs: &mut Inputs<'_>) -> Result<Values, OpError> {
        let mut key = Key::new();
        for value in inputs.0.iter() {
            match value.tensor() {
                Some(t) => key.push((t.element_type(), Shape::from_slice(t.shape()))),
                None => {
                    let own = self.own.as_ref().ok_or_else(|| OpError::bad("tract takes tensors only"))?;
                    return Segment::run_own(own, inputs.0);
                }
            }
        }
        let given_up = self.plans.read().unwrap_or_else(|e| e.into_inner()).given_up.is_some();
        if let (true, Some(own)) = (given_up, &self.own) {
            return Segment::run_own(own, inputs.0);
        }
        if let (Some(own), false) = (&self.own, inputs.0.iter().all(ordinary)) {
            match Segment::run_own(own, inputs.0) {
                Err(OpError::Unsupported(_)) => {}
                made => return made,
            }
        }
        match self.find(&key) {
            Some(plan) => plan.run(inputs.0),
            None => self.learn(&key, inputs.0),
        }
    }

    fn parameters(&self) -> usize {
        self.nodes.constants.iter().map(|(_, t)| t.len()).sum()
    }

    fn bytes(&self) -> usize {
        let plans = self.plans.read().unwrap_or_else(|e| e.into_inner());
        let constants: usize = self.nodes.constants.iter().map(|(_, t)| t.bytes()).sum();
        let planned: usize =
            plans.fixed.iter().map(|(_, p)| p).chain(plans.open.iter().map(|(.., p)| p)).map(Plan::bytes).sum();
        constants + planned
    }

    fn notes(&self) -> Vec<String> {
        let plans = self.plans.read().unwrap_or_else(|e| e.into_inner());
        let operators: std::collections::BTreeSet<&str> = self.nodes.nodes.iter().map(|n| n.op_type.as_str()).collect();
        let names: Vec<&str> = operators.into_iter().collect();
        let how = match (&plans.given_up, &plans.open, plans.fixed.len()) {
            (Some(why), ..) => format!("own kernels, since {why}"),
            (None, Some(_), _) => "tract, one plan for all batches".into(),
            (None, None, n) => format!("tract, {n} plans for single shapes"),
        };
        vec![format!("{} nodes ({}): {how}", self.nodes.nodes.len(), names.join(", "))]
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("nodes", &self.nodes.nodes.len()).finish_non_exhaustive()
    }
}
