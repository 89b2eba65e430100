//! All that an error can mean here.

/// What to do about an error. Every error enum of an adapter or step answers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Wait and do the same again: an outage, a lock, a restart elsewhere.
    Retry,
    /// This record cannot be processed, its neighbours can.
    Reject,
    /// Nothing that this process may do helps; a person must act.
    Stop,
}
