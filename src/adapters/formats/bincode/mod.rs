//! Bincode events, read by a typed field list. The only file that knows the `bincode` crate.
//!
//! Bincode has no names and no types on the wire: the list in the schema file says what follows what. Every event must
//! end where its last field ends. Lengths are checked against what is there before anything is done with them.

mod shape;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bincode::BorrowDecode;
use bincode::config;
use bincode::config::Config;

use self::shape::Cell;
use self::shape::Shape;
use super::error::Error;
use super::leaf::Kind;
use super::leaf::Scalar;
use super::leaf::Target;
use super::leaf::Want;
use super::options::BYTES_LIMIT;
use super::parser::Parser;
use super::reject;
use super::schema::Schema;
use crate::domain::verdict::Rejected;

/// Most bytes that the crate may take for one value.
const LIMIT: usize = BYTES_LIMIT as usize;

/// The reader of one thread.
#[derive(Clone, Debug)]
pub struct Bincode<C> {
    plan: Arc<Plan>,
    config: C,
}

#[derive(Debug)]
struct Plan {
    version_byte: Option<u8>,
    root: Cell,
    kinds: Vec<Kind>,
}

/// A reader of the layout that bincode 2 has by default.
pub fn standard(schema: &Schema, wanted: &[Want]) -> Result<impl Parser, Error> {
    Bincode::new(schema, wanted, config::standard().with_limit::<LIMIT>())
}

/// A reader of the layout that bincode 1 has by default.
pub fn legacy(schema: &Schema, wanted: &[Want]) -> Result<impl Parser, Error> {
    Bincode::new(schema, wanted, config::legacy().with_limit::<LIMIT>())
}

impl<C: Config> Bincode<C> {
    fn new(schema: &Schema, wanted: &[Want], config: C) -> Result<Bincode<C>, Error> {
        let kinds = wanted.iter().map(Kind::new).collect::<Result<_, _>>()?;
        let plan = Plan { version_byte: schema.version_byte, root: shape::compile(schema, wanted)?, kinds };
        Ok(Bincode { plan: Arc::new(plan), config })
    }
}

impl<C: Config + Send + 'static> Parser for Bincode<C> {
    fn parse(&mut self, event: &[u8], base: u32, target: Target<'_, '_>) -> Result<(), Rejected> {
        let mut input = Input { event, at: 0, base, config: self.config, kinds: &self.plan.kinds, target };
        let bad = match input.event(&self.plan) {
            Ok(()) => return Ok(()),
            Err(bad) => bad,
        };
        let field = if bad.path.is_empty() { String::new() } else { format!(" in field {}", bad.path) };
        Err(reject("bad_bincode", format!("{}{field} at byte {}", bad.problem, input.at)))
    }
}

/// Why an event cannot be read, and in which field.
struct Bad {
    problem: &'static str,
    path: String,
}

fn bad(problem: &'static str) -> Bad {
    Bad { problem, path: String::new() }
}

/// An event that is being read.
struct Input<'a, 'r, C> {
    event: &'a [u8],
    at: usize,
    base: u32,
    config: C,
    kinds: &'a [Kind],
    target: Target<'a, 'r>,
}

impl<'a, C: Config> Input<'a, '_, C> {
    fn event(&mut self, plan: &Plan) -> Result<(), Bad> {
        if let Some(want) = plan.version_byte {
            if self.event.first() != Some(&want) {
                return Err(bad("not the version byte of the schema"));
            }
            self.at = 1;
        }
        self.cell(&plan.root)?;
        if self.at != self.event.len() {
            return Err(bad("more bytes than fields"));
        }
        Ok(())
    }

    /// Takes a primitive.
    fn take<T: BorrowDecode<'a, ()>>(&mut self) -> Result<T, Bad> {
        match bincode::borrow_decode_from_slice(&self.event[self.at..], self.config) {
            Ok((value, taken)) => {
                self.at += taken;
                Ok(value)
            }
            Err(_) => Err(bad("not a value of the field's type")),
        }
    }

    fn integer<T: BorrowDecode<'a, ()> + Into<i64>>(&mut self) -> Result<Scalar<'a>, Bad> {
        Ok(Scalar::Integer(self.take::<T>()?.into()))
    }

    fn cell(&mut self, cell: &Cell) -> Result<(), Bad> {
        let value = match &cell.shape {
            Shape::Bool => Scalar::Boolean(self.take()?),
            Shape::U8 => self.integer::<u8>()?,
            Shape::U16 => self.integer::<u16>()?,
            Shape::U32 => self.integer::<u32>()?,
            Shape::U64 => {
                let n: u64 = self.take()?;
                i64::try_from(n).map_or(Scalar::Number(n as f64), Scalar::Integer)
            }
            Shape::I8 => self.integer::<i8>()?,
            Shape::I16 => self.integer::<i16>()?,
            Shape::I32 => self.integer::<i32>()?,
            Shape::I64 => self.integer::<i64>()?,
            Shape::F32 => Scalar::Number(f64::from(self.take::<f32>()?)),
            Shape::F64 => Scalar::Number(self.take()?),
            Shape::String => {
                let text: &str = self.take()?;
                let start = self.at - text.len();
                Scalar::Text { text: text.as_bytes(), at: Some(self.base + start as u32) }
            }
            Shape::Bytes => {
                let bytes: &[u8] = self.take()?;
                let start = self.at - bytes.len();
                Scalar::Bytes { bytes, at: self.base + start as u32 }
            }
            Shape::Option(inner) => {
                return match self.take::<u8>()? {
                    0 => Ok(()),
                    1 => self.cell(inner),
                    _ => Err(bad("neither none nor some")),
                };
            }
            Shape::List { len, wanted, other } => Scalar::List(self.list(*len, wanted, other)?),
            Shape::Struct(fields) => {
                for (name, field) in fields {
                    self.cell(field).map_err(|bad| named(name, bad))?;
                }
                Scalar::Other
            }
        };
        for slot in &cell.slots {
            self.target.store(*slot, &self.kinds[*slot], value);
        }
        Ok(())
    }

    fn list(&mut self, len: Option<u32>, wanted: &[(u32, Cell)], other: &Cell) -> Result<u32, Bad> {
        let len = match len {
            Some(len) => u64::from(len),
            None => self.take::<u64>()?,
        };
        // no element is shorter than a byte
        if len > (self.event.len() - self.at) as u64 {
            return Err(bad("a length beyond the end"));
        }
        let mut wanted = wanted.iter().peekable();
        for index in 0..len {
            let cell = wanted.next_if(|(at, _)| u64::from(*at) == index).map_or(other, |(_, cell)| cell);
            self.cell(cell)?;
        }
        // an event is shorter than 4 GiB, and so is the list
        Ok(len as u32)
    }
}

#[cold]
fn named(name: &str, mut bad: Bad) -> Bad {
    let inner = std::mem::take(&mut bad.path);
    bad.path = if inner.is_empty() { name.into() } else { format!("{name}.{inner}") };
    bad
}
