//! [`Barrier`]: lets tasks wait until a number of them have arrived. A task that arrives is counted
//! at its first poll, and no longer if its future is dropped before the barrier opens.

use std::task::{Context, Poll};
use std::{cell::Cell, panic::Location, pin::Pin};

use super::wait_list::{ListWait, WaitList};
use crate::fmt::debug_struct;

/// Makes tasks wait for each other: none continues before all have arrived.
///
/// When the last one arrives, all continue, and the barrier can be used again for the next round.
///
/// ```
/// use headwaiter::sync::Barrier;
/// use std::rc::Rc;
///
/// headwaiter::block_on(async {
///     let table = Rc::new(Barrier::new(3)); // No guest eats before all three are served.
///     let guests = ["soup", "fish", "cake"].map(|dish| {
///         let table = Rc::clone(&table);
///         headwaiter::spawn(async move {
///             println!("{dish} is served");
///             table.wait().await.is_leader()
///         })
///     });
///     let mut leaders = 0;
///     for guest in guests {
///         leaders += u32::from(guest.await.unwrap());
///     }
///     assert_eq!(leaders, 1);
/// });
/// ```
pub struct Barrier {
    /// How many must arrive.
    size: usize,
    /// How many have arrived in this round. Always less than `size`.
    arrived: Cell<usize>,
    /// Counts the rounds that are over. A future waits for the end of the round in which it arrived.
    rounds: Cell<u64>,
    waiting: WaitList,
}

impl Barrier {
    /// Makes a barrier for `n` tasks. One for 0 tasks is the same as one for 1: it never makes a
    /// task wait.
    pub const fn new(n: usize) -> Self {
        Barrier {
            size: if n == 0 { 1 } else { n },
            arrived: Cell::new(0),
            rounds: Cell::new(0),
            waiting: WaitList::new("a barrier"),
        }
    }

    /// Arrives, and waits until as many have arrived as the barrier is for. The one that arrives
    /// last is the [leader](BarrierWaitResult::is_leader) of the round, and does not wait.
    ///
    /// The future arrives at its first poll. If a task makes several, each of them counts.
    ///
    /// Cancel-safe: a future that is dropped before the barrier opens does not count as arrived, so
    /// another one must arrive. (In tokio it still counts.) If the leader's future is dropped
    /// before it is ready, which only a task that has spent its
    /// [budget](crate::sync#the-cooperative-budget) can do, the round has no leader.
    #[track_caller]
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: self, round: None, wait: ListWait::at(Location::caller()) }
    }

    /// Counts an arrival. Returns its round, and whether it completes that.
    fn arrive(&self) -> Round {
        let number = self.rounds.get();
        let arrived = self.arrived.get() + 1;
        let is_leader = arrived == self.size;
        if is_leader {
            // Everything is ready for the next round before a waker, which may arrive, is woken.
            self.arrived.set(0);
            self.rounds.set(number.wrapping_add(1));
            self.waiting.call_all();
        } else {
            self.arrived.set(arrived);
        }
        Round { number, is_leader }
    }

    fn is_over(&self, round: Round) -> bool {
        self.rounds.get() != round.number
    }
}

debug_struct!(impl[] for Barrier as "Barrier",
    |this| size: this.size, arrived: this.arrived.get());

/// The round of a [`Barrier`] in which a future has arrived.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u64,
    /// Whether the future was the last to arrive.
    is_leader: bool,
}

/// The future of [`Barrier::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    /// `None` before the first poll.
    round: Option<Round>,
    wait: ListWait,
}

impl Future for BarrierWait<'_> {
    type Output = BarrierWaitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let BarrierWait { barrier, round, wait } = &mut *self;
        let round = *round.get_or_insert_with(|| barrier.arrive());
        let done = |_| barrier.is_over(round).then_some(false);
        let is_leader = round.is_leader;
        barrier.waiting.poll(wait, cx, done).map(|_| BarrierWaitResult { is_leader })
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        if self.wait.has_place() {
            self.barrier.waiting.leave(&mut self.wait);
        }
        if let Some(round) = self.round
            && !self.barrier.is_over(round)
        {
            self.barrier.arrived.set(self.barrier.arrived.get() - 1);
        }
    }
}

debug_struct!(impl[] for BarrierWait<'_> as "BarrierWait", |this| wait: this.wait, ..);

/// The result of [`Barrier::wait`].
#[derive(Clone, Debug)]
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether this was the last to arrive. That is so for one task of each round, which can do what
    /// must be done once.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}
