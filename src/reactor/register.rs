//! How a source gets its slot, and how a loop that is being dropped empties all slots.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use mio::Interest;

use crate::door::{Door, report};
use crate::state::{Key, Layout, Source, SourceId, Step, token_of};

/// Gives a source a slot and registers it with the poller of the loop that runs here.
#[track_caller]
pub(super) fn register(
    what: &str,
    io: &mut impl mio::event::Source,
    interest: Interest,
    source: Source,
) -> io::Result<Key> {
    let kind = source.kind;
    // The slot comes first, because the token is made of it. The registration is made with the door closed,
    // because the source may be a user's.
    let mut door = Door::expect(what);
    if door.is_closing {
        return Err(is_closing());
    }
    let Ok(slot) = door.sources.slots.insert(Layout::TOKEN, source) else {
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
        // It has no waiters and no callback yet: nothing of a user's is dropped here.
        door.sources.slots.remove(slot);
    }
    match registered {
        Ok(result) => result?,
        Err(payload) => resume_unwind(payload),
    }
    report(|| Step::Register { source: SourceId(slot), kind });
    Ok(key)
}

/// Drops all sources of a loop that is being dropped, one by one: their drops may be user code.
pub(crate) fn drop_all() {
    while let Some(mut door) = Door::open()
        && let Some(source) = door.sources.slots.pop()
    {
        door.drop_source(source);
    }
}

/// A slot lives as long as its handle, but for the time in which the loop is dropped: an operation that is
/// called then gets this error.
pub(crate) fn is_closing() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the event loop is being dropped")
}
