//! Operators that move, choose, order and convert elements.

pub mod arg;
pub mod cast;
pub mod cast_text;
pub mod concat;
pub mod gather;
pub mod repeat;
pub mod reshape;
pub mod select;
pub mod slice;
pub mod topk;
pub mod transpose;
