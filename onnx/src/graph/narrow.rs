//! Constants of fewer than eight bits have a byte for each number here; the nodes that quantise to them or from them are
//! told how many bits there were.

use std::collections::BTreeMap;

use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::proto::NodeProto;
use crate::proto::TensorProto;
use crate::proto::narrow;

/// Attribute of QuantizeLinear and DequantizeLinear for numbers of fewer than eight bits.
pub const BITS: &str = "bits";

/// Constants of such types, by name.
#[derive(Default)]
pub struct Narrow(BTreeMap<String, usize>);

impl Narrow {
    pub fn note(&mut self, name: &str, tensor: &TensorProto) {
        if let Some((_, bits)) = narrow::from_onnx(tensor.data_type) {
            self.0.insert(name.into(), bits);
        }
    }

    /// Notes what a Constant makes.
    pub fn note_constant(&mut self, node: &NodeProto) {
        if let ("Constant", [output]) = (node.op_type.as_str(), node.output.as_slice()) {
            node.attribute.iter().filter_map(|a| a.t.as_ref()).for_each(|t| self.note(output, t));
        }
    }

    /// Tells a node that quantises or dequantises such numbers.
    pub fn tell(&self, node: &mut Node) {
        if node.op_type != "QuantizeLinear" && node.op_type != "DequantizeLinear" {
            return;
        }
        if let Some(bits) = node.inputs.iter().find_map(|name| self.0.get(name)) {
            node.attributes.0.insert(BITS.into(), Attribute::Int(*bits as i64));
        }
    }
}
