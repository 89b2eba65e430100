//! What there is to say of a loaded model: for `check`, for the log, for whoever plans memory.

use std::collections::BTreeMap;

use tidemill_onnx::session::Feeding;
use tidemill_onnx::session::Session;

use crate::adapters::models::manifest::GoldenSource;

/// See the module. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    pub name: String,
    pub version: String,
    pub digest: String,
    pub engine: String,
    /// Inputs of the graph with their types and shapes.
    pub inputs: Vec<String>,
    /// Values of a row, of all inputs.
    pub features: usize,
    /// Columns with their kinds.
    pub outputs: Vec<String>,
    /// Operators of the graph with how often they occur.
    pub operators: BTreeMap<String, usize>,
    /// Numbers that training chose.
    pub parameters: usize,
    /// Size of `model.onnx` and of the files that its weights lie in.
    pub file_bytes: u64,
    /// Memory of weights and plans, shared by all threads.
    pub session_bytes: usize,
    /// Memory of each thread, without its rows.
    pub runner_bytes: usize,
    /// Memory of one record before and behind the graph: its fields and inputs.
    pub record_bytes: usize,
    /// Memory of one row on its way through the graph.
    pub row_bytes: usize,
    /// How rows are fed, as far as it is known yet.
    pub feeding: String,
    /// Rows in the graph at once, where that is not all of them.
    pub rows_at_once: Option<usize>,
    /// Who computed the golden records.
    pub golden: GoldenSource,
    /// What else is worth saying.
    pub notes: Vec<String>,
}

impl Summary {
    /// Memory that the model takes with `threads` threads and batches of at most `rows` records.
    pub fn memory(&self, threads: usize, rows: usize) -> usize {
        let in_graph = self.rows_at_once.unwrap_or(rows).saturating_mul(self.row_bytes);
        let thread = rows.saturating_mul(self.record_bytes).saturating_add(in_graph).saturating_add(self.runner_bytes);
        self.session_bytes.saturating_add(thread.saturating_mul(threads))
    }

    /// Operators by how often they occur, for one line of text.
    pub fn operators(&self) -> String {
        let show = |(name, count): (&String, &usize)| {
            if *count == 1 { name.clone() } else { format!("{name} x {count}") }
        };
        self.operators.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}

/// How rows are fed, as far as trials have shown it.
pub fn feeding(session: &Session) -> String {
    match session.piece() {
        Some(1) if session.feeding() == Feeding::Any => "row by row: faster than several at once".into(),
        Some(n) if session.feeding() == Feeding::Any => format!("pieces of {n}: faster than more at once"),
        _ => session.feeding().to_string(),
    }
}

/// Rows in the graph at once, where that is not all of them.
pub fn rows_at_once(session: &Session) -> Option<usize> {
    match session.feeding() {
        Feeding::Any => session.piece(),
        Feeding::Fixed(n) => Some(n),
        Feeding::Single(_) => Some(1),
    }
}
