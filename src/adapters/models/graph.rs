//! Reads `model.onnx`, refuses what cannot run with the operator, the node and a way out, and types the graph.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use tract_onnx::pb::GraphProto;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use crate::adapters::models::ops;

/// Why a graph cannot be used. The file is named by the caller.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("not an ONNX file, or truncated: {0}; export the model again")]
    NotOnnx(String),
    #[error("operator {operator} of node `{node}` is not supported: {way_out}")]
    Unsupported { operator: String, node: String, way_out: &'static str },
    #[error("the graph's {what}: {way_out}")]
    Shape { what: String, way_out: &'static str },
    #[error("the graph has no output `{name}`; it has {known}")]
    NoOutput { name: String, known: String },
    #[error("the graph cannot be loaded: {0}; export it again, with an opset of 9 to 18")]
    Load(String),
}

/// A typed graph over a symbolic number of rows, with the outputs that were asked for.
pub struct Graph {
    pub typed: TypedModel,
    pub batch: Symbol,
    pub input: String,
    /// Distinct operators with how often they occur, such as `ai.onnx.ml:Scaler`.
    pub operators: BTreeMap<String, usize>,
    pub parameters: usize,
}

/// Longest text taken over from tract: it prints whole nodes.
const TEXT_MAX: usize = 600;

/// Shortens a message of tract and joins its lines.
pub fn brief(error: impl std::fmt::Display) -> String {
    let text: String = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// Runs something of tract's that may panic on a hostile file.
pub fn guarded<T>(what: impl FnOnce() -> Result<T, GraphError>) -> Result<T, GraphError> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(GraphError::Load(format!("the reader gave up: {}", brief(text.unwrap_or("no reason given")))))
    })
}

/// Reads a graph for rows of `width` features and keeps `outputs`, in that order.
///
/// # Errors
/// See [`GraphError`].
pub fn read(bytes: &[u8], input: Option<&str>, width: usize, outputs: &[&str]) -> Result<Graph, GraphError> {
    guarded(|| {
        let mut onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
        ops::register(&mut onnx);
        let mut source = bytes;
        let proto = onnx.proto_model_for_read(&mut source).map_err(|e| GraphError::NotOnnx(brief(e)))?;
        let Some(graph) = proto.graph.as_ref().filter(|g| !g.output.is_empty()) else {
            return Err(GraphError::NotOnnx("it holds no graph with outputs".into()));
        };
        let mut operators = BTreeMap::new();
        inspect(&onnx, graph, &mut operators)?;
        let input = only_input(graph, input, width)?;
        for name in outputs {
            if !graph.output.iter().any(|o| o.name == *name) {
                let known: Vec<_> = graph.output.iter().map(|o| format!("`{}`", o.name)).collect();
                return Err(GraphError::NoOutput { name: (*name).into(), known: known.join(", ") });
            }
        }
        let (typed, batch) = type_graph(&onnx, &proto, width, outputs).map_err(|e| GraphError::Load(brief(e)))?;
        let parameters = parameters(&typed);
        Ok(Graph { typed, batch, input, operators, parameters })
    })
}

fn type_graph(
    onnx: &tract_onnx::Onnx,
    proto: &ModelProto,
    width: usize,
    outputs: &[&str],
) -> TractResult<(TypedModel, Symbol)> {
    let parsed = onnx.parse(proto, None)?;
    ensure!(parsed.unresolved_inputs.is_empty(), "nodes use unknown values {:?}", parsed.unresolved_inputs);
    let mut model = parsed.model;
    let batch = model.symbols.sym("batch");
    model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), &[batch.to_dim(), width.to_dim()]))?;
    let outlets = outputs
        .iter()
        .map(|name| parsed.outlets_by_name.get(*name).copied().with_context(|| format!("no node makes `{name}`")))
        .collect::<TractResult<Vec<_>>>()?;
    model.select_output_outlets(&outlets)?;
    Ok((model.into_typed()?.into_decluttered()?, batch))
}

