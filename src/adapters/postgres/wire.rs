//! Values in the binary form of the protocol, where the client library has none of its own.

use std::error::Error;

use bytes::BufMut;
use bytes::BytesMut;
use tokio_postgres::types::FromSql;
use tokio_postgres::types::IsNull;
use tokio_postgres::types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::types::to_sql_checked;

type Boxed = Box<dyn Error + Sync + Send>;

/// A `uuid` as a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Uuid(pub u128);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        out.put_u128(self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Uuid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Uuid, Boxed> {
        Ok(Uuid(u128::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

/// A one-dimensional array made of elements that are in wire form already.
#[derive(Debug)]
pub(super) struct RawArray {
    element: u32,
    count: i32,
    nulls: bool,
    body: Vec<u8>,
}

impl RawArray {
    pub fn new(element: u32) -> RawArray {
        RawArray { element, count: 0, nulls: false, body: vec![] }
    }

    /// Appends one element: four bytes of length (-1 for null) and the value.
    pub fn push(&mut self, field: &[u8]) {
        self.nulls |= field.len() == 4 && field[0] == 0xff;
        self.count += 1;
        self.body.extend_from_slice(field);
    }

    /// Appends the elements of `array`, an array in wire form.
    pub fn extend(&mut self, array: &[u8]) {
        if array.len() < ARRAY_HEADER {
            return;
        }
        self.nulls |= array[7] != 0;
        self.count += i32::from_be_bytes(array[12..16].try_into().expect("four bytes"));
        self.body.extend_from_slice(&array[ARRAY_HEADER..]);
    }
}

/// Bytes before the elements of a one-dimensional array.
const ARRAY_HEADER: usize = 20;

/// Begins a one-dimensional array; the elements follow.
pub(super) fn array_header(out: &mut impl BufMut, element: u32, count: i32, nulls: bool) {
    out.put_i32(i32::from(count > 0));
    out.put_i32(i32::from(nulls));
    out.put_u32(element);
    if count > 0 {
        out.put_i32(count);
        out.put_i32(1);
    }
}

impl ToSql for RawArray {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        array_header(out, self.element, self.count, self.nulls);
        out.extend_from_slice(&self.body);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What COPY BINARY starts with: signature, flags, no extension.
pub(super) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And ends with.
pub(super) const COPY_TRAILER: &[u8] = b"\xff\xff";

/// The fields of one row in COPY BINARY form, each with its length in front.
pub(super) struct RowFields<'a>(pub &'a [u8]);

impl<'a> RowFields<'a> {
    pub fn of(row: &'a [u8]) -> RowFields<'a> {
        RowFields(&row[2..])
    }
}

impl<'a> Iterator for RowFields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = i32::from_be_bytes(self.0.get(..4)?.try_into().expect("four bytes"));
        let (field, rest) = self.0.split_at(4 + usize::try_from(len).unwrap_or(0));
        self.0 = rest;
        Some(field)
    }
}
