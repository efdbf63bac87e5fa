//! What cancellation does to a program that does not expect it: a transfer between two accounts is cut in each of its
//! waits in turn, by a token. Prints the damage, and then two cures.
//!
//! `cargo run --example cancellation`. It waits on a virtual clock, and so takes no time.

use std::{cell::Cell, future::Future, io, rc::Rc, time::Duration};

use headwaiter::task::CancelToken;
use headwaiter::time::sleep;
use headwaiter::{Clock, EventLoop, spawn};

type Accounts = Rc<[Cell<i64>; 2]>;

fn main() -> io::Result<()> {
    EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
        cut_everywhere("careless", careless).await;
        cut_everywhere("guarded", guarded).await;
        cut_everywhere("shielded", shielded).await;
    });
    Ok(())
}

/// Here may be a socket, a file, a lock. Who waits may be dropped there, and then never goes on.
async fn write_journal(_line: &str) {
    sleep(Duration::from_millis(10)).await;
}

fn book(accounts: &Accounts, which: usize, amount: i64) {
    accounts[which].set(accounts[which].get() + amount);
}

/// Reads well. But there is an `await` between its two bookings.
async fn careless(accounts: Accounts) {
    write_journal("a transfer of 10").await;
    book(&accounts, 0, -10);
    write_journal("10 taken").await;
    book(&accounts, 1, 10);
    write_journal("10 given").await;
}

/// The first cure: what was half done is undone in a `drop`, which nobody can cut.
async fn guarded(accounts: Accounts) {
    write_journal("a transfer of 10").await;
    book(&accounts, 0, -10);
    let mut taken = Taken { from: Rc::clone(&accounts), amount: 10 };
    write_journal("10 taken").await;
    book(&accounts, 1, std::mem::take(&mut taken.amount));
    write_journal("10 given").await;
}

struct Taken {
    from: Accounts,
    amount: i64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        book(&self.from, 0, self.amount);
    }
}

/// The second cure: a task of its own runs on when nobody waits for it any more. What is cut is the waiting.
async fn shielded(accounts: Accounts) {
    spawn(careless(accounts)).await.expect("no panic");
}

async fn cut_everywhere<F: Future<Output = ()>>(name: &str, transfer: fn(Accounts) -> F) {
    for wait in 1..=3 {
        let (accounts, token) = (Accounts::new([Cell::new(100), Cell::new(0)]), CancelToken::new());
        let cancel = token.clone();
        drop(spawn(async move {
            sleep(Duration::from_millis(10 * wait - 5)).await;
            cancel.cancel();
        }));
        let _ = token.run(transfer(Rc::clone(&accounts))).await;
        sleep(Duration::from_millis(100)).await; // For what goes on by itself.
        let [a, b] = accounts.each_ref().map(Cell::get);
        let verdict = if a + b == 100 { "" } else { ": money is lost" };
        println!("{name}, cut in wait {wait}: {a} + {b} = {}{verdict}", a + b);
    }
}
