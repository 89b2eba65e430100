//! What can be said of a model file without running anything of the user's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::error::LoadError;
use crate::graph::Graph;
use crate::graph::convert;
use crate::graph::convert::Model;
use crate::registry;
use crate::registry::By;
use crate::segment::plan::knows;
use crate::session::Options;
use crate::session::Session;
use crate::session::sample;

/// See the module; serialises as the `--json` form.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub producer: String,
    pub ir_version: i64,
    /// Operator sets by domain, "ai.onnx" for the default one.
    pub opsets: BTreeMap<String, i64>,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    pub operators: Vec<Operator>,
    /// Numbers that training chose.
    pub parameters: usize,
    pub engine: String,
    /// How rows are fed.
    pub feeding: String,
    /// Memory of weights and plans, shared by all threads, in bytes.
    pub model_bytes: usize,
    /// Memory that one row takes on its way, in bytes; `None` if no row could be tried.
    pub row_bytes: Option<usize>,
    /// Operators that nobody runs here.
    pub missing: Vec<String>,
    /// Why the model does not load; `None` if it does.
    pub error: Option<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Input {
    pub name: String,
    pub r#type: String,
    /// Shape of one row's value.
    pub row_shape: Option<Vec<String>>,
    /// Which axis of the graph's tensor is the rows.
    pub batch_axis: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Output {
    pub name: String,
    pub r#type: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Operator {
    pub name: String,
    pub count: usize,
    /// "own", "tract" or "missing".
    pub by: &'static str,
    /// What is not done of it.
    pub note: &'static str,
}

/// Reads a file and tries to load it; a model that cannot be loaded is described all the same.
///
/// # Errors
/// If the file cannot be read at all.
pub fn inspect(path: &Path, options: &Options) -> Result<Report, LoadError> {
    let model = convert::read_file(path)?;
    let mut report = describe(&model);
    report.engine = options.engine.to_string();
    match Session::load(&model, None, options) {
        Ok(session) => loaded(&mut report, &Arc::new(session)),
        Err(error) => report.error = Some(error.to_string()),
    }
    Ok(report)
}

fn describe(model: &Model) -> Report {
    let mut operators = BTreeMap::new();
    count(&model.graph, &mut operators);
    let operators: Vec<Operator> = operators.into_values().collect();
    let (inputs, feeding) = crate::session::rows::ports(&model.graph.inputs);
    let name = |domain: &String| if domain.is_empty() { "ai.onnx".to_string() } else { domain.clone() };
    Report {
        producer: model.producer.clone(),
        ir_version: model.ir_version,
        opsets: model.opsets.iter().map(|(d, v)| (name(d), *v)).collect(),
        inputs: inputs
            .iter()
            .map(|p| Input {
                name: p.name.clone(),
                r#type: p.kind.to_string(),
                row_shape: p.shape.as_ref().map(|s| s.iter().map(ToString::to_string).collect()),
                batch_axis: p.axis,
            })
            .collect(),
        outputs: model
            .graph
            .outputs
            .iter()
            .map(|p| Output { name: p.name.clone(), r#type: p.kind.to_string() })
            .collect(),
        missing: operators.iter().filter(|o| o.by == "missing").map(|o| o.name.clone()).collect(),
        operators,
        parameters: convert::constant_elements(&model.graph.constants),
        engine: String::new(),
        feeding: feeding.to_string(),
        model_bytes: 0,
        row_bytes: None,
        error: None,
        notes: vec![],
    }
}

fn loaded(report: &mut Report, session: &Arc<Session>) {
    // one row and then two, as the first real ones would
    for rows in [1, 2] {
        let made = sample::rows(&session.inputs, rows, 1);
        if let (Ok(made), Ok(mut worker)) = (made, session.worker())
            && worker.run(rows, made).is_ok()
        {
            report.row_bytes = session.row_bytes();
        }
    }
    report.parameters = report.parameters.max(session.engine().parameters());
    report.model_bytes = session.engine().bytes();
    report.feeding = session.feeding().to_string();
    report.notes = session.engine().notes();
}

fn count(graph: &Graph, operators: &mut BTreeMap<String, Operator>) {
    for node in &graph.nodes {
        let name = node.operator();
        let found = registry::find(&node.domain, &node.op_type);
        let of_tract = node.domain.is_empty() && knows(&node.op_type);
        let by = match found.map(|o| (o.by, o.build.is_some())) {
            Some((By::Tract, _)) => "tract",
            Some((By::TractThenOwn, _)) if of_tract => "tract",
            Some((_, true)) => "own",
            _ => "missing",
        };
        let note = found.map_or("", |o| o.note);
        operators.entry(name.clone()).or_insert(Operator { name, count: 0, by, note }).count += 1;
        node.attributes.graphs().for_each(|g| count(g, operators));
    }
}
