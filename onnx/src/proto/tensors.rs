//! Tensors as files hold them: typed fields, raw bytes, another file, or only the elements that are not zero.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use half::f16;

use crate::error::LoadError;
use crate::error::OpError;
use crate::limits;
use crate::proto::SparseTensorProto;
use crate::proto::TensorProto;
use crate::proto::narrow;
use crate::tensor::ElementType;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::tensor::volume;
use crate::tensor::volume_within;

/// Reads a tensor; `folder` is where other files may lie, and nowhere else.
///
/// # Errors
/// If dimensions and data disagree, the type is not known here, or the other file is missing, short or outside the folder.
pub fn read(proto: &TensorProto, folder: Option<&Path>) -> Result<Tensor, LoadError> {
    let broken = |e: OpError| LoadError::Broken(format!("tensor `{}`: {e}", proto.name));
    let (element_type, bits) = narrow::stored(proto.data_type).ok_or_else(|| LoadError::Unsupported {
        operator: format!("element type {}", proto.data_type),
        node: proto.name.clone(),
        why: "float16, float, double, whole numbers, bool and string are known".into(),
    })?;
    let shape = shape(&proto.dims).map_err(broken)?;
    let len = volume_within(&shape, element_type.size(), limits::WEIGHT_BYTES).map_err(broken)?;
    let data = if bits < 8 {
        let bytes = if proto.data_location == 1 {
            external(proto, folder, (len * bits).div_ceil(8))?
        } else if !proto.raw_data.is_empty() {
            proto.raw_data.clone()
        } else {
            proto.int32_data.iter().map(|v| *v as u8).collect()
        };
        if bytes.len() != (len * bits).div_ceil(8) {
            return Err(broken(OpError::bad(format!("{} bytes for {len} numbers of {bits} bits", bytes.len()))));
        }
        from_raw(element_type, &narrow::unpacked(&bytes, len, bits, element_type == ElementType::I8), len)
    } else if proto.data_location == 1 {
        let bytes = external(proto, folder, len * element_type.size())?;
        from_raw(element_type, &bytes, len)
    } else if !proto.raw_data.is_empty() {
        from_raw(element_type, &proto.raw_data, len)
    } else {
        from_fields(element_type, proto)
    };
    Tensor::from_elements(&shape, data.map_err(broken)?).map_err(broken)
}

/// Fills the zeros of a sparse tensor in.
///
/// # Errors
/// As [`read`], or if an index is outside.
pub fn read_sparse(proto: &SparseTensorProto, folder: Option<&Path>) -> Result<(String, Tensor), LoadError> {
    let missing = || LoadError::Broken("a sparse tensor lacks values or indices".into());
    let values_proto = proto.values.as_ref().ok_or_else(missing)?;
    let name = values_proto.name.clone();
    let broken = |e: OpError| LoadError::Broken(format!("sparse tensor `{name}`: {e}"));
    let values = read(values_proto, folder)?;
    let indices = read(proto.indices.as_ref().ok_or_else(missing)?, folder)?;
    let shape = shape(&proto.dims).map_err(broken)?;
    let len = volume(&shape, values.element_type().size()).map_err(broken)?;
    let flat = flat_indices(&indices, &shape, values.len()).map_err(broken)?;
    let outside = || broken(OpError::bad("an index is outside the shape"));
    let mut dense = Tensor::zeros_of(values.element_type(), &shape).map_err(broken)?;
    macro_rules! scatter {
        ($ty:ty) => {{
            let from = values.slice::<$ty>().map_err(broken)?;
            let to = dense.slice_mut::<$ty>().map_err(broken)?;
            for (at, value) in flat.iter().zip(from) {
                *to.get_mut(*at).filter(|_| *at < len).ok_or_else(outside)? = value.clone();
            }
        }};
    }
    match values.element_type() {
        ElementType::F32 => scatter!(f32),
        ElementType::F64 => scatter!(f64),
        ElementType::F16 => scatter!(f16),
        ElementType::I64 => scatter!(i64),
        ElementType::I32 => scatter!(i32),
        ElementType::Text => scatter!(String),
        other => return Err(broken(OpError::unsupported(format!("sparse tensors of {other} are not read")))),
    }
    Ok((name, dense))
}

fn flat_indices(indices: &Tensor, shape: &[usize], count: usize) -> Result<Vec<usize>, OpError> {
    let outside = || OpError::bad("an index is outside the shape");
    let all = indices.to_i64s()?;
    match *indices.shape() {
        [n] if n == count => all.iter().map(|i| usize::try_from(*i).map_err(|_| outside())).collect(),
        [n, rank] if n == count && rank == shape.len() && rank > 0 => all
            .chunks(rank)
            .map(|row| {
                row.iter().zip(shape).try_fold(0usize, |at, (i, d)| {
                    let i = usize::try_from(*i).ok().filter(|i| i < d).ok_or_else(outside)?;
                    Ok(at * d + i)
                })
            })
            .collect(),
        _ => Err(OpError::bad("indices do not match the values")),
    }
}

fn shape(dims: &[i64]) -> Result<Vec<usize>, OpError> {
    dims.iter().map(|d| usize::try_from(*d).map_err(|_| OpError::bad(format!("dimension {d} is negative")))).collect()
}

