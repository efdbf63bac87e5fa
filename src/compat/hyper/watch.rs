//! [`Watch`]: what is noted about a connection for its guard and its log lines, and [`InFlight`],
//! the part of a request in that. Noting costs a request no timer.
//!
//! All of it happens on the loop's own thread.

use std::time::{Duration, Instant};
use std::{cell::Cell, error::Error, fmt, io, rc::Rc, sync::Arc};

use hyper::{Method, Request, StatusCode, Version};
use log::Level;

use super::transport::Traffic;
use crate::door::Door;
use crate::state::{HTTP, OneLine, say};

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long the header of each request may take.
    pub(super) header: Duration,
    /// How long a peer may take nothing of what it is sent.
    pub(super) write: Duration,
    /// How long the reader of a body may wait in total, and how many bytes that arrive add a second
    /// to that.
    pub(super) body: Option<(Duration, u64)>,
    /// The largest body of a request, in bytes.
    pub(super) max_body: u64,
}

/// How a connection ended.
pub(super) enum Ended {
    /// hyper has ended it, or failed.
    By(Result<(), Box<dyn Error + Send + Sync>>),
    /// The guard has cut it off.
    Cut(Why),
}

/// Why a connection was cut off.
pub(super) enum Why {
    /// No request, or not all of its header, arrived in time.
    NoRequest,
    /// The peer took nothing of a response for too long.
    NotTaken,
}

/// What is noted about a connection, for its guard. All times are those of the loop's clock.
pub(super) struct Watch {
    label: Rc<str>,
    pub(super) limits: Limits,
    pub(super) traffic: Arc<Traffic>,
    /// How many requests have a response that was not handed to hyper completely.
    pub(super) in_flight: Cell<usize>,
    /// How many of these wait for the program: for the handler, or for the next part of the
    /// response.
    pub(super) working: Cell<usize>,
    /// How many of those in flight wait for the program, or have made progress in this epoch.
    pub(super) fresh: Cell<usize>,
    /// The number of times that the guard has begun to count progress anew, wrapping.
    epoch: Cell<u32>,
    /// A request has arrived.
    has_begun: Cell<bool>,
    /// A body was refused, and that was logged at `warn`.
    has_refused: Cell<bool>,
    /// Since when the connection is idle: nothing is in flight, and it waits for a request. In
    /// nanoseconds.
    pub(super) idle_since: Cell<u64>,
}

impl Watch {
    pub(super) fn new(label: Rc<str>, limits: Limits) -> Self {
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

    /// The header of a request has arrived.
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

    /// Begins an epoch: progress is counted anew. Requests that wait for the program count as
    /// having made progress.
    pub(super) fn begin_epoch(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        self.fresh.set(self.working.get());
    }

    /// The level at which a refused body is logged: `warn` once, because each request of a client
    /// can cause it.
    pub(super) fn refusal_level(&self) -> Level {
        if self.has_refused.replace(true) { Level::Debug } else { Level::Warn }
    }

    /// Whether it speaks HTTP/2. Before the first request: only HTTP/2 servers write something
    /// then.
    pub(super) fn is_http2(&self) -> bool {
        self.traffic.is_http2() || !self.has_begun.get() && self.traffic.written() > 0
    }

    /// When the header of the next request must have arrived.
    pub(super) fn header_deadline(&self) -> Instant {
        Door::expect("`serve`").clock.instant(self.idle_since.get()) + self.limits.header
    }

    /// When an idle connection is closed. hyper takes a response of HTTP/2 whole, and may still be
    /// sending it, so the peer has at least the time that it has to take a response.
    pub(super) fn idle_deadline(&self) -> Instant {
        let Limits { header, write, .. } = self.limits;
        let more =
            if self.traffic.is_http2() { write.saturating_sub(header) } else { Duration::ZERO };
        self.header_deadline() + more
    }

    /// Logs a line about this connection.
    pub(super) fn say(&self, level: Level, what: fmt::Arguments<'_>) {
        say(level, HTTP, format_args!("{}: {what}", self.label));
    }

    #[cold]
    fn log_error(&self, error: &(dyn Error + 'static), is_closing: bool) {
        let hyper = error.downcast_ref::<hyper::Error>();
        let io = error.downcast_ref::<io::Error>();
        let level = if hyper.is_some_and(hyper::Error::is_parse) {
            // Malformed, or too large.
            Level::Warn
        } else if hyper.is_some_and(hyper::Error::is_user) {
            // The body of a response failed.
            Level::Error
        } else if is_closing && io.is_some_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            // The server closed it before the client had sent anything.
            return;
        } else {
            // The peer is gone.
            Level::Debug
        };
        self.say(level, format_args!("{}", OneLine(Chain(error))));
    }

    /// Logs how the connection ended, unless it ended as it should.
    pub(super) fn log_end(&self, ended: Ended, is_closing: bool) {
        match ended {
            Ended::By(Ok(())) => {}
            Ended::By(Err(error)) => self.log_error(&*error, is_closing),
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

/// A request in flight: from its header until its response was handed to hyper, or dropped.
pub(super) struct InFlight {
    watch: Rc<Watch>,
    /// It waits for the program.
    is_working: Cell<bool>,
    /// The epoch in which it last made progress.
    epoch: Cell<u32>,
    /// It is a CONNECT over HTTP/2, which becomes a tunnel if it succeeds.
    may_be_tunnel: bool,
}

impl InFlight {
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The program has returned a response.
    pub(super) fn answered(&self, status: StatusCode) {
        if self.may_be_tunnel && status.is_success() {
            self.watch.traffic.set_tunnel();
        }
    }

    /// Whether it is counted in [`Watch::fresh`].
    fn is_fresh(&self) -> bool {
        self.is_working.get() || self.epoch.get() == self.watch.epoch.get()
    }

    /// Notes progress, and whether it waits for the program now. Otherwise it waits for the peer to
    /// take the response.
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
            // Only for a timeout, so the start of this turn of the loop is good enough, and costs
            // no clock read.
            watch.idle_since.set(turn_nanos());
        }
    }
}

/// When this turn of the loop began. (0 in a loop that is being dropped, where no timeout matters.)
pub(super) fn turn_nanos() -> u64 {
    Door::open().map(|door| door.clock.turn_nanos()).unwrap_or_default()
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
