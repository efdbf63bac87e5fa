//! What cancellation does to a program that does not expect it: a transfer between two accounts is cut in each of its
//! waits in turn, by a token. Prints the damage, and then two cures.
//!
//! `cargo run --example cancellation`. It waits on a virtual clock, and so takes no time.

use std::{cell::Cell, future::Future, io, panic::Location, rc::Rc, time::Duration};

use headwaiter::task::CancelToken;
use headwaiter::time::{Sleep, sleep};
use headwaiter::{Clock, EventLoop, spawn};

#[derive(Default)]
struct Bank {
    anna: Cell<i64>,
    ben: Cell<i64>,
    /// The line in which a transfer waits.
    line: Cell<u32>,
}

fn main() -> io::Result<()> {
    env_logger::init();
    EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
        println!("Anna has 100 and pays Ben 10. The transfer waits three times. In each wait a CancelToken cuts it:");
        println!("it is dropped there, as by a `timeout`, by `abort`, or by a group that ends.\n");
        println!("the mistake: an `.await` between two steps that belong together");
        cut_everywhere(careless).await;
        println!("what went wrong: what stands after the `.await` where it was cut never happens.");
        println!("  In the second wait the 10 were taken from Anna, and nobody gives them to Ben.\n");
        println!("what to do, either: undo it in a `drop` (`Taken`), which runs however the transfer ends");
        cut_everywhere(guarded).await;
        println!("what to do, or: `spawn` it (`shielded`). The token cuts the waiting, and the task runs on");
        cut_everywhere(shielded).await;
    });
    Ok(())
}

impl Bank {
    /// Here may be a socket, a file, a lock. Who waits may be dropped there, and then never goes on.
    #[track_caller]
    fn write_journal(&self, _entry: &str) -> Sleep {
        self.line.set(Location::caller().line());
        sleep(Duration::from_millis(10))
    }
}

/// Reads well. But there is an `await` between its two bookings.
async fn careless(bank: Rc<Bank>) {
    bank.write_journal("a transfer of 10").await;
    bank.anna.update(|has| has - 10);
    bank.write_journal("10 taken").await;
    bank.ben.update(|has| has + 10);
    bank.write_journal("10 given").await;
}

/// The first cure: what was half done is undone in a `drop`.
async fn guarded(bank: Rc<Bank>) {
    bank.write_journal("a transfer of 10").await;
    bank.anna.update(|has| has - 10);
    let mut taken = Taken(&bank, 10);
    bank.write_journal("10 taken").await;
    bank.ben.update(|has| has + std::mem::take(&mut taken.1));
    bank.write_journal("10 given").await;
}

/// Taken from Anna, and not given to anybody yet.
struct Taken<'a>(&'a Bank, i64);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.anna.update(|has| has + self.1);
    }
}

/// The second cure: a task runs on when nobody waits for it any more.
async fn shielded(bank: Rc<Bank>) {
    spawn(careless(bank)).await.expect("no panic");
}

async fn cut_everywhere<F: Future<Output = ()> + 'static>(transfer: fn(Rc<Bank>) -> F) {
    for wait in 1..=3 {
        let (bank, token) = (Rc::new(Bank::default()), CancelToken::new());
        bank.anna.set(100);
        let (cut, transfer) = (token.clone(), transfer(Rc::clone(&bank)));
        spawn(async move { cut.run(transfer).await });
        sleep(Duration::from_millis(10 * wait - 5)).await;
        let line = bank.line.get();
        token.cancel();
        sleep(Duration::from_millis(100)).await; // For what goes on by itself.
        let (anna, ben) = (bank.anna.get(), bank.ben.get());
        let lost = if anna + ben == 100 { "" } else { ". 10 are lost" };
        println!(
            "  cut while it waits at {}:{line}: Anna {anna} + Ben {ben} = {}{lost}",
            file!(),
            anna + ben
        );
    }
}
