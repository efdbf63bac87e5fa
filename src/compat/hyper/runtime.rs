//! What hyper needs from a runtime besides streams: [`Executor`] and [`Timer`].
//!
//! Both are markers: they use the loop that runs on the calling thread.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;

use crate::door::Door;
use crate::time::{Sleep, now, sleep, sleep_until};

/// Spawns hyper's tasks on the loop that runs here. They need not be `Send`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future<Output: 'static> + 'static,
{
    /// # Panics
    ///
    /// Outside any event loop.
    #[track_caller]
    fn execute(&self, future: F) {
        drop(crate::spawn(future));
    }
}

/// hyper's timeouts on the timers of the loop that runs here, a virtual clock included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(TimerSleep(sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(TimerSleep(sleep_until(deadline)))
    }

    fn now(&self) -> Instant {
        now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<TimerSleep>() {
            Some(mut sleep) => sleep.0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// As [`Timer`], but its time is the start of the loop's turn. For a server, which asks for the
/// time with every frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoarseTimer;

impl rt::Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Timer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Timer.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        // A body that is read on another thread asks too, while hyper holds a lock, which a panic
        // would poison.
        Door::open().map_or_else(Instant::now, |door| door.clock.instant(door.clock.turn_nanos()))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        Timer.reset(sleep, deadline);
    }
}

/// A timer of the loop as one of hyper.
struct TimerSleep(Sleep);

impl Future for TimerSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl rt::Sleep for TimerSleep {}