/// Counts the operators of a graph and its subgraphs; refuses the first that nobody implements.
fn inspect(
    onnx: &tract_onnx::Onnx,
    graph: &GraphProto,
    operators: &mut BTreeMap<String, usize>,
) -> Result<(), GraphError> {
    if graph.initializer.iter().any(|t| t.data_location.is_some_and(|l| l != 0)) {
        let what = "weights lie in another file".to_string();
        return Err(GraphError::Shape {
            what,
            way_out: "save the model with its weights inside (save_as_external_data=False)",
        });
    }
    for node in &graph.node {
        let operator =
            if node.domain.is_empty() { node.op_type.clone() } else { format!("{}:{}", node.domain, node.op_type) };
        let ours = ops::OURS.contains(&node.op_type.as_str());
        if !onnx.op_register.0.contains_key(&node.op_type) || ours && node.domain != "ai.onnx.ml" {
            let name = [&node.name, node.output.first().unwrap_or(&node.name)];
            let node_name = name.into_iter().find(|n| !n.is_empty()).cloned().unwrap_or_default();
            return Err(GraphError::Unsupported { operator, node: node_name, way_out: way_out(&node.op_type) });
        }
        *operators.entry(operator).or_default() += 1;
        for inner in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            inspect(onnx, inner, operators)?;
        }
    }
    Ok(())
}

/// What a user can do about an operator that is missing here.
fn way_out(operator: &str) -> &'static str {
    match operator {
        "ZipMap" => "export without it (skl2onnx: options={\"zipmap\": False}) and name the score tensor in model.toml",
        "TreeEnsemble" => {
            "export with target_opset {\"ai.onnx.ml\": 3}, which writes TreeEnsembleClassifier or -Regressor"
        }
        "Imputer" => "leave the imputer out of the export and give `missing = ...` in model.toml",
        "OneHotEncoder" | "LabelEncoder" | "CategoryMapper" | "DictVectorizer" => {
            "leave the encoder out of the export and give the feature type = \"category\" with its values in model.toml"
        }
        "QGemm" | "QLinearConv" | "QLinearMatMul" | "QLinearAdd" => {
            "export the model with 32-bit floats, not quantised"
        }
        "SVMClassifier" | "SVMRegressor" => "train another kind of model (trees, linear, network)",
        _ => "export with another opset (9 to 18 are known best) or without this step",
    }
}

/// The one graph input that is no initializer, checked as far as it is declared.
fn only_input(graph: &GraphProto, wanted: Option<&str>, width: usize) -> Result<String, GraphError> {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
    use tract_onnx::pb::type_proto::Value;
    let inputs: Vec<_> = graph.input.iter().filter(|i| !graph.initializer.iter().any(|t| t.name == i.name)).collect();
    let names: Vec<_> = inputs.iter().map(|i| format!("`{}`", i.name)).collect();
    let shape = |what: String, way_out| GraphError::Shape { what, way_out };
    let [input] = inputs[..] else {
        let what = format!("inputs are {}", names.join(", "));
        return Err(shape(what, "a bundle feeds one matrix of [n, features]; join the inputs before export"));
    };
    if wanted.is_some_and(|w| w != input.name) {
        return Err(shape(format!("input is {}", names[0]), "name this one under [input] in model.toml, or none"));
    }
    if let Some(Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        // 0 undefined, 1 float in TensorProto.DataType
        if !matches!(tensor.elem_type, 0 | 1) {
            return Err(shape(format!("input {} is not of 32-bit floats", names[0]), "export with float inputs"));
        }
        if let Some(declared) = &tensor.shape {
            let last = declared.dim.last().and_then(|d| d.value.as_ref());
            let rank_fits = declared.dim.len() == 2;
            if !rank_fits || matches!(last, Some(Dim::DimValue(n)) if *n > 0 && *n as usize != width) {
                let dims = declared.dim.iter().map(|d| match &d.value {
                    Some(Dim::DimValue(n)) => n.to_string(),
                    Some(Dim::DimParam(p)) => p.clone(),
                    None => "?".into(),
                });
                let what = format!(
                    "input {} is [{}], model.toml makes [n, {width}]",
                    names[0],
                    dims.collect::<Vec<String>>().join(", ")
                );
                return Err(shape(what, "give one [[feature]] for each column, in their order"));
            }
        }
    }
    Ok(input.name.clone())
}

/// Numbers that training chose: constants of the graph and trees.
fn parameters(typed: &TypedModel) -> usize {
    typed
        .nodes()
        .iter()
        .map(|node| {
            if let Some(op) = node.op_as::<tract_onnx::tract_core::ops::konst::Const>() {
                op.val().len()
            } else {
                forest(node).map_or(0, ops::trees::forest::Forest::parameters)
            }
        })
        .sum()
}

/// The trees of a node, if it is one of ours.
pub fn forest(node: &TypedNode) -> Option<&ops::trees::forest::Forest> {
    node.op_as::<ops::tree_classifier::TreeClassifier>()
        .map(|op| &op.forest)
        .or_else(|| node.op_as::<ops::tree_regressor::TreeRegressor>().map(|op| &op.forest))
}
