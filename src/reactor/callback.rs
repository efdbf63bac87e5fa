//! The callback interface: a source and a closure of the user's, both in the reactor's slab, with no
//! future anywhere. [`call`] is called by the reactor's dispatch, with nothing borrowed: the closure is
//! taken out of its slot for the time of the call, so it may do anything, also remove itself.

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use log::Level;
use mio::event::Source;
use mio::{Interest, Token};

use super::{Ready, Watched, register, token_of};
use crate::core::{Core, bury, contain, discard, panic_message, release};
use crate::observe::{self, OneLine};
use crate::remote::{self, Release};
use crate::slots::{Key, Slot};

/// What becomes of a callback after it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call it again at the next event.
    Continue,
    /// Call it again if the source is still ready, without waiting for a new event, when the kernel is asked
    /// next: for a callback that stops before it would block, so that others have their turn.
    Again,
    /// Deregister the source, and drop it and the callback.
    Remove,
}

/// A callback without its types.
pub(super) trait Closure {
    fn call(&mut self, ready: Ready) -> Next;
    fn source(&mut self) -> &mut dyn Any;
    /// An edge is reported anew for a source that is registered anew: epoll_ctl(2), EPOLL_CTL_MOD.
    fn reregister(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()>;
    fn deregister(&mut self, registry: &mio::Registry) -> io::Result<()>;
    fn place(&self) -> &'static Location<'static>;
}

struct Callback<S, F> {
    source: S,
    interest: Interest,
    call: F,
    place: &'static Location<'static>,
}

impl<S, F> Closure for Callback<S, F>
where
    S: Source + 'static,
    F: FnMut(&mut S, Ready) -> Next,
{
    fn call(&mut self, ready: Ready) -> Next {
        (self.call)(&mut self.source, ready)
    }

    fn source(&mut self) -> &mut dyn Any {
        &mut self.source
    }

    fn reregister(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut self.source, token, self.interest)
    }

    fn deregister(&mut self, registry: &mio::Registry) -> io::Result<()> {
        registry.deregister(&mut self.source)
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

/// Calls `callback` whenever the kernel reports that `source` is ready: the loop's own interface, below
/// all futures. Both are kept in the loop until the [`Registration`] is dropped or the callback returns
/// [`Next::Remove`].
///
/// The source is registered *edge-triggered*: the callback is called when something has become ready, not
/// as long as it is. So read, write or accept until [`WouldBlock`](io::ErrorKind::WouldBlock), or return
/// [`Next::Again`]; else there may never be another call. The first call comes with the first event, never from inside `on_ready`.
///
/// The callback runs on the loop's thread, in the phase that dispatches events; everything
/// stands still meanwhile, so it must not block. It may do anything with the loop: spawn, register, drop
/// any registration, its own included. If it panics, that is logged and the registration removed.
///
/// ```
/// use headwaiter::{Interest, Next, on_ready};
/// use std::io::{ErrorKind, Read, Write};
///
/// let mut event_loop = headwaiter::EventLoop::new()?;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// let (server, _) = listener.accept()?;
/// server.set_nonblocking(true)?;
///
/// let (tell, told) = std::sync::mpsc::channel();
/// let registration = event_loop.enter(|| {
///     on_ready(mio::net::TcpStream::from_std(server), Interest::READABLE, move |stream, _ready| {
///         let mut bytes = [0; 64];
///         loop {
///             match stream.read(&mut bytes) {
///                 Ok(0) => return Next::Remove,
///                 Ok(n) => tell.send(bytes[..n].to_vec()).unwrap(),
///                 Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Continue,
///                 Err(_) => return Next::Remove,
///             }
///         }
///     })
/// })?;
///
/// client.write_all(b"soup")?;
/// event_loop.turn(None)?;
/// assert_eq!(told.recv().unwrap(), b"soup");
/// drop(registration);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// What the kernel says to the registration: for instance `PermissionDenied` for a regular file, which is
/// always ready and so can not be watched (epoll_ctl(2), EPERM), or `AlreadyExists` for a file
/// descriptor that is registered. The source and the callback are dropped then.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn on_ready<S, F>(source: S, interest: Interest, callback: F) -> io::Result<Registration<S>>
where
    S: Source + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    enter(Watched::new("callback source", Ready::NONE), source, interest, callback)
}

/// As [`on_ready`], for a callback of this crate that passes events on to other slots.
#[cfg_attr(not(any(target_os = "linux", all(unix, feature = "signal"))), expect(dead_code))]
#[track_caller]
pub(crate) fn relay<S, F>(
    kind: &'static str,
    source: S,
    interest: Interest,
    callback: F,
) -> io::Result<Registration<S>>
where
    S: Source + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    let watched = Watched { is_relay: true, ..Watched::new(kind, Ready::NONE) };
    enter(watched, source, interest, callback)
}

#[track_caller]
fn enter<S, F>(
    mut watched: Watched,
    source: S,
    interest: Interest,
    callback: F,
) -> io::Result<Registration<S>>
where
    S: Source + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    let mut closure = Callback { source, interest, call: callback, place: Location::caller() };
    watched.has_callback = true;
    let key = register("`on_ready`", &mut closure.source, interest, watched)?;
    put_back(key.slot, Box::new(closure));
    Ok(Registration { key, source: PhantomData })
}

