//! The attributes `#[headwaiter::main]` and `#[headwaiter::test]`, with their documentation. Their
//! code is the package in `src/macros`. It never runs anything itself: it writes the calls.

/// Runs an `async fn` on an event loop of its own, as [`block_on`](crate::block_on) does.
///
/// ```
/// use std::io;
///
/// #[headwaiter::main]
/// async fn main() -> io::Result<()> {
///     let (mut reader, mut writer) = headwaiter::io::pipe()?;
///     writer.write_all(b"soup").await?;
///     let mut order = [0; 4];
///     reader.read_exact(&mut order).await?;
///     assert_eq!(&order, b"soup");
///     Ok(())
/// }
/// ```
///
/// The function takes no arguments and no generic parameters, and may have any return type. It need
/// not be called `main`: with another name, it becomes a function that runs an event loop.
///
/// When the function returns, its loop is dropped with all tasks that still run.
/// [docs/shutdown.md](https://docs.rs/crate/headwaiter/latest/source/docs/shutdown.md) shows how a
/// server ends instead.
///
/// # Arguments
///
/// | argument | what it sets | default |
/// |---|---|---|
/// | `deadlock = "warn"`, `"fail"` or `"ignore"` | [`Builder::deadlock`](crate::Builder::deadlock) | `"warn"` |
/// | `blocking_threads = 8` | [`Builder::blocking_threads`](crate::Builder::blocking_threads) | 64 |
/// | `crate = "path"` | the path of this crate, if it is not called `headwaiter` | `"::headwaiter"` |
///
/// If the crate has another name and the argument `crate` is missing, the compiler says that it can
/// find neither `headwaiter` nor the function `a_renamed_headwaiter_needs_the_argument_crate`.
///
/// For the other settings, write a plain `main` that uses [`EventLoop::builder`](crate::EventLoop::builder).
///
/// ```
/// // Or in Cargo.toml: kitchen = { package = "headwaiter", version = "0.1" }
/// extern crate headwaiter as kitchen;
///
/// #[kitchen::main(deadlock = "fail", blocking_threads = 2, crate = "kitchen")]
/// async fn main() {
///     let dish = kitchen::spawn_blocking(|| "soup").await;
///     assert_eq!(dish.unwrap(), "soup");
/// }
/// ```
///
/// # Panics
///
/// The function that it makes panics inside a running event loop, and if the kernel gives no
/// poller.
pub use headwaiter_macros::main;

/// Makes a test of an `async fn`, which runs on an event loop of its own.
///
/// ```
/// # // A doctest runs no tests, so this only compiles.
/// #[headwaiter::test]
/// async fn a_channel_keeps_the_order() {
///     let (sender, mut receiver) = headwaiter::sync::mpsc::channel(2);
///     sender.send("soup").await.unwrap();
///     sender.send("fish").await.unwrap();
///     assert_eq!(receiver.recv().await, Some("soup"));
/// }
/// ```
///
/// The function takes no arguments and no generic parameters. It returns nothing, or any
/// [`Termination`](std::process::Termination), such as `Result<(), E>`. Attributes such as
/// `#[should_panic]` and `#[ignore]` work as with `#[test]`, above or below this one. (The attribute
/// `#[test]` itself must not be added.)
///
/// A panic of a task that is never joined is only logged, as everywhere. So join the tasks, or use a
/// [`TaskGroup`](crate::task::TaskGroup).
///
/// # Arguments
///
/// | argument | what it does | default |
/// |---|---|---|
/// | `clock = "real"` or `"virtual"` | sets the [`Clock`](crate::Clock): under a virtual one, sleeps take no time | `"real"` |
/// | `seeds = 64` | runs the test under many orders of tasks, see below | once, first come, first served |
/// | `deadlock = "warn"`, `"fail"` or `"ignore"` | sets what a [`Deadlock`](crate::Deadlock) does: with `"fail"`, a test that would hang fails, and its report says why | `"fail"` |
/// | `within = "10s"` | fails the test if it takes longer, see below | no limit |
/// | `crate = "path"` | the path of this crate, if it is not called `headwaiter` | `"::headwaiter"` |
///
/// # Seeds
///
/// With `seeds = 64`, the test runs 64 times, each time on a new loop that
/// [shuffles](crate::Builder::shuffle) what has no order of its own: the seeds are 0 to 63. That
/// finds failures that need an order of tasks which a plain run never has. The first seed under
/// which the test fails ends it, and how to run that seed alone is printed after the panic or the
/// error:
///
/// ```text
/// headwaiter: the test failed under the seed 17. This runs it under that seed alone:
///     HEADWAITER_SEED=17 cargo test kitchen::waiters_take_turns
/// ```
///
/// Every test with `seeds` runs only under `HEADWAITER_SEED` while that variable is set, also if the
/// seed is beyond its number of seeds. It does nothing to a test without `seeds`. A failure is
/// replayed exactly if the test has a virtual clock, and no other threads, processes or peers. So
/// the two arguments often go together:
///
/// ```
/// use headwaiter::sync::Mutex;
/// use headwaiter::task::yield_now;
/// use std::rc::Rc;
///
/// #[headwaiter::test(clock = "virtual", seeds = 64, within = "10s")]
/// async fn no_tip_is_lost() {
///     let tips = Rc::new(Mutex::new(0));
///     let waiters = [1, 2, 3].map(|tip| {
///         let tips = Rc::clone(&tips);
///         headwaiter::spawn(async move {
///             let mut tips = tips.lock().await;
///             let before = *tips;
///             yield_now().await;
///             *tips = before + tip;
///         })
///     });
///     for waiter in waiters {
///         waiter.await.unwrap();
///     }
///     assert_eq!(*tips.lock().await, 6);
/// }
/// ```
///
/// [`explore`](crate::explore()) does the same inside a test.
///
/// # A time limit
///
/// `within` takes a number and a unit: `ms`, `s` or `m`, for instance `"500ms"` or `"1.5m"`, up to a
/// day. It limits the real time of the test, whatever its clock, and of all its seeds together.
/// When the time is over,
///
/// - a test whose loop still turns panics, with a [`dump`](crate::dump()) that says which task waits
///   for what (a `#[should_panic]` without `expected` accepts that panic too);
/// - a test whose loop was blocked and that ends nevertheless panics at its end;
/// - a test whose loop has not turned for a second more cannot be ended. Then a thread prints the
///   name of the test and the task that blocks its loop to standard error, and aborts the process.
///   The other tests of that process have no result then.
///
/// # Panics
///
/// If a test has `seeds`, it panics if `HEADWAITER_SEED` is not a number.
pub use headwaiter_macros::test;
