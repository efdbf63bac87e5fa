//! The task of one connection: handshake, HTTP, the end. Spawned by [`serve`](super::serve()). A
//! single timer guards it, which looks from time to time at what the [`Watch`] has noted: so a
//! request costs no timer.

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::{Method, Request, StatusCode, Version};
use log::Level;

use super::handshake::Handshake;
use super::listener::Listener;
use super::serve::Server;
use super::service::{ConnectionService, HttpService};
use super::transport::{Traffic, Transport};
use crate::core::Core;
use crate::observe::{self, OneLine};
use crate::sync::OwnedSemaphorePermit;
use crate::time::{Sleep, now, sleep_until, timeout_at};

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the header of each request is there.
    pub(super) header: Duration,
    /// For how long a peer may take nothing of what it is sent.
    pub(super) write: Duration,
    /// How long the reader of a body may wait in all, and the rate at which bytes that come add to
    /// that: one second for so many.
    pub(super) body: Option<(Duration, u64)>,
    pub(super) max_body: u64,
}

/// Fewer bytes than this between two looks are no progress of a response.
const PROGRESS: usize = 1024;

/// The same of HTTP/2, which answers pings and other requests also while a response is stuck.
const PROGRESS_HTTP2: usize = 16 * 1024;

/// How long an HTTP/2 connection has, after it was told that it ends, to end.
const GOAWAY: Duration = Duration::from_secs(5);

/// Serves one connection, until it ends or has to be ended. It keeps its permit as long, if the
/// server has so many and no more.
pub(super) async fn serve_connection<L, S, H>(
    server: Rc<Server<S, H>>,
    stream: L::Stream,
    peer: L::Address,
    label: Rc<str>,
    _permit: Option<OwnedSemaphorePermit>,
) -> Result<(), Infallible>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    let limits = server.limits;
    let watch = Rc::new(Watch::new(label, limits));
    let mut closes = pin!(server.close.notified());
    let handshake = timeout_at(watch.header_deadline(), server.handshake.shake(stream));
    let stream = match first(handshake, closes.as_mut()).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => {
            watch.say(Level::Warn, format_args!("the handshake failed: {error}"));
            return Ok(());
        }
        Some(Err(_)) => {
            watch.say(Level::Warn, format_args!("no handshake within {:?}", limits.header));
            return Ok(());
        }
        None => return Ok(()), // The server ends, and no request has come.
    };
    let transport = Transport::new(stream, Arc::clone(&watch.traffic));
    let service = ConnectionService::new(Rc::clone(&server.service), peer, Rc::clone(&watch));
    let mut connection = pin!(server.http.serve_connection_with_upgrades(transport, service));
    let mut guard = Guard::new(&watch);
    // The waker of this task stays the same: so it is left once, and what it was for is seen in
    // `closing`.
    poll_fn(|cx| Poll::Ready(closes.as_mut().poll(cx).is_ready())).await;
    let mut is_closing = false;
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(if guard.is_closing {
                    Ended::Cut(Why::NoRequest)
                } else {
                    Ended::By(ended)
                });
            }
            // What had come in was read before this: a request among it is answered.
            if server.closing.get() && !is_closing {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            match guard.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Close) => connection.as_mut().graceful_shutdown(),
                Poll::Ready(Verdict::Cut(why)) => return Poll::Ready(Ended::Cut(why)),
            }
        }
    })
    .await;
    watch.traffic.set_over();
    watch.tell(ended, is_closing);
    Ok(())
}

/// The output of a future, unless the other is ready before.
async fn first<F: Future>(future: F, mut other: Pin<&mut impl Future>) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => other.as_mut().poll(cx).map(|_| None),
    })
    .await
}

/// How a connection came to its end.
enum Ended {
    By(Result<(), Box<dyn Error + Send + Sync>>),
    Cut(Why),
}

/// What is noted of a connection, for the timer that guards it.
pub(super) struct Watch {
    label: Rc<str>,
    pub(super) limits: Limits,
    pub(super) traffic: Arc<Traffic>,
    /// Requests whose response has not been handed to hyper to the end.
    in_flight: Cell<usize>,
    /// How many of these wait for the program: for its handler, or the next part of its response.
    working: Cell<usize>,
    /// How many of those in flight wait for the program, or have moved since the guard last began
    /// to count anew.
    fresh: Cell<usize>,
    /// Counts how often that was, wrapping.
    epoch: Cell<u32>,
    /// A request has come.
    has_begun: Cell<bool>,
    /// A body was refused, and that was logged.
    has_refused: Cell<bool>,
    /// Since when nothing is in flight, and a request is waited for: a time of the loop's clock, in
    /// nanoseconds.
    idle_since: Cell<u64>,
}

