//! [`Closed`], the future of `closed` of the senders of a `watch` and of a `broadcast` channel: both
//! count their receivers. (An `mpsc` channel is closed by other means too.)

use std::cell::Cell;
use std::task::{Context, Poll};
use std::{panic::Location, pin::Pin};

use super::wait_list::{ListWait, WaitList};
use crate::fmt::debug_struct;

/// The future of `Sender::closed`: ready when the channel has no receiver.
#[must_use = "futures do nothing unless awaited"]
pub struct Closed<'a> {
    waiting: &'a WaitList,
    receivers: &'a Cell<usize>,
    wait: ListWait,
}

impl<'a> Closed<'a> {
    #[track_caller]
    pub(super) fn new(waiting: &'a WaitList, receivers: &'a Cell<usize>) -> Self {
        Closed { waiting, receivers, wait: ListWait::at(Location::caller()) }
    }
}

impl Future for Closed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let has_none = |_| (this.receivers.get() == 0).then_some(false);
        this.waiting.poll(&mut this.wait, cx, has_none).map(|_| ())
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.waiting.leave(&mut self.wait);
    }
}

debug_struct!(impl[] for Closed<'_> as "Closed", |this| wait: this.wait, ..);
