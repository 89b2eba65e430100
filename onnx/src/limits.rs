//! Bounds for files that nobody has looked at: what a model may ask for before it is refused.

/// Bytes of one tensor that a run or a constant's computation makes.
pub const TENSOR_BYTES: usize = 1 << 28;
/// Bytes of one tensor of weights: they lie in a file, so nothing is made of a mere number.
pub const WEIGHT_BYTES: usize = 1 << 32;
/// Bytes of `model.onnx`; protobuf itself cannot hold more.
pub const FILE_BYTES: u64 = 1 << 31;
/// Nodes of a graph after its functions were inlined, subgraphs included.
pub const NODES: usize = 200_000;
/// Graphs inside graphs, and functions inside functions.
pub const DEPTH: usize = 32;
/// Axes of a tensor.
pub const RANK: usize = 32;
/// Turns of one Loop.
pub const TURNS: usize = 1_000_000;
/// Elements that all turns of one Loop or Scan may add up to.
pub const LOOP_ELEMENTS: usize = 1 << 28;
