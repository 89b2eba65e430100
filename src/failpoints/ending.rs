//! Ends of the process that nothing inside it can catch or delay.
#![allow(unsafe_code)]

/// SIGKILL to ourselves: no destructor, no flush, no word to anybody.
pub(super) fn kill() -> ! {
    // SAFETY: no memory is passed.
    unsafe { libc::raise(libc::SIGKILL) };
    unreachable!("SIGKILL cannot be survived")
}