pub(super) fn call(slot: Slot, mut closure: Box<dyn Closure>, ready: Ready) {
    Core::with(Core::lift_budget);
    let place = closure.place();
    let called = catch_unwind(AssertUnwindSafe(|| match closure.call(ready) {
        Next::Again => {
            let shared = Core::with(|core| Arc::clone(&core.shared));
            let again = shared
                .map_or(Ok(()), |shared| closure.reregister(&shared.registry, token_of(slot)));
            again.map(|()| Next::Continue)
        }
        next => Ok(next),
    }));
    let next = match called {
        Ok(Ok(next)) => next,
        Ok(Err(error)) => {
            observe::say(
                Level::Error,
                observe::SOURCE,
                format_args!(
                    "the callback registered at {place} cannot be called again: {}",
                    OneLine(error)
                ),
            );
            Next::Remove
        }
        Err(payload) => {
            let message = OneLine(panic_message(&*payload));
            observe::say(
                Level::Error,
                observe::SOURCE,
                format_args!(
                    "the callback registered at {place} panicked and is removed: {message}"
                ),
            );
            bury(payload);
            Next::Remove
        }
    };
    put_back(slot, closure);
    if next == Next::Remove {
        super::remove(slot);
    }
}

/// Back into its slot; unless the registration was dropped in the call, and with it the slot.
fn put_back(slot: Slot, closure: Box<dyn Closure>) {
    let mut closure = Some(closure);
    Core::with(|core| {
        if let Some(watched) = core.reactor.sources.get_mut(slot) {
            mem::swap(&mut watched.closure, &mut closure);
        }
    });
    if let Some(closure) = closure {
        remove(closure);
    }
}

/// Deregisters a callback that has no slot any more, and drops it with its source.
pub(super) fn remove(mut closure: Box<dyn Closure>) {
    let shared = Core::with(|core| Arc::clone(&core.shared));
    // As in `Registered::deregister`.
    let registry = shared.filter(|shared| remote::is_of_this_process(shared.id));
    let deregistered =
        registry.map(|shared| contain("a source", || closure.deregister(&shared.registry)));
    if let Some(Some(Err(error))) = deregistered {
        // For instance the fd was closed behind our back. There is nothing left to undo then.
        observe::say(
            Level::Debug,
            observe::SOURCE,
            format_args!("deregistering a callback's source failed: {}", OneLine(error)),
        );
    }
    discard(closure);
}

/// Keeps a callback of [`on_ready`] registered; dropping it removes the callback and drops its source: at once
/// inside the running loop, else (on another thread, or between turns) when the loop takes the message,
/// before which it may be called once more.
#[must_use = "dropping a Registration removes its callback: keep it, or `detach` it"]
pub struct Registration<S> {
    key: Key,
    source: PhantomData<fn() -> S>,
}

impl<S: 'static> Registration<S> {
    /// Keeps the callback without the registration, until it returns [`Next::Remove`] or the loop is
    /// dropped: for a source that only its callback deals with.
    pub fn detach(self) {
        mem::forget(self); // It owns nothing but its number.
    }

    /// Reaches the source, for instance to write to a stream whose callback reads.
    ///
    /// # Panics
    ///
    /// Outside the loop it belongs to; if the source is gone because the callback returned
    /// [`Next::Remove`] or panicked; and inside the callback itself, which has the source as its
    /// argument. [`try_with`](Self::try_with) returns `None` in the last two cases.
    #[track_caller]
    pub fn with<R>(&self, reach: impl FnOnce(&mut S) -> R) -> R {
        match self.try_with(reach) {
            Some(value) => value,
            None => panic!(
                "headwaiter: `Registration::with` found no source: its callback has returned `Next::Remove`, or is running right now and has the source as its argument"
            ),
        }
    }

    /// As [`with`](Self::with), but `None` where the source is gone or lent.
    ///
    /// # Panics
    ///
    /// Outside the loop it belongs to.
    #[track_caller]
    pub fn try_with<R>(&self, reach: impl FnOnce(&mut S) -> R) -> Option<R> {
        let slot = self.key.slot;
        let closure = Core::at_home(self.key, "a `Registration`", |core| {
            core.reactor.sources.get_mut(slot)?.closure.take()
        })?;
        // A guard, so that a panic in `reach` does not lose the callback.
        let mut lent = Lent { slot, closure: Some(closure) };
        let source = lent.closure.as_mut()?.source().downcast_mut::<S>()?;
        Some(reach(source))
    }
}

struct Lent {
    slot: Slot,
    closure: Option<Box<dyn Closure>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(closure) = self.closure.take() {
            put_back(self.slot, closure);
        }
    }
}

impl<S> Drop for Registration<S> {
    fn drop(&mut self) {
        release(self.key, Release::Source(self.key.slot));
    }
}

impl<S> fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("source", &self.key.slot.generation())
            .finish_non_exhaustive()
    }
}
