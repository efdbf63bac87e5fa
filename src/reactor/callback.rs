//! The callback interface: a source and a user's closure, both stored in the source's slot, without
//! any future. [`on_ready`] puts them there. When the slot posts a call, the door makes it. The
//! closure never runs while the state is borrowed.

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;

use mio::event::Source as Io;
use mio::{Interest, Token};

use super::register::register;
use crate::door::{Door, put_back, release};
use crate::state::{Callback, Key, Next, Ready, Release, Slot, Source};

/// A callback with its concrete types.
struct Typed<S, F> {
    source: S,
    interest: Interest,
    call: F,
    /// Where the callback was registered.
    place: &'static Location<'static>,
}

impl<S, F> Callback for Typed<S, F>
where
    S: Io + 'static,
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

/// Calls `callback` whenever the kernel reports that `source` is ready. This is the loop's own
/// interface, below all futures. The loop keeps both until the [`Registration`] is dropped or the
/// callback returns [`Next::Remove`].
///
/// The source is registered *edge-triggered*: the callback is called when the source becomes ready,
/// not for as long as it is ready. So read, write or accept until
/// [`WouldBlock`](io::ErrorKind::WouldBlock), or return [`Next::Again`]. Otherwise there may never
/// be another call. The first call comes with the first event, never from inside `on_ready`.
///
/// The callback runs on the loop's thread, in the phase that dispatches events. Nothing else runs
/// in the loop meanwhile, so the callback must not block. It may use the loop in any way: spawn,
/// register, and drop any registration, including its own. If it panics, the panic is logged and
/// the registration is removed.
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
/// Returns the kernel's error for the registration: for instance `PermissionDenied` for a regular
/// file, which is always ready and so cannot be watched (epoll_ctl(2), EPERM), or `AlreadyExists`
/// for a file descriptor that is already registered. The source and the callback are then dropped.
///
/// # Panics
///
/// Panics outside any event loop.
#[track_caller]
pub fn on_ready<S, F>(source: S, interest: Interest, callback: F) -> io::Result<Registration<S>>
where
    S: Io + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    enter(Source::new("callback source", Ready::NONE), source, interest, callback)
}

/// Like [`on_ready`], for a callback of this crate that passes events on to other slots.
#[cfg_attr(not(any(target_os = "linux", all(unix, feature = "signal"))), expect(dead_code))]
#[track_caller]
pub(crate) fn relay<S, F>(
    kind: &'static str,
    source: S,
    interest: Interest,
    callback: F,
) -> io::Result<Registration<S>>
where
    S: Io + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    let slot = Source::new(kind, Ready::NONE).marked(Source::IS_RELAY);
    enter(slot, source, interest, callback)
}

/// Registers the source, and puts the callback into its slot.
#[track_caller]
fn enter<S, F>(
    slot: Source,
    source: S,
    interest: Interest,
    callback: F,
) -> io::Result<Registration<S>>
where
    S: Io + 'static,
    F: FnMut(&mut S, Ready) -> Next + 'static,
{
    let mut callback = Typed { source, interest, call: callback, place: Location::caller() };
    let slot = slot.marked(Source::HAS_CALLBACK | Source::HAS_MORE);
    // Registered before the callback is stored: if this fails, there is no slot, and `callback` is
    // dropped here.
    let key = register("`on_ready`", &mut callback.source, interest, slot)?;
    put_back(key.slot, Box::new(callback));
    Ok(Registration { key, source: PhantomData })
}

/// Keeps a callback of [`on_ready`] registered. Dropping this removes the callback and drops its
/// source. Inside the running loop, that happens immediately. On another thread, or between turns,
/// it happens when the loop takes the message, and the callback may be called once more before
/// that.
#[must_use = "dropping a Registration removes its callback: keep it, or `detach` it"]
pub struct Registration<S> {
    key: Key,
    source: PhantomData<fn() -> S>,
}

impl<S: 'static> Registration<S> {
    /// Keeps the callback registered without this value, until it returns [`Next::Remove`] or the
    /// loop is dropped. Use it for a source that only its callback needs.
    pub fn detach(self) {
        mem::forget(self); // It owns only its key.
    }

    /// Gives access to the source, for instance to write to a stream whose callback reads.
    ///
    /// # Panics
    ///
    /// Panics outside the loop to which it belongs; if the source is gone because the callback
    /// returned [`Next::Remove`] or panicked; and inside the callback itself, which has the source
    /// as its argument. [`try_with`](Self::try_with) returns `None` in the last two cases.
    #[track_caller]
    pub fn with<R>(&self, reach: impl FnOnce(&mut S) -> R) -> R {
        match self.try_with(reach) {
            Some(value) => value,
            None => panic!(
                "headwaiter: `Registration::with` found no source: its callback has returned `Next::Remove`, or is running right now and has the source as its argument"
            ),
        }
    }

    /// Like [`with`](Self::with), but returns `None` if the source is gone or in use.
    ///
    /// # Panics
    ///
    /// Panics outside the loop to which it belongs.
    #[track_caller]
    pub fn try_with<R>(&self, reach: impl FnOnce(&mut S) -> R) -> Option<R> {
        let slot = self.key.slot;
        let mut door = Door::at_home(self.key, "a `Registration`");
        let callback = door.sources.get_mut(slot)?.callback.take()?;
        // `reach` is user code, so the state must not be borrowed while it runs.
        drop(door);
        // The guard puts the callback back even if `reach` panics.
        let mut taken = Taken { slot, callback: Some(callback) };
        let source = taken.callback.as_mut()?.source().downcast_mut::<S>()?;
        Some(reach(source))
    }
}

/// A callback that was taken out of its slot. Dropping this puts it back.
struct Taken {
    slot: Slot,
    callback: Option<Box<dyn Callback>>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(callback) = self.callback.take() {
            put_back(self.slot, callback);
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
