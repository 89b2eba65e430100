//! Trials: which axis of an output is the rows, and whether a row's result depends on the rows beside it.
//!
//! They run on the first real rows, since made-up ones may be outside what a graph accepts (codes, texts). Whether rows mix
//! is asked of made-up ones as well.

use crate::error::RunError;
use crate::graph::Kind;
use crate::session::Feeding;
use crate::session::Reason;
use crate::session::Session;
use crate::session::sample;
use crate::session::worker::RowValues;
use crate::session::worker::Worker;
use crate::tensor::Elements;
use crate::tensor::Tensor;
use crate::value::Value;

/// Rows of the trial for mixing.
const ROWS: usize = 5;
/// A row alone and among others may differ by this much, absolutely or relatively.
const TOLERANCE: f64 = 1e-5;

/// A graph that makes another type than it declares is broken, and its reader would be misled.
fn check_types(session: &Session, made: &[Value]) -> Result<(), RunError> {
    for (port, value) in session.outputs.iter().zip(made) {
        if let (Kind::Tensor { element_type: Some(declared), .. }, Value::Tensor(tensor)) = (&port.kind, value)
            && tensor.element_type() != *declared
        {
            let (name, found) = (&port.name, tensor.element_type());
            return Err(RunError::Failed(format!("output `{name}` is declared as {declared} and is {found}")));
        }
    }
    Ok(())
}

/// Learns what is still unknown from these rows.
///
/// # Errors
/// If not even one row can be run.
pub(crate) fn learn(session: &Session, worker: &mut Worker, count: usize, inputs: &[Value]) -> Result<(), RunError> {
    let learnt = session.learnt();
    if learnt.axes.get().is_none() {
        let (axes, alone) = axes(session, worker, inputs)?;
        let alone = alone || axes.contains(&None);
        // two threads may try at the same time: the results are the same
        let _ = learnt.axes.set(axes);
        if alone && session.feeding() == Feeding::Any {
            let _ = learnt.feeding.set(Feeding::Single(Reason::NoBatchAxis));
        }
    }
    if count > 1 && learnt.feeding.get().is_none() && session.feeding() == Feeding::Any {
        let mixes = mixes(worker, count.min(ROWS), inputs)? || mixes_made_up(session, worker);
        let _ = learnt.feeding.set(if mixes { Feeding::Single(Reason::Mixes) } else { Feeding::Any });
    }
    Ok(())
}

/// The axis of every output that grows with the rows, and whether more than one row could not be run.
fn axes(session: &Session, worker: &mut Worker, inputs: &[Value]) -> Result<(Vec<Option<usize>>, bool), RunError> {
    match session.feeding() {
        Feeding::Any => {}
        Feeding::Fixed(n) => {
            let piece = worker.piece(inputs, 0, n)?;
            let made = worker.raw(piece)?;
            // with one length only, the first axis that has it
            return Ok((made.iter().map(|v| shape(v).and_then(|s| s.iter().position(|d| *d == n))).collect(), false));
        }
        Feeding::Single(_) => {
            let piece = worker.piece(inputs, 0, 1)?;
            let made = worker.raw(piece)?;
            return Ok((made.iter().map(first).collect(), false));
        }
    }
    let piece = worker.piece(inputs, 0, 1)?;
    let one = worker.raw(piece)?;
    check_types(session, &one)?;
    // the only row twice, if there is one: rows() pads with the last
    let two = worker.piece(inputs, 0, 2).and_then(|piece| worker.raw(piece));
    let three = worker.piece(inputs, 0, 3).and_then(|piece| worker.raw(piece));
    let (Ok(two), Ok(three)) = (two, three) else {
        // the graph wants one row, whatever it declares
        return Ok((one.iter().map(first).collect(), true));
    };
    let all = one.iter().zip(&two).zip(&three);
    Ok((all.map(|((a, b), c)| grown(a, b, c)).collect(), false))
}

/// The first axis, if there is one row on it.
fn first(value: &Value) -> Option<usize> {
    if let Some(rows) = sequence_rows(value) {
        return (rows == 1).then_some(0);
    }
    shape(value).and_then(|s| (s.first() == Some(&1)).then_some(0))
}