impl Watch {
    fn new(label: Rc<str>, limits: Limits) -> Self {
        Watch {
            label,
            limits,
            traffic: Arc::default(),
            in_flight: Cell::new(0),
            working: Cell::new(0),
            fresh: Cell::new(0),
            epoch: Cell::new(0),
            has_begun: Cell::new(false),
            has_refused: Cell::new(false),
            idle_since: Cell::new(turn_nanos()),
        }
    }

    /// The header of a request is there.
    pub(super) fn begin<B>(self: &Rc<Self>, request: &Request<B>) -> InFlight {
        let is_http2 = request.version() == Version::HTTP_2;
        if is_http2 {
            self.traffic.set_http2();
        }
        self.has_begun.set(true);
        self.in_flight.set(self.in_flight.get() + 1);
        self.fresh.set(self.fresh.get() + 1);
        InFlight {
            watch: Rc::clone(self),
            is_working: Cell::new(false),
            epoch: Cell::new(self.epoch.get()),
            may_be_tunnel: is_http2 && request.method() == Method::CONNECT,
        }
    }

    /// From now on it is counted which requests move. Those that wait for the program cannot.
    fn count_anew(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        self.fresh.set(self.working.get());
    }

    /// The level at which a refused body is logged: what each request of a client can cause is told
    /// loudly once.
    pub(super) fn refusal_level(&self) -> Level {
        if self.has_refused.replace(true) { Level::Debug } else { Level::Warn }
    }

    /// Of a client that has not sent a request: HTTP/2 is what the server speaks before one.
    fn is_http2(&self) -> bool {
        self.traffic.is_http2() || !self.has_begun.get() && self.traffic.written() > 0
    }

    /// Until when the header of the next request has to be there.
    fn header_deadline(&self) -> Instant {
        Core::expect("`serve`", |core| core.clock.instant(self.idle_since.get()))
            + self.limits.header
    }

    /// Until when a connection with nothing in flight is kept. HTTP/2 takes a response whole, and
    /// may still be sending it: so its peer has as long as it has to take a response.
    fn idle_deadline(&self) -> Instant {
        let Limits { header, write, .. } = self.limits;
        let more =
            if self.traffic.is_http2() { write.saturating_sub(header) } else { Duration::ZERO };
        self.header_deadline() + more
    }

    pub(super) fn say(&self, level: Level, what: fmt::Arguments<'_>) {
        observe::say(level, observe::HTTP, format_args!("{}: {what}", self.label));
    }

    #[cold]
    fn tell_error(&self, error: &(dyn Error + 'static), is_closing: bool) {
        let hyper = error.downcast_ref::<hyper::Error>();
        let io = error.downcast_ref::<io::Error>();
        let level = if hyper.is_some_and(hyper::Error::is_parse) {
            Level::Warn // Malformed, or too large.
        } else if hyper.is_some_and(hyper::Error::is_user) {
            Level::Error // The body of a response failed.
        } else if is_closing && io.is_some_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return; // Closed before it had said anything.
        } else {
            Level::Debug // The peer has gone.
        };
        self.say(level, format_args!("{}", OneLine(Chain(error))));
    }

    fn tell(&self, ended: Ended, is_closing: bool) {
        match ended {
            Ended::By(Ok(())) => {}
            Ended::By(Err(error)) => self.tell_error(&*error, is_closing),
            Ended::Cut(Why::NoRequest) if self.traffic.is_receiving() && !self.is_http2() => {
                let header = self.limits.header;
                self.say(
                    Level::Warn,
                    format_args!("the header of a request did not come within {header:?}"),
                );
            }
            Ended::Cut(Why::NoRequest) => {
                self.say(Level::Debug, format_args!("no request within {:?}", self.limits.header));
            }
            Ended::Cut(Why::NotTaken) => {
                let write = self.limits.write;
                self.say(
                    Level::Warn,
                    format_args!("the peer took nothing of a response for {write:?}"),
                );
            }
        }
    }
}

/// A request in flight: from its header until its response is with hyper, or it is dropped.
pub(super) struct InFlight {
    watch: Rc<Watch>,
    is_working: Cell<bool>,
    /// When it last moved, as [`Watch::epoch`] counts.
    epoch: Cell<u32>,
    /// It is a CONNECT over HTTP/2.
    may_be_tunnel: bool,
}