fn from_raw(element_type: ElementType, bytes: &[u8], len: usize) -> Result<Elements, OpError> {
    if element_type == ElementType::Text {
        return Err(OpError::bad("texts cannot be raw bytes"));
    }
    if bytes.len() != len * element_type.size() {
        return Err(OpError::bad(format!("{} bytes for {len} elements of {element_type}", bytes.len())));
    }
    macro_rules! read {
        ($ty:ty) => {
            bytes
                .chunks_exact(size_of::<$ty>())
                .map(|c| <$ty>::from_le_bytes(c.try_into().expect("chunks are as long as the type")))
                .collect()
        };
    }
    Ok(match element_type {
        ElementType::Bool => Elements::Bool(bytes.iter().map(|b| *b != 0).collect()),
        ElementType::I8 => Elements::I8(read!(i8)),
        ElementType::I16 => Elements::I16(read!(i16)),
        ElementType::I32 => Elements::I32(read!(i32)),
        ElementType::I64 => Elements::I64(read!(i64)),
        ElementType::U8 => Elements::U8(bytes.to_vec()),
        ElementType::U16 => Elements::U16(read!(u16)),
        ElementType::U32 => Elements::U32(read!(u32)),
        ElementType::U64 => Elements::U64(read!(u64)),
        ElementType::F16 => Elements::F16(read!(f16)),
        ElementType::F32 => Elements::F32(read!(f32)),
        ElementType::F64 => Elements::F64(read!(f64)),
        ElementType::Text => unreachable!("refused above"),
    })
}

/// The typed fields; `int32_data` holds all small types, float16 by its bits.
fn from_fields(element_type: ElementType, proto: &TensorProto) -> Result<Elements, OpError> {
    let small = &proto.int32_data;
    Ok(match element_type {
        ElementType::Bool => Elements::Bool(small.iter().map(|v| *v != 0).collect()),
        ElementType::I8 => Elements::I8(small.iter().map(|v| *v as i8).collect()),
        ElementType::I16 => Elements::I16(small.iter().map(|v| *v as i16).collect()),
        ElementType::I32 => Elements::I32(small.clone()),
        ElementType::I64 => Elements::I64(proto.int64_data.clone()),
        ElementType::U8 => Elements::U8(small.iter().map(|v| *v as u8).collect()),
        ElementType::U16 => Elements::U16(small.iter().map(|v| *v as u16).collect()),
        ElementType::U32 => Elements::U32(proto.uint64_data.iter().map(|v| *v as u32).collect()),
        ElementType::U64 => Elements::U64(proto.uint64_data.clone()),
        ElementType::F16 => Elements::F16(small.iter().map(|v| f16::from_bits(*v as u16)).collect()),
        ElementType::F32 => Elements::F32(proto.float_data.clone()),
        ElementType::F64 => Elements::F64(proto.double_data.clone()),
        ElementType::Text => Elements::Text(
            proto
                .string_data
                .iter()
                .map(|s| String::from_utf8(s.clone()).map_err(|_| OpError::bad("a text is not UTF-8")))
                .collect::<Result<_, _>>()?,
        ),
    })
}

/// The other file that holds a tensor, inside the model's folder.
fn place(proto: &TensorProto, folder: Option<&Path>) -> Result<PathBuf, LoadError> {
    let fail = |what: String| LoadError::External { tensor: proto.name.clone(), what };
    let location = entry(proto, "location").ok_or_else(|| fail("the file's name is missing".into()))?;
    let folder =
        folder.ok_or_else(|| fail(format!("`{location}` cannot be read: the model was not read from a folder")))?;
    let relative = Path::new(location);
    if !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(fail(format!("`{location}` is outside the model's folder; put the file beside the model")));
    }
    let io = |e: std::io::Error| fail(format!("`{location}`: {e}; put the file beside the model"));
    // a link may lead out of the folder as well
    let inside = folder.canonicalize().map_err(io)?;
    let real = folder.join(relative).canonicalize().map_err(io)?;
    if !real.starts_with(&inside) {
        return Err(fail(format!(
            "`{location}` leads outside the model's folder; put the file itself beside the model"
        )));
    }
    // opening a pipe would wait for its writer
    if !real.is_file() {
        return Err(fail(format!("`{location}` is no file; put the file beside the model")));
    }
    Ok(real)
}

fn entry<'a>(proto: &'a TensorProto, key: &str) -> Option<&'a str> {
    proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

/// Checks where a tensor lies and reads nothing.
///
/// # Errors
/// If it lies in another file that is missing or outside the folder.
pub fn check_place(proto: &TensorProto, folder: Option<&Path>) -> Result<(), LoadError> {
    if proto.data_location == 1 { place(proto, folder).map(|_| ()) } else { Ok(()) }
}

/// Bytes of a tensor that lies in another file of the model's folder.
fn external(proto: &TensorProto, folder: Option<&Path>, wanted: usize) -> Result<Vec<u8>, LoadError> {
    let fail = |what: String| LoadError::External { tensor: proto.name.clone(), what };
    let real = place(proto, folder)?;
    let io = |e: std::io::Error| fail(format!("{e}; put the file beside the model"));
    let number = |key: &str, otherwise: u64| match entry(proto, key) {
        None => Ok(otherwise),
        Some(text) => text.parse::<u64>().map_err(|_| fail(format!("`{key}` is no number"))),
    };
    let offset = number("offset", 0)?;
    let length = number("length", wanted as u64)?;
    if length != wanted as u64 {
        return Err(fail(format!("{length} bytes are declared, the shape needs {wanted}")));
    }
    let mut file = File::open(&real).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(fail("the file is shorter than declared; copy the whole file".into()));
    }
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = vec![0; wanted];
    file.read_exact(&mut bytes).map_err(io)?;
    Ok(bytes)
}
