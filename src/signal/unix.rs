//! Listening for the signals of Unix: [`signal`], [`SignalKind`], [`Signal`].

// A signal handler may do very little, so signal-hook's sets a flag and writes a byte into a socket
// pair. Each loop that listens has one such pair, made with its first listener and kept until the
// loop ends. The loop watches it with a callback, `deliver`, which gives notice to the listeners,
// each a slot of the reactor.

use std::task::{Context, Poll, ready};
use std::{cell::RefCell, ffi::c_int, fmt, io, panic::Location, pin::Pin, rc::Rc};

use futures_core::Stream;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts;
use signal_hook_mio::v1_0 as hook;

use crate::reactor::{self, Next, Notice, Registered, Registration, Wait, relay};
use crate::{about::about, door::Door, state::Slot};

/// A signal, by its number: see signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(c_int);

/// The signals that have a name in log lines and messages. Those with documentation have a
/// constructor.
macro_rules! names {
    ($($name:ident $(= $constructor:ident: $doc:literal)?,)*) => {
        impl SignalKind {
            $($(
                #[doc = concat!(stringify!($name), ": ", $doc)]
                pub const fn $constructor() -> Self {
                    SignalKind(consts::$name)
                }
            )?)*

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(consts::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    SIGALRM = alarm: "a timer of alarm(2) or setitimer(2) has expired.",
    SIGCHLD = child: "a child process has ended, stopped or continued.",
    SIGHUP = hangup: "the terminal was closed. Servers take it as a request to reload their settings.",
    SIGINT = interrupt: "Ctrl-C.",
    SIGIO = io: "a file descriptor is ready.",
    SIGPIPE = pipe: "a write to a pipe or socket without a reader.",
    SIGQUIT = quit: "Ctrl-\\\\, which asks for a core dump.",
    SIGTERM = terminate: "the request to end.",
    SIGUSR1 = user_defined1: "has no fixed meaning.",
    SIGUSR2 = user_defined2: "has no fixed meaning.",
    SIGWINCH = window_change: "the size of the terminal has changed.",
    SIGABRT,
    SIGBUS,
    SIGCONT,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGPROF,
    SIGSEGV,
    SIGSTOP,
    SIGSYS,
    SIGTRAP,
    SIGTSTP,
    SIGTTIN,
    SIGTTOU,
    SIGURG,
    SIGVTALRM,
    SIGXCPU,
    SIGXFSZ,
}

impl SignalKind {
    /// The signal with this number. [`signal`] checks whether it exists.
    #[must_use]
    pub const fn from_raw(number: c_int) -> Self {
        SignalKind(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw_value(self) -> c_int {
        self.0
    }

    /// Why it cannot be listened for, if it cannot.
    fn refusal(self) -> Option<&'static str> {
        match self.0 {
            consts::SIGKILL | consts::SIGSTOP => Some("the kernel lets no process handle it"),
            consts::SIGILL | consts::SIGFPE | consts::SIGSEGV => {
                Some("it means a failed instruction, which would only fail again")
            }
            1..MOST => None,
            _ => Some("there is no such signal"),
        }
    }
}

/// The limit of signal-hook. Systems have at most 64 signals, or report an error for the others.
const MOST: c_int = 128;

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Listens for a signal, in the loop that runs here.
///
/// A process may have many listeners for one signal, in one loop or in several, and each gets it. A
/// listener does not get signals from before it was made.
///
/// # The default action
///
/// The first listener for a signal in a process installs a handler, which stays for good: **when
/// the last listener is dropped, the default action is not restored. The signal then does nothing
/// at all.** So a program that has listened for SIGINT or SIGTERM should go on listening, or end.
/// (A handler that was installed before, for instance by a C library, is still called. Child
/// processes start with the default actions.)
///
/// A loop that has listened once keeps two file descriptors until it is dropped.
///
/// ```
/// use headwaiter::signal::unix::{SignalKind, signal};
///
/// headwaiter::block_on(async {
///     let mut hangups = signal(SignalKind::hangup())?;
///     # signal_hook::low_level::raise(signal_hook::consts::SIGHUP)?;
///     // From somewhere: kill -HUP
///     hangups.recv().await;
///     println!("reading the settings again");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// `InvalidInput`, with the signal's name, for those that cannot be handled (SIGKILL, SIGSTOP),
/// must not be (SIGILL, SIGFPE, SIGSEGV), or do not exist. If the process has no free file
/// descriptors for the loop's first listener.
///
/// # Panics
///
/// Outside any event loop.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let notice = Registered::notice(kind.name().unwrap_or("signal"))?;
    if let Some(why) = kind.refusal() {
        let refused = io::Error::new(io::ErrorKind::InvalidInput, why);
        return Err(about("listen for", kind, refused));
    }
    let (hook, new) = hook_of_this_loop().map_err(|error| about("listen for", kind, error))?;
    // Signals so far are for the listeners so far, so they are delivered first.
    deliver(&hook);
    // If the first signal of a loop is refused, `new` is dropped, and the socket pair with it.
    hook.borrow().add_signal(kind.0).map_err(|error| about("listen for", kind, error))?;
    if let Some(watched) = new {
        watched.detach();
        let listeners = RefCell::new(Vec::new());
        Door::expect("`signal`").signals = Some(Rc::new(Signals { hook, listeners }));
    }
    if let Some(signals) = signals_of_this_loop() {
        signals.listen(kind, notice.slot());
    }
    Ok(Signal { notice, kind })
}

/// A listener for one signal, made by [`signal`]. It is also a [`Stream`], which never ends.
///
/// Signals between two calls of [`recv`](Self::recv) are coalesced: however many there were, the
/// next `recv` reports one. (The kernel does the same with signals that it has not delivered yet.)
///
/// It may be dropped on any thread.
pub struct Signal {
    notice: Registered<Notice>,
    kind: SignalKind,
}

impl Signal {
    /// Waits for the signal. The result is `None` only if the loop is being dropped.
    ///
    /// Cancel-safe: a signal that arrives after the future was dropped is reported by the next
    /// `recv`.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop in which the listener was made.
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { listener: self, wait: Wait::at(Location::caller()) }
    }

    /// Like [`recv`](Self::recv), for hand-written futures.
    ///
    /// # Panics
    ///
    /// Outside the loop in which the listener was made.
    #[track_caller]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Pin::new(self).poll_next(cx)
    }

    pub(crate) fn poll(&self, wait: &mut Wait, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.notice.poll_notice(wait, cx)
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Poll::Ready(ready!(self.poll(&mut Wait::unticketed(), cx)).ok())
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&format_args!("{}", self.kind)).finish()
    }
}

