//! Timers: [`sleep()`], [`timeout()`] and [`interval()`], and the time that they use: [`now()`],
//! [`advance`].
//!
//! # Many deadlines with keys
//!
//! Entries of a cache or sessions of guests expire one by one; until then each may be renewed or
//! removed. (tokio-util has `DelayQueue` for that.) An ordered set of the deadlines and one
//! [`sleep_until`] the first of them are enough. Each insertion, removal and renewal costs
//! O(log n), and the loop has one timer, however many entries there are:
//!
//! ```
//! use futures_lite::future;
//! use headwaiter::sync::mpsc;
//! use headwaiter::{Clock, EventLoop, spawn, time};
//! use std::collections::{BTreeSet, HashMap};
//! use std::time::{Duration, Instant};
//!
//! /// Keys that expire, each at a time of its own.
//! #[derive(Default)]
//! struct Expiries {
//!     order: BTreeSet<(Instant, &'static str)>,
//!     deadlines: HashMap<&'static str, Instant>,
//! }
//!
//! impl Expiries {
//!     /// Inserts a key, or renews it.
//!     fn insert(&mut self, key: &'static str, after: Duration) {
//!         self.remove(key);
//!         let deadline = time::now() + after;
//!         self.deadlines.insert(key, deadline);
//!         self.order.insert((deadline, key));
//!     }
//!
//!     fn remove(&mut self, key: &'static str) -> bool {
//!         let deadline = self.deadlines.remove(key);
//!         deadline.is_some_and(|deadline| self.order.remove(&(deadline, key)))
//!     }
//!
//!     /// Waits until a key expires, and removes it. Cancel-safe: it changes nothing before that.
//!     async fn expired(&mut self) -> &'static str {
//!         let Some(&(deadline, key)) = self.order.first() else {
//!             return future::pending().await;
//!         };
//!         time::sleep_until(deadline).await;
//!         self.remove(key);
//!         key
//!     }
//! }
//!
//! enum Order {
//!     Reserve(&'static str, Duration),
//!     Cancel(&'static str),
//! }
//!
//! EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
//!     let (orders, mut inbox) = mpsc::unbounded();
//!     let tables = spawn(async move {
//!         let (mut reserved, mut expired) = (Expiries::default(), Vec::new());
//!         loop {
//!             // An order may change which key is the first, so it ends the wait. The next round
//!             // waits anew.
//!             let order = async { Ok(inbox.recv().await) };
//!             match future::or(order, async { Err(reserved.expired().await) }).await {
//!                 Ok(Some(Order::Reserve(guest, after))) => reserved.insert(guest, after),
//!                 Ok(Some(Order::Cancel(guest))) => assert!(reserved.remove(guest)),
//!                 Ok(None) => return expired,
//!                 Err(guest) => expired.push(guest),
//!             }
//!         }
//!     });
//!     let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
//!     orders.send(Order::Reserve("Anna", minutes(10))).unwrap();
//!     orders.send(Order::Reserve("Ben", minutes(20))).unwrap();
//!     orders.send(Order::Reserve("Cleo", minutes(30))).unwrap();
//!     time::sleep(minutes(5)).await;
//!     orders.send(Order::Reserve("Anna", minutes(40))).unwrap(); // Until 45.
//!     orders.send(Order::Cancel("Ben")).unwrap();
//!     time::sleep(minutes(60)).await;
//!     drop(orders);
//!     assert_eq!(tables.await.unwrap(), ["Cleo", "Anna"]);
//! });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! If each entry needs work of its own at the deadline, spawn a task for it that sleeps, and keep
//! its [`AbortHandle`](crate::task::AbortHandle) under the key.

// One timing wheel and one clock for each loop, both in the state. Timers are armed by futures when
// they are first polled, and fired by the fourth phase of a turn.

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
