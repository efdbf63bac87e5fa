//! Timers: [`sleep()`], [`timeout()`] and [`interval()`], and the time that they use: [`now()`], [`advance`].

// One timing wheel and one clock for each loop, both in the state. Timers are armed by futures when they
// are first polled, and fired by the fourth phase of a turn.

mod sleep;
mod timeout;
mod interval;
mod fire;
mod now;

pub(crate) use self::fire::{drop_all, fire};
pub use self::interval::{Interval, MissedTickBehavior, Tick, interval, interval_at};
pub use self::now::{Advance, advance, now};
pub(crate) use self::sleep::deadline_after;
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, Timeout, timeout, timeout_at};