fn grown(one: &Value, two: &Value, three: &Value) -> Option<usize> {
    if let (Value::Table(a), Value::Table(b), Value::Table(c)) = (one, two, three) {
        let rows = |t: &Tensor| t.shape().first().copied();
        return (rows(&a.values) == Some(1) && rows(&b.values) == Some(2) && rows(&c.values) == Some(3)).then_some(0);
    }
    if let (Some(a), Some(b), Some(c)) = (sequence_rows(one), sequence_rows(two), sequence_rows(three)) {
        return ((a, b, c) == (1, 2, 3)).then_some(0);
    }
    let (a, b, c) = (shape(one)?, shape(two)?, shape(three)?);
    if a.len() != b.len() || b.len() != c.len() {
        return None;
    }
    let differing: Vec<usize> = (0..a.len()).filter(|i| a[*i] != b[*i] || b[*i] != c[*i]).collect();
    match differing[..] {
        [axis] if a[axis] == 1 && b[axis] == 2 && c[axis] == 3 => Some(axis),
        _ => None,
    }
}

/// The length of the first axis that all tensors of a sequence share.
fn sequence_rows(value: &Value) -> Option<usize> {
    let Value::Sequence(all) = value else { return None };
    let mut rows = all.iter().map(|v| v.tensor().and_then(|t| t.shape().first().copied()));
    let first = rows.next()??;
    rows.all(|r| r == Some(first)).then_some(first)
}

fn shape(value: &Value) -> Option<&[usize]> {
    value.tensor().map(Tensor::shape)
}

/// Runs some rows together and one by one.
///
/// # Errors
/// If a row cannot be run alone: such a row, perhaps a hostile one, must not decide for all that follow.
fn mixes(worker: &mut Worker, count: usize, inputs: &[Value]) -> Result<bool, RunError> {
    let together = worker.piece(inputs, 0, count).and_then(|piece| worker.raw(piece));
    let together = together.and_then(|made| worker.split_axes(made, count)).ok();
    let mut mixed = together.is_none();
    for i in 0..count {
        let piece = worker.piece(inputs, i, i + 1)?;
        let made = worker.raw(piece)?;
        let alone = worker.split_axes(made, 1).ok();
        mixed |= match (&together, &alone) {
            (Some(together), Some(alone)) => !together.iter().zip(alone).all(|(all, one)| same_row(all, one, i)),
            _ => true,
        };
    }
    Ok(mixed)
}

/// The same with made-up rows, since real ones that are all alike do not show it. Where these cannot be run, they say nothing.
fn mixes_made_up(session: &Session, worker: &mut Worker) -> bool {
    sample::rows(&session.inputs, ROWS, 1).is_ok_and(|rows| mixes(worker, ROWS, &rows).unwrap_or(false))
}

fn same_row(all: &RowValues, alone: &RowValues, i: usize) -> bool {
    match (all.row(i), alone.row(0)) {
        (Ok(Value::Tensor(a)), Ok(Value::Tensor(b))) => close(&a, &b),
        (Ok(Value::Map(a)), Ok(Value::Map(b))) => a.keys == b.keys && close(&a.values, &b.values),
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether two tensors agree within the tolerance; NaN agrees with NaN.
pub fn close(a: &Tensor, b: &Tensor) -> bool {
    within(TOLERANCE, a, b)
}

/// Whether two tensors agree so far, absolutely or relatively; NaN agrees with NaN.
pub fn within(tolerance: f64, a: &Tensor, b: &Tensor) -> bool {
    let pair = |x: f64, y: f64| x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= tolerance * x.abs().max(1.0);
    a.shape() == b.shape()
        && match (a.elements(), b.elements()) {
            (Elements::F32(x), Elements::F32(y)) => x.iter().zip(y).all(|(x, y)| pair(f64::from(*x), f64::from(*y))),
            (Elements::F64(x), Elements::F64(y)) => x.iter().zip(y).all(|(x, y)| pair(*x, *y)),
            (Elements::F16(x), Elements::F16(y)) => x
                .iter()
                .zip(y)
                .all(|(x, y)| (x.to_f64() - y.to_f64()).abs() <= 2e-3 * x.to_f64().abs().max(1.0) || x == y),
            (x, y) => x == y,
        }
}