/// The future of [`Signal::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a> {
    listener: &'a Signal,
    wait: Wait,
}

impl Future for Recv<'_> {
    type Output = Option<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // The only error is that the loop is being dropped.
        Poll::Ready(ready!(this.listener.poll(&mut this.wait, cx)).ok())
    }
}

/// The signals of a loop, once it has listened for one.
struct Signals {
    hook: Rc<Hook>,
    /// It also has listeners that were dropped. They are removed when the list would grow.
    listeners: RefCell<Vec<(SignalKind, Slot)>>,
}

/// The flags of the signals, and the socket pair that reports that some are set.
type Hook = RefCell<hook::Signals>;

impl Signals {
    fn listen(&self, kind: SignalKind, slot: Slot) {
        let mut listeners = self.listeners.borrow_mut();
        if listeners.len() == listeners.capacity() {
            listeners.retain(|(_, slot)| reactor::is_there(*slot));
        }
        listeners.push((kind, slot));
    }
}

fn signals_of_this_loop() -> Option<Rc<Signals>> {
    let signals = Door::open()?.signals.clone()?;
    signals.downcast().ok()
}

/// Returns the hook of the loop that runs here, and its registration if it was made just now: the
/// loop keeps it only once it has a listener.
fn hook_of_this_loop() -> io::Result<(Rc<Hook>, Option<Registration<HookSource>>)> {
    if let Some(signals) = signals_of_this_loop() {
        return Ok((Rc::clone(&signals.hook), None));
    }
    let hook = Rc::new(RefCell::new(hook::Signals::new::<_, c_int>([])?));
    let source = HookSource(Rc::clone(&hook));
    let watched = relay("signal socket", source, Interest::READABLE, |source, _| {
        deliver(&source.0);
        Next::Continue
    })?;
    Ok((hook, Some(watched)))
}

/// Gives notice to the listeners of all signals that have arrived.
fn deliver(hook: &Hook) {
    // This empties the socket first: the next signal is a new edge.
    let arrived: Vec<c_int> = hook.borrow_mut().pending().collect();
    for kind in arrived.into_iter().map(SignalKind) {
        let Some(signals) = signals_of_this_loop() else { return };
        let of_kind = |(listened, slot): &(SignalKind, Slot)| (*listened == kind).then_some(*slot);
        let slots: Vec<_> = signals.listeners.borrow().iter().filter_map(of_kind).collect();
        // Outside the borrow: giving notice may call a foreign waker, which may listen or drop a
        // listener.
        slots.into_iter().for_each(reactor::give);
    }
}

/// The hook as the source of its callback. It is shared, because a foreign waker that the callback
/// wakes may make a listener, which uses the hook.
struct HookSource(Rc<Hook>);

impl Source for HookSource {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.0.borrow_mut().register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.0.borrow_mut().reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.borrow_mut().deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    #[test]
    fn listeners_that_come_and_go_leave_nothing_in_the_loop() {
        block_on(async {
            // A few that stay, so that the rest cannot simply be cleared.
            let stay: Vec<_> =
                (0..10).map(|_| signal(SignalKind::window_change()).unwrap()).collect();
            for _ in 0..10_000 {
                let listener = signal(SignalKind::window_change()).unwrap();
                assert!(reactor::is_there(listener.notice.slot()));
            }
            let listed = signals_of_this_loop().map(|signals| signals.listeners.borrow().len());
            assert!(listed.unwrap() <= 20);
            drop(stay);
        });
    }

    #[test]
    fn a_signal_without_a_name_is_called_by_its_number() {
        assert_eq!(SignalKind::interrupt().to_string(), "SIGINT");
        assert_eq!(SignalKind::from_raw(40).to_string(), "signal 40");
    }
}
