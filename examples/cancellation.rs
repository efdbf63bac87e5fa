//! What cancellation does to code that is not prepared for it: a token cancels a transfer between
//! two accounts in each of its waits in turn. The example prints the damage and then two fixes.
//!
//! `cargo run --example cancellation`. It uses a virtual clock, so the waits take no time.

use std::{cell::Cell, future::Future, io, panic::Location, rc::Rc, time::Duration};

use headwaiter::task::CancelToken;
use headwaiter::time::{Sleep, sleep};
use headwaiter::{Clock, EventLoop, spawn};

#[derive(Default)]
struct Bank {
    anna: Cell<i64>,
    ben: Cell<i64>,
    /// The line in which the transfer waits.
    line: Cell<u32>,
}

fn main() -> io::Result<()> {
    env_logger::init();
    EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
        println!("Anna has 100 and pays Ben 10. The transfer waits three times. A CancelToken cancels it in each wait:");
        println!("it is dropped there, as a `timeout`, `abort` or the end of a group would do.\n");
        println!("the mistake: an `.await` between two steps that belong together");
        cancel_in_each_wait(careless).await;
        println!("what went wrong: the code after the `.await` at which it was cancelled never runs.");
        println!("  In the second wait, Anna has already lost the 10, and Ben never gets them.\n");
        println!("what to do, either: undo the first step in a `drop` (`Taken`), which runs however the transfer ends");
        cancel_in_each_wait(guarded).await;
        println!("what to do, or: `spawn` it (`shielded`). The token cancels only the wait, and the task continues");
        cancel_in_each_wait(shielded).await;
    });
    Ok(())
}

impl Bank {
    /// Represents a wait for a socket, a file or a lock. The transfer may be dropped there, and
    /// then never continues.
    #[track_caller]
    fn write_journal(&self, _entry: &str) -> Sleep {
        self.line.set(Location::caller().line());
        sleep(Duration::from_millis(10))
    }
}

/// Looks correct, but there is an `.await` between its two bookings.
async fn careless(bank: Rc<Bank>) {
    bank.write_journal("a transfer of 10").await;
    bank.anna.update(|has| has - 10);
    bank.write_journal("10 taken").await;
    bank.ben.update(|has| has + 10);
    bank.write_journal("10 given").await;
}

/// The first fix: a `drop` undoes the first booking.
async fn guarded(bank: Rc<Bank>) {
    bank.write_journal("a transfer of 10").await;
    bank.anna.update(|has| has - 10);
    let mut taken = Taken(&bank, 10);
    bank.write_journal("10 taken").await;
    bank.ben.update(|has| has + std::mem::take(&mut taken.1));
    bank.write_journal("10 given").await;
}

/// An amount that was taken from Anna and not given to Ben yet.
struct Taken<'a>(&'a Bank, i64);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.anna.update(|has| has + self.1);
    }
}

/// The second fix: a task continues when it is not awaited any more.
async fn shielded(bank: Rc<Bank>) {
    spawn(careless(bank)).await.expect("no panic");
}

async fn cancel_in_each_wait<F: Future<Output = ()> + 'static>(transfer: fn(Rc<Bank>) -> F) {
    for wait in 1..=3 {
        let (bank, token) = (Rc::new(Bank::default()), CancelToken::new());
        bank.anna.set(100);
        let (inner, transfer) = (token.clone(), transfer(Rc::clone(&bank)));
        spawn(async move { inner.run(transfer).await });
        sleep(Duration::from_millis(10 * wait - 5)).await;
        let line = bank.line.get();
        token.cancel();
        sleep(Duration::from_millis(100)).await; // Until a detached task has finished.
        let (anna, ben) = (bank.anna.get(), bank.ben.get());
        let lost = if anna + ben == 100 { "" } else { ". 10 are lost" };
        println!(
            "  cancelled while it waits at {}:{line}: Anna {anna} + Ben {ben} = {}{lost}",
            file!(),
            anna + ben
        );
    }
}
