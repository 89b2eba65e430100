//! Operators that move, choose, order and convert elements.

pub mod arg;
pub mod arithmetic;
pub mod cast;
pub mod cast_text;
pub mod concat;
pub mod cumulate;
pub mod fill;
pub mod gather;
pub mod pad;
pub mod repeat;
pub mod reshape;
pub mod reverse;
pub mod scatter;
pub mod select;
pub mod slice;
pub mod topk;
pub mod transpose;
pub mod unique;

#[cfg(test)]
mod tests;
