//! What hyper asks of a runtime besides streams: [`Executor`] and [`Timer`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;

use crate::core::Core;
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

/// hyper's timeouts on the timers of the loop that runs here: also on a virtual clock.
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

/// As [`Timer`], but its time is that at which the turn of the loop began: for a server, which asks
/// with every frame.
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
        // A body that is read on another thread asks too, with a lock of hyper's held: a panic
        // would poison it.
        Core::with(|core| core.clock.instant(core.clock.turn_nanos())).unwrap_or_else(Instant::now)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        Timer.reset(sleep, deadline);
    }
}

struct TimerSleep(Sleep);

impl Future for TimerSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl rt::Sleep for TimerSleep {}
