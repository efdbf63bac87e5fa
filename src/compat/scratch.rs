//! The buffer between a reader of futures-io, which wants initialized memory, and a foreign buffer,
//! which has none: one for each thread, so an idle connection holds no buffer.

use std::cell::Cell;

/// As much as one read takes at most. A TCP socket on loopback rarely has more, and the copy stays
/// in the processor's cache.
const SIZE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `read` with at most `most` bytes of the scratch buffer. It is taken out meanwhile: a
/// reader that wraps another, such as TLS, may come here again, and finds none. Then it gets a new
/// one.
pub(super) fn with<R>(most: usize, read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    if scratch.is_empty() {
        scratch = vec![0; SIZE];
    }
    let result = read(&mut scratch[..most.min(SIZE)]);
    SCRATCH.set(scratch);
    result
}
