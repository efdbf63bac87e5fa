//! [`Guard`]: the single timer of a connection. It looks from time to time at what the [`Watch`]
//! has noted, and decides whether the connection may go on.
//!
//! Polled by the connection's task. It closes nothing itself.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{mem, pin::Pin};

use super::watch::{Watch, Why, turn_nanos};
use crate::time::{Sleep, now, sleep_until};

/// Fewer bytes than this between two looks do not count as progress of a response.
const PROGRESS: usize = 1024;

/// The same for HTTP/2, which answers pings and other requests also while a response is stuck.
const PROGRESS_HTTP2: usize = 16 * 1024;

/// How long an HTTP/2 connection may take to end after it was notified (GOAWAY).
const GOAWAY: Duration = Duration::from_secs(5);

/// What to do about a connection.
pub(super) enum Verdict {
    /// Close it gracefully.
    Close,
    /// Cut it off.
    Cut(Why),
}

/// The timer of a connection.
pub(super) struct Guard<'a> {
    watch: &'a Watch,
    timer: Sleep,
    /// How many bytes had been written when it last looked.
    written: usize,
    /// Since when the peer has been seen to take nothing of a response.
    stuck_since: Option<Instant>,
    /// The connection was asked to close. If it still exists at the next look, it is cut off.
    pub(super) is_closing: bool,
}

impl<'a> Guard<'a> {
    pub(super) fn new(watch: &'a Watch) -> Self {
        let timer = sleep_until(watch.header_deadline());
        Guard { watch, timer, written: 0, stuck_since: None, is_closing: false }
    }

    /// Ready if something must be done about the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Verdict> {
        // Each poll of the connection comes here, always in the same task, so its waker stays
        // registered.
        while !self.timer.still_waits() && Pin::new(&mut self.timer).poll(cx).is_ready() {
            match self.look(now()) {
                Ok(next) => self.timer.reset(next),
                Err(verdict) => return Poll::Ready(verdict),
            }
        }
        Poll::Pending
    }

    /// Returns when to look again, or what to do about the connection.
    fn look(&mut self, now: Instant) -> Result<Instant, Verdict> {
        let Watch { limits, traffic, .. } = self.watch;
        let written = traffic.written();
        let progress = if traffic.is_http2() { PROGRESS_HTTP2 } else { PROGRESS };
        let has_written = written.wrapping_sub(mem::replace(&mut self.written, written)) > progress;
        let was_slow = has_written && (traffic.take_was_blocked() || traffic.is_http2());

        let (in_flight, working) = (self.watch.in_flight.get(), self.watch.working.get());
        if traffic.is_blocked() || in_flight > working {
            // One stuck response is enough: a peer may keep others moving on purpose.
            let have_moved = in_flight > working && self.watch.fresh.get() == in_flight;
            if has_written || have_moved || self.stuck_since.is_none() {
                self.stuck_since = Some(now);
                self.watch.begin_epoch();
            }
            let until = self.stuck_since.unwrap_or(now) + limits.write;
            return if now < until { Ok(until) } else { Err(Verdict::Cut(Why::NotTaken)) };
        }
        self.stuck_since = None;
        if in_flight > 0 || traffic.has_bodies() || traffic.has_tunnel() {
            return Ok(now + limits.header.min(limits.write));
        }
        // Nothing is in flight. If the peer is slow, hyper may have been sending the last response
        // until now.
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
        // That closes an idle HTTP/1 connection. HTTP/2 notifies the peer, and waits for its
        // answer.
        if self.watch.is_http2() {
            self.timer.reset(now + GOAWAY);
        }
        Err(Verdict::Close)
    }
}
