//! From plain nodes back to messages, for libraries that read ONNX files.

use crate::error::OpError;
use crate::graph::Node;
use crate::graph::attributes::Attribute;
use crate::proto::AttributeProto;
use crate::proto::NodeProto;
use crate::proto::TensorProto;
use crate::tensor::Elements;
use crate::tensor::Tensor;

/// # Errors
/// If the node has an attribute that is not written back: graphs, types.
pub fn node(node: &Node) -> Result<NodeProto, OpError> {
    let attributes = node.attributes.0.iter().map(|(name, a)| attribute(name, a));
    Ok(NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: node.name.clone(),
        op_type: node.op_type.clone(),
        attribute: attributes.collect::<Result<_, _>>()?,
        domain: node.domain.clone(),
        overload: String::new(),
    })
}

fn attribute(name: &str, attribute: &Attribute) -> Result<AttributeProto, OpError> {
    let mut proto = AttributeProto { name: name.into(), ..AttributeProto::default() };
    proto.r#type = match attribute {
        Attribute::Float(v) => {
            proto.f = *v;
            1
        }
        Attribute::Int(v) => {
            proto.i = *v;
            2
        }
        Attribute::Text(v) => {
            proto.s.clone_from(v);
            3
        }
        Attribute::Tensor(v) => {
            proto.t = Some(tensor(name, v));
            4
        }
        Attribute::Floats(v) => {
            proto.floats.clone_from(v);
            6
        }
        Attribute::Ints(v) => {
            proto.ints.clone_from(v);
            7
        }
        Attribute::Texts(v) => {
            proto.strings.clone_from(v);
            8
        }
        _ => return Err(OpError::unsupported(format!("attribute `{name}` is a graph or a type"))),
    };
    Ok(proto)
}

/// A tensor with its elements as raw bytes, texts as texts.
pub fn tensor(name: &str, tensor: &Tensor) -> TensorProto {
    let mut proto = TensorProto {
        dims: tensor.shape().iter().map(|d| *d as i64).collect(),
        data_type: tensor.element_type().onnx(),
        name: name.into(),
        ..TensorProto::default()
    };
    macro_rules! raw {
        ($v:expr) => {
            $v.iter().flat_map(|x| x.to_le_bytes()).collect()
        };
    }
    proto.raw_data = match tensor.elements() {
        Elements::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
        Elements::I8(v) => raw!(v),
        Elements::I16(v) => raw!(v),
        Elements::I32(v) => raw!(v),
        Elements::I64(v) => raw!(v),
        Elements::U8(v) => v.clone(),
        Elements::U16(v) => raw!(v),
        Elements::U32(v) => raw!(v),
        Elements::U64(v) => raw!(v),
        Elements::F16(v) => raw!(v),
        Elements::F32(v) => raw!(v),
        Elements::F64(v) => raw!(v),
        Elements::Text(v) => {
            proto.string_data = v.iter().map(|t| t.clone().into_bytes()).collect();
            vec![]
        }
    };
    proto
}
