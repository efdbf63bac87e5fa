//! Listening for the signals of Unix: [`signal`], [`SignalKind`], [`Signal`].

// signal-hook has the handlers, which may do next to nothing: one sets a flag and writes a byte
// into a socket pair. Each loop that listens has one such pair, made with its first listener and
// kept until the loop ends, and watches it with a callback: `deliver`. A listener is a slot in the
// reactor that `deliver` gives notice.

use std::cell::RefCell;
use std::ffi::c_int;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts;
use signal_hook_mio::v1_0 as hook;

use crate::about::about;
use crate::core::Core;
use crate::reactor::{self, Next, Notice, Registered, Registration, Wait, relay};
use crate::slots::Slot;

/// Which signal: see signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalKind(c_int);

/// The signals that have a name in log lines and messages. Those with a line of documentation have
/// a constructor.
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
    SIGALRM = alarm: "a timer of alarm(2) or setitimer(2) is over.",
    SIGCHLD = child: "a child process has ended, stopped or gone on.",
    SIGHUP = hangup: "the terminal is gone. Servers take it for \"read your settings again\".",
    SIGINT = interrupt: "Ctrl-C.",
    SIGIO = io: "a file descriptor is ready.",
    SIGPIPE = pipe: "a write to a pipe or socket that nobody reads.",
    SIGQUIT = quit: "Ctrl-\\\\, which asks for a core dump.",
    SIGTERM = terminate: "the polite request to end.",
    SIGUSR1 = user_defined1: "means what you like.",
    SIGUSR2 = user_defined2: "means what you like.",
    SIGWINCH = window_change: "the terminal has another size.",
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
    /// The signal with this number. That there is one is found out by [`signal`].
    pub const fn from_raw(number: c_int) -> Self {
        SignalKind(number)
    }

    /// Its number.
    pub const fn as_raw_value(self) -> c_int {
        self.0
    }

    /// Why nobody can listen for it, if so.
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

/// What signal-hook has room for. Systems have 64 or fewer, or say so of the rest.
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
/// A process has many listeners for one signal if it wants, in one loop or in several: each gets
/// it. What came before a listener was made is not for it.
///
/// # The default action
///
/// The first listener for a signal in a process installs a handler, and that stays for good: **when
/// the last listener is dropped the signal is not given back its default action. It then does
/// nothing at all.** So who has listened for SIGINT or SIGTERM goes on doing so, or ends. (A
/// handler that was there before, of a C library for instance, is still called. Child processes
/// start with the default actions.)
///
/// A loop that has listened once keeps two file descriptors for it until it is dropped.
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
/// must not be (SIGILL, SIGFPE, SIGSEGV), or do not exist. If the process has no file descriptors
/// left for the loop's first listener.
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
    // What came so far is for those who were here.
    deliver(&hook);
    // If the first signal of a loop is refused, `new` goes, and with it all that was made for it.
    hook.borrow().add_signal(kind.0).map_err(|error| about("listen for", kind, error))?;
    if let Some(watched) = new {
        watched.detach();
        Core::with(|core| core.signals = Some(Signals { hook, listeners: Vec::new() }));
    }
    Core::with(|core| core.listen(kind, notice.slot()));
    Ok(Signal { notice, kind })
}

/// A listener for one signal, made by [`signal`]. It is also a [`Stream`], which never ends.
///
/// Signals that come between two [`recv`](Self::recv) are remembered, but not counted: however many
/// there were, the next `recv` tells of one. (So does the kernel with those that it has not
/// delivered yet.)
///
/// It may be dropped on any thread.
pub struct Signal {
    notice: Registered<Notice>,
    kind: SignalKind,
}

impl Signal {
    /// Waits for the signal. It is never `None` while the loop lives.
    ///
    /// Cancel-safe: a signal that comes after the future was dropped is told by the next `recv`.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that made it.
    #[track_caller]
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { listener: self, wait: Wait::at(Location::caller()) }
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
        // The one error is that the loop is being dropped.
        Poll::Ready(ready!(this.listener.poll(&mut this.wait, cx)).ok())
    }
}

/// What a loop has of signals once it has listened for one.
pub(crate) struct Signals {
    hook: Rc<Hook>,
    /// Also some that are gone: they are noticed when the list would grow.
    listeners: Vec<(SignalKind, Slot)>,
}

/// Which signals have come, and the socket pair that says that some have.
type Hook = RefCell<hook::Signals>;

impl Core {
    fn listen(&mut self, kind: SignalKind, slot: Slot) {
        let Some(signals) = &mut self.signals else { return };
        if signals.listeners.len() == signals.listeners.capacity() {
            signals.listeners.retain(|(_, slot)| self.reactor.has(*slot));
        }
        signals.listeners.push((kind, slot));
    }
}

/// Also the registration of the hook, if it was made just now: the loop does not keep it before it
/// has a listener.
fn hook_of_this_loop() -> io::Result<(Rc<Hook>, Option<Registration<Watched>>)> {
    let hook = Core::with(|core| core.signals.as_ref().map(|signals| Rc::clone(&signals.hook)));
    if let Some(hook) = hook.flatten() {
        return Ok((hook, None));
    }
    let hook = Rc::new(RefCell::new(hook::Signals::new::<_, c_int>([])?));
    let source = Watched(Rc::clone(&hook));
    let watched = relay("signal socket", source, Interest::READABLE, |source, _| {
        deliver(&source.0);
        Next::Continue
    })?;
    Ok((hook, Some(watched)))
}

/// Gives notice to the listeners of all signals that have come.
fn deliver(hook: &Hook) {
    // This empties the socket first: the next signal is a new edge.
    let came: Vec<c_int> = hook.borrow_mut().pending().collect();
    for kind in came.into_iter().map(SignalKind) {
        let listeners = Core::with(|core| -> Vec<Slot> {
            let all = core.signals.iter().flat_map(|signals| &signals.listeners);
            all.filter(|(listened, _)| *listened == kind).map(|(_, slot)| *slot).collect()
        });
        listeners.into_iter().flatten().for_each(reactor::give);
    }
}

/// The hook as its callback's source. Shared, because a listener may be made, and so the hook used,
/// inside the callback: by a foreign waker that it wakes.
struct Watched(Rc<Hook>);

impl Source for Watched {
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
                assert!(Core::with(|core| core.reactor.has(listener.notice.slot())).unwrap());
            }
            let listed =
                Core::with(|core| core.signals.as_ref().map(|signals| signals.listeners.len()));
            assert!(listed.flatten().unwrap() <= 20);
            drop(stay);
        });
    }

    #[test]
    fn a_signal_without_a_name_is_called_by_its_number() {
        assert_eq!(SignalKind::interrupt().to_string(), "SIGINT");
        assert_eq!(SignalKind::from_raw(40).to_string(), "signal 40");
    }
}
