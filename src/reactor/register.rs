//! Registers a source in a slot, and empties all slots when the loop is dropped.
//! [`Registered`](super::Registered), callbacks and the drop of the loop call it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use mio::Interest;

use crate::door::{Door, report};
use crate::state::{Key, Layout, Source, SourceId, Step, token_of};

/// Inserts a source into a slot and registers it with the poller of the current loop.
#[track_caller]
pub(super) fn register(
    what: &str,
    io: &mut impl mio::event::Source,
    interest: Interest,
    source: Source,
) -> io::Result<Key> {
    let kind = source.kind;
    // The slot comes first, because the token is derived from it. The registration happens with the
    // door closed, because the source may be user code.
    let mut door = Door::expect(what);
    if door.is_closing {
        return Err(is_closing());
    }
    let Ok(slot) = door.sources.insert(Layout::TOKEN, source) else {
        let most = Layout::TOKEN.indexes();
        return Err(io::Error::other(format!(
            "this event loop watches {most} sources, and a token cannot tell more apart: drop some first"
        )));
    };
    let (key, shared) = (door.key(slot), Arc::clone(&door.shared));
    drop(door);
    let register = || shared.registry.register(io, token_of(slot), interest);
    let registered = catch_unwind(AssertUnwindSafe(register));
    if !matches!(registered, Ok(Ok(())))
        && let Some(mut door) = Door::open()
    {
        // The source has no waiters and no callback yet, so no user code is dropped here.
        door.sources.remove(slot);
    }
    match registered {
        Ok(result) => result?,
        Err(payload) => resume_unwind(payload),
    }
    report(|| Step::Register { source: SourceId(slot), kind });
    Ok(key)
}

/// Drops all sources of a loop that is being dropped. Opens the door anew for each, because a drop
/// may run user code.
pub(crate) fn drop_all() {
    while let Some(mut door) = Door::open()
        && let Some(source) = door.sources.pop()
    {
        door.drop_source(source);
    }
}

/// Returns the error of an operation that is called while the loop is being dropped. Only then may
/// a slot be gone before its handle.
pub(crate) fn is_closing() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the event loop is being dropped")
}
