//! Free TCP ports of 127.0.0.1 for servers that are stopped and started again.
//!
//! They lie below the range that the kernel gives to outgoing connections, so nobody takes one while its server is down.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;

const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port on which nothing listens, not handed out before by this process.
///
/// # Errors
/// When none of them can be bound.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes of the same moment begin at different places.
    let start = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..COUNT {
        let step = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + ((start + step) % u64::from(COUNT)) as u16;
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_free() {
        let (a, b) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(a, b);
        for port in [a, b] {
            assert!((FIRST..FIRST + COUNT).contains(&port));
            TcpListener::bind(("127.0.0.1", port)).unwrap();
        }
    }
}