impl InFlight {
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The program has answered.
    pub(super) fn answered(&self, status: StatusCode) {
        if self.may_be_tunnel && status.is_success() {
            self.watch.traffic.set_tunnel();
        }
    }

    fn is_fresh(&self) -> bool {
        self.is_working.get() || self.epoch.get() == self.watch.epoch.get()
    }

    /// Whether it waits for the program. Else it has moved, and waits for the peer to take what it
    /// is sent.
    pub(super) fn set_working(&self, is_working: bool) {
        let watch = &*self.watch;
        if !self.is_fresh() {
            watch.fresh.set(watch.fresh.get() + 1);
        }
        if is_working != self.is_working.replace(is_working) {
            let working = &watch.working;
            working.set(if is_working { working.get() + 1 } else { working.get() - 1 });
        }
        self.epoch.set(watch.epoch.get());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_working(false);
        let watch = &*self.watch;
        watch.fresh.set(watch.fresh.get() - 1);
        let left = watch.in_flight.get() - 1;
        watch.in_flight.set(left);
        if left == 0 {
            // Only for the timeout: so the time at which this turn of the loop began is good
            // enough, and costs nothing.
            watch.idle_since.set(turn_nanos());
        }
    }
}

/// Why a connection was cut.
enum Why {
    NoRequest,
    NotTaken,
}

enum Verdict {
    /// To be closed gracefully.
    Close,
    Cut(Why),
}

/// The timer of a connection.
struct Guard<'a> {
    watch: &'a Watch,
    timer: Sleep,
    /// How many bytes had been written at the last look.
    written: usize,
    /// Since when the peer has been seen to take nothing of a response.
    stuck_since: Option<Instant>,
    /// The connection was told to close. The next look cuts it.
    is_closing: bool,
}

impl<'a> Guard<'a> {
    fn new(watch: &'a Watch) -> Self {
        let timer = sleep_until(watch.header_deadline());
        Guard { watch, timer, written: 0, stuck_since: None, is_closing: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        // Each poll of the connection comes here, and it is always the same task: its waker need
        // not be left anew.
        while !self.timer.still_waits() && Pin::new(&mut self.timer).poll(cx).is_ready() {
            match self.look(now()) {
                Ok(next) => self.timer.reset(next),
                Err(verdict) => return Poll::Ready(verdict),
            }
        }
        Poll::Pending
    }

    /// When to look again, or what is to be done about the connection.
    fn look(&mut self, now: Instant) -> Result<Instant, Verdict> {
        let Watch { limits, traffic, .. } = self.watch;
        let written = traffic.written();
        let progress = if traffic.is_http2() { PROGRESS_HTTP2 } else { PROGRESS };
        let has_written = written.wrapping_sub(mem::replace(&mut self.written, written)) > progress;
        let was_slow = has_written && (traffic.take_was_blocked() || traffic.is_http2());

        let (in_flight, working) = (self.watch.in_flight.get(), self.watch.working.get());
        if traffic.is_blocked() || in_flight > working {
            // One response that is stuck is enough: others beside it may be kept moving on purpose.
            let have_moved = in_flight > working && self.watch.fresh.get() == in_flight;
            if has_written || have_moved || self.stuck_since.is_none() {
                self.stuck_since = Some(now);
                self.watch.count_anew();
            }
            let until = self.stuck_since.unwrap_or(now) + limits.write;
            return if now < until { Ok(until) } else { Err(Verdict::Cut(Why::NotTaken)) };
        }
        self.stuck_since = None;
        if in_flight > 0 || traffic.has_bodies() || traffic.has_tunnel() {
            return Ok(now + limits.header.min(limits.write));
        }
        // Nothing is in flight. But the last response may have been with hyper until now, if the
        // peer is slow.
        if was_slow {
            self.watch.idle_since.set(turn_nanos());
        }
        let until = self.watch.idle_deadline();
        if now < until {
            return Ok(until);
        }
        if mem::replace(&mut self.is_closing, true) {
            return Err(Verdict::Cut(Why::NoRequest));
        }
        // An idle HTTP/1 connection is closed by that. HTTP/2 tells the peer, and waits for its
        // answer.
        if self.watch.is_http2() {
            self.timer.reset(now + GOAWAY);
        }
        Err(Verdict::Close)
    }
}

/// When this turn of the loop began. (0 in a loop that is being dropped: nothing waits for a
/// timeout there.)
fn turn_nanos() -> u64 {
    Core::with(|core| core.clock.turn_nanos()).unwrap_or_default()
}

/// An error with all its sources.
pub(super) struct Chain<'a>(pub(super) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
