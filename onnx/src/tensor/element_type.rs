//! Numbers, sizes and names of element types.

use std::fmt;

use crate::tensor::ElementType;

impl ElementType {
    /// From `TensorProto.DataType`.
    pub fn from_onnx(code: i32) -> Option<ElementType> {
        use ElementType::*;
        Some(match code {
            1 => F32,
            2 => U8,
            3 => I8,
            4 => U16,
            5 => I16,
            6 => I32,
            7 => I64,
            8 => Text,
            9 => Bool,
            10 => F16,
            11 => F64,
            12 => U32,
            13 => U64,
            _ => return None,
        })
    }

    /// `TensorProto.DataType`.
    pub fn onnx(self) -> i32 {
        use ElementType::*;
        match self {
            F32 => 1,
            U8 => 2,
            I8 => 3,
            U16 => 4,
            I16 => 5,
            I32 => 6,
            I64 => 7,
            Text => 8,
            Bool => 9,
            F16 => 10,
            F64 => 11,
            U32 => 12,
            U64 => 13,
        }
    }

    /// Bytes of one element; of a text, of its header.
    pub fn size(self) -> usize {
        use ElementType::*;
        match self {
            Bool | I8 | U8 => 1,
            I16 | U16 | F16 => 2,
            I32 | U32 | F32 => 4,
            I64 | U64 | F64 => 8,
            Text => size_of::<String>(),
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, ElementType::F16 | ElementType::F32 | ElementType::F64)
    }

    /// Whole numbers, signed or not; bool is none.
    pub fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, ElementType::Bool | ElementType::Text)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ElementType::*;
        f.write_str(match self {
            Bool => "bool",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            U8 => "uint8",
            U16 => "uint16",
            U32 => "uint32",
            U64 => "uint64",
            F16 => "float16",
            F32 => "float",
            F64 => "double",
            Text => "string",
        })
    }
}
