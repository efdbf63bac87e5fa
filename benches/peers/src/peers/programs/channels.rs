//! Channels: round trips, a stream of messages, and a oneshot.

use std::hint::black_box;

use super::run::{Program, measure};
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("channel", two_tasks),
    ("channel_main", main_and_task),
    ("channel_stream", stream),
    ("oneshot", oneshot),
];

/// Two tasks, each of which waits for the other's message.
fn two_tasks() {
    rt::block_on(measure(20_000, async |count| {
        let (there, mut here) = rt::channel(1);
        let (back, mut again) = rt::channel(1);
        let echo = rt::spawn(async move {
            while let Some(message) = rt::receive(&mut here).await {
                rt::send(&back, message).await;
            }
        });
        let caller = rt::spawn(async move {
            for n in 0..count {
                rt::send(&there, n).await;
                assert_eq!(rt::receive(&mut again).await, Some(n));
            }
        });
        rt::join(caller).await;
        rt::join(echo).await;
    }));
}

/// As [`two_tasks`], with the future of `block_on` for one of the two.
fn main_and_task() {
    rt::block_on(measure(20_000, async |count| {
        let (there, mut here) = rt::channel(1);
        let (back, mut again) = rt::channel(1);
        let echo = rt::spawn(async move {
            while let Some(message) = rt::receive(&mut here).await {
                rt::send(&back, message).await;
            }
        });
        for n in 0..count {
            rt::send(&there, n).await;
            assert_eq!(rt::receive(&mut again).await, Some(n));
        }
        drop(there);
        rt::join(echo).await;
    }));
}

/// One task fills a channel of 100, another empties it. An operation is a message.
fn stream() {
    rt::block_on(measure(100_000, async |count| {
        let (sender, mut receiver) = rt::channel(100);
        let sending = rt::spawn(async move {
            for n in 0..count {
                rt::send(&sender, n).await;
            }
        });
        while let Some(n) = rt::receive(&mut receiver).await {
            black_box(n);
        }
        rt::join(sending).await;
    }));
}

/// A task is spawned that sends what the main future waits for.
fn oneshot() {
    rt::block_on(measure(10_000, async |count| {
        for n in 0..count {
            let (sender, receiver) = rt::oneshot();
            rt::detach(rt::spawn(async move {
                sender.send(n).expect("the receiver waits");
            }));
            assert_eq!(receiver.await, Ok(n));
        }
    }));
}
