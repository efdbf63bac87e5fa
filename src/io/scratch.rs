//! The buffer between a reader of futures-io, which needs initialized memory, and a foreign buffer,
//! which may have none. There is one for each thread, so an idle connection holds no buffer.

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
