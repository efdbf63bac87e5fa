//! The main future of a `block_on`: its place among the tasks, and how its output leaves the turn.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::door::Door;
use crate::state::{Effect, Slot};

/// The slot of the main future among the tasks. The drop frees it, also when the future panics.
pub(super) struct MainSlot {
    pub(super) slot: Slot,
    pub(super) done: Cell<bool>,
}

impl MainSlot {
    pub(super) fn new(place: &'static Location<'static>) -> Self {
        let mut door = Door::expect("`block_on`");
        door.suspects.is_quiescence_reported = false;
        let state = &mut *door;
        let slot = state.tasks.insert_main(place, &state.clock).expect(
            "headwaiter: this loop has so many tasks that there is no number left for `block_on`",
        );
        if door.outbox.is_observed() {
            door.outbox.post(Effect::ReportSpawn(slot, place));
        }
        MainSlot { slot, done: Cell::new(false) }
    }
}

impl Drop for MainSlot {
    fn drop(&mut self) {
        if let Some(mut door) = Door::open() {
            door.poll_began = None; // The future may have panicked in a poll that was timed.
            door.tasks.remove_main(self.slot);
        }
    }
}

pin_project! {
    /// The main future without its output, so that the turn need not know its type.
    pub(super) struct Store<'a, F: Future> {
        #[pin]
        pub(super) future: F,
        pub(super) output: &'a mut Option<F::Output>,
        pub(super) done: &'a Cell<bool>,
    }
}

impl<F: Future> Future for Store<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.done.get() {
            return Poll::Ready(());
        }
        match this.future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => {
                **this.output = Some(output);
                this.done.set(true);
                Poll::Ready(())
            }
        }
    }
}
