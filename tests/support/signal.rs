//! Signals to child processes of a test.

#![allow(unsafe_code)]

use std::process::Child;

#[derive(Clone, Copy, Debug)]
pub enum Signal {
    Term,
    Kill,
    Interrupt,
    Hangup,
    /// The process stands still and does not know it.
    Stop,
    Continue,
}

/// Sends `signal` to a child that was not waited for yet. A child that has ended meanwhile is no error.
pub fn send(child: &Child, signal: Signal) {
    let number = match signal {
        Signal::Term => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
        Signal::Interrupt => libc::SIGINT,
        Signal::Hangup => libc::SIGHUP,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    let pid = i32::try_from(child.id()).expect("a process id fits");
    // SAFETY: no memory is passed. The id is that of a child which nobody has reaped (`&Child` outlives the call), so it
    // cannot have been given to another process.
    unsafe { libc::kill(pid, number) };
}
