//! The buffer between a reader, which needs initialized memory, and a foreign buffer, which may have
//! none. There is one for each thread, so an idle connection holds no buffer.
//!
//! Used by `compat`, and by the methods for the buffers of the crate bytes.

use std::cell::Cell;

/// The most bytes of one read. A TCP socket on loopback rarely has more, and the copy stays in the
/// processor's cache.
const SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `read` with at most `most` bytes of the scratch buffer.
///
/// The buffer is taken out meanwhile. A re-entrant call, by a reader that wraps another, such as
/// TLS, finds none and gets a new one.
pub(crate) fn with<R>(most: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    if scratch.is_empty() {
        scratch = vec![0; SIZE];
    }
    let result = read(&mut scratch[..most.min(SIZE)]);
    SCRATCH.set(scratch);
    result
}

/// As [`with`], with room for all of `most` bytes: for a datagram, whose rest would be lost.
#[cfg(feature = "bytes")]
pub(crate) fn whole<R>(most: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    if most <= SIZE {
        return with(most, read);
    }
    // Only datagrams of Unix sockets are longer. No larger than the caller's own buffer.
    read(&mut vec![0; most])
}
