//! The field list with the wanted slots written to where they are filled.

use super::super::error::Error;
use super::super::leaf::Want;
use super::super::schema::Schema;
use super::super::schema::Type;
use crate::domain::fields::FieldKind;
use crate::domain::fields::Step;

/// A value of the event and who wants it.
#[derive(Clone, Debug)]
pub struct Cell {
    pub slots: Vec<usize>,
    pub shape: Shape,
}

/// What a value looks like on the wire.
#[derive(Clone, Debug)]
pub enum Shape {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    String,
    Bytes,
    /// Slots that want the option are those of the value inside.
    Option(Box<Cell>),
    List {
        /// `None`: the length is on the wire.
        len: Option<u32>,
        /// Elements that somebody wants, by ascending index.
        wanted: Vec<(u32, Cell)>,
        /// All other elements.
        other: Box<Cell>,
    },
    Struct(Vec<(String, Cell)>),
}

/// A slot and what is left of its path.
#[derive(Clone, Copy)]
struct Open<'a> {
    slot: usize,
    want: &'a Want,
    rest: &'a [Step],
}

impl Open<'_> {
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Error> {
        Err(Error::field(&self.want.path, problem))
    }
}

/// # Errors
/// [`Error::Field`] for a path that the list does not have, or whose type can never become what is wanted.
pub fn compile(schema: &Schema, wanted: &[Want]) -> Result<Cell, Error> {
    let open: Vec<Open> = wanted.iter().enumerate().map(|(slot, want)| Open { slot, want, rest: &want.path }).collect();
    cell(&Type::Struct(schema.fields.clone()), &open)
}

fn cell(ty: &Type, open: &[Open<'_>]) -> Result<Cell, Error> {
    if let Type::Option(inner) = ty {
        return Ok(Cell { slots: vec![], shape: Shape::Option(Box::new(cell(inner, open)?)) });
    }
    let (here, inside): (Vec<Open>, Vec<Open>) = open.iter().partition(|o| o.rest.is_empty());
    if let Some(misfit) = here.iter().find(|o| !fits(ty, o.want.kind.as_ref())) {
        return misfit.fail("the schema gives it a type that can never become this kind");
    }
    let shape = match ty {
        Type::Struct(fields) => {
            for o in &inside {
                match &o.rest[0] {
                    Step::Key(key) if fields.iter().any(|f| f.name == *key) => {}
                    Step::Key(key) => return o.fail(format!("the schema has no `{key}` there")),
                    Step::Index(_) => return o.fail("an index is used on a struct"),
                }
            }
            let field = |f: &super::super::schema::Field| {
                let below = step(&inside, &Step::Key(f.name.clone()));
                Ok((f.name.clone(), cell(&f.ty, &below)?))
            };
            Shape::Struct(fields.iter().map(field).collect::<Result<_, Error>>()?)
        }
        Type::Vec(item) => list(None, item, &inside)?,
        Type::Array(item, len) => list(Some(*len), item, &inside)?,
        _ => {
            if let Some(o) = inside.first() {
                return o.fail("the path goes on behind a plain value of the schema");
            }
            plain(ty)
        }
    };
    Ok(Cell { slots: here.iter().map(|o| o.slot).collect(), shape })
}

fn list(len: Option<u32>, item: &Type, inside: &[Open<'_>]) -> Result<Shape, Error> {
    let mut indices = vec![];
    for o in inside {
        match o.rest[0] {
            Step::Index(n) if len.is_some_and(|len| n >= len) => return o.fail("the index is beyond the array"),
            Step::Index(n) => indices.push(n),
            Step::Key(_) => return o.fail("a key is used on a list: an index such as `[0]` is missing"),
        }
    }
    indices.sort_unstable();
    indices.dedup();
    let element = |n: u32| Ok((n, cell(item, &step(inside, &Step::Index(n)))?));
    let wanted = indices.into_iter().map(element).collect::<Result<_, Error>>()?;
    Ok(Shape::List { len, wanted, other: Box::new(cell(item, &[])?) })
}

/// Those whose next step is this one, one step further.
fn step<'a>(open: &[Open<'a>], step: &Step) -> Vec<Open<'a>> {
    open.iter().filter(|o| o.rest[0] == *step).map(|o| Open { rest: &o.rest[1..], ..*o }).collect()
}

fn plain(ty: &Type) -> Shape {
    match ty {
        Type::Bool => Shape::Bool,
        Type::U8 => Shape::U8,
        Type::U16 => Shape::U16,
        Type::U32 => Shape::U32,
        Type::U64 => Shape::U64,
        Type::I8 => Shape::I8,
        Type::I16 => Shape::I16,
        Type::I32 => Shape::I32,
        Type::I64 => Shape::I64,
        Type::F32 => Shape::F32,
        Type::F64 => Shape::F64,
        Type::String => Shape::String,
        Type::Bytes => Shape::Bytes,
        Type::Option(_) | Type::Vec(_) | Type::Array(..) | Type::Struct(_) => {
            unreachable!("types with something inside are compiled by their callers")
        }
    }
}

/// Whether some value of the type can become this kind; `None` is presence.
fn fits(ty: &Type, kind: Option<&FieldKind>) -> bool {
    let composite = matches!(ty, Type::Bytes | Type::Vec(_) | Type::Array(..) | Type::Struct(_) | Type::Option(_));
    match kind {
        None => true,
        Some(FieldKind::Boolean) => *ty == Type::Bool,
        Some(FieldKind::Length { .. }) => matches!(ty, Type::Vec(_) | Type::Array(..)),
        Some(FieldKind::Bytes) => matches!(ty, Type::Bytes | Type::String),
        Some(FieldKind::Text | FieldKind::Category(_)) => *ty == Type::String,
        Some(FieldKind::Number | FieldKind::Integer) => !composite && !matches!(ty, Type::Bool | Type::String),
        Some(FieldKind::Timestamp(_)) => !composite && *ty != Type::Bool,
    }
}
