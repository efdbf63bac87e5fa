//! The length and the memory of the ready queue, from inside.

use std::time::Duration;

use super::*;
use crate::door::Door;
use crate::event_loop::EventLoop;
use crate::state::Clock;
use crate::task::{spawn, yield_now};

/// How many entries the queue has, with those that had their turn, and for how many it has
/// room.
fn queue() -> (usize, usize) {
    {
        let state = Door::expect("a test");
        (state.tasks.ready.len(), state.tasks.ready.capacity())
    }
}

async fn yield_for(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// A loop whose batches are never cut because they take long.
fn virtual_loop() -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).build().expect("a loop")
}

fn turn(event_loop: &mut EventLoop) -> (usize, usize) {
    event_loop.turn(Some(Duration::ZERO)).expect("a turn");
    event_loop.enter(queue)
}

#[test]
fn however_many_yield_for_ever_the_queue_is_about_twice_as_long() {
    for crowd in [1, 2, 3, 63, 64, 65, 500] {
        let mut event_loop = virtual_loop();
        event_loop.enter(|| (0..crowd).for_each(|_| drop(spawn(yield_for(usize::MAX)))));
        for _ in 0..1000 {
            let (length, room) = turn(&mut event_loop);
            let most = 2 * crowd + RETIRED_AT_ONCE;
            assert!(
                length <= most && room <= 2 * most,
                "{crowd} tasks: {length} entries, room for {room}"
            );
        }
    }
}

#[test]
fn a_past_crowd_leaves_no_queue_behind() {
    let mut event_loop = virtual_loop();
    for _ in 0..3 {
        event_loop.enter(|| (0..100_000).for_each(|_| drop(spawn(yield_for(1)))));
        for _ in 0..2 {
            assert!(turn(&mut event_loop).0 >= 100_000);
        }
        event_loop.enter(|| drop(spawn(yield_for(5))));
        let (length, room) = turn(&mut event_loop);
        assert!(length < RETIRED_AT_ONCE && room <= KEPT, "{length} entries, room for {room}");
    }
}

#[test]
fn crowds_that_grow_and_shrink_keep_the_queue_in_proportion() {
    let mut event_loop = virtual_loop();
    let mut before = 0;
    for round in 0..200 {
        let crowd = [1, 10, 100, 1000, 100, 10, 1, 1][round % 8];
        event_loop.enter(|| (0..crowd).for_each(|_| drop(spawn(yield_for(1)))));
        let (length, _) = turn(&mut event_loop);
        // The entries of this batch and of the next, and at most as many polled ones.
        let most = 2 * (before + 2 * crowd) + RETIRED_AT_ONCE;
        assert!(length <= most, "round {round}: {length} entries after {before} and {crowd}");
        before = crowd;
    }
    for _ in 0..2 {
        turn(&mut event_loop);
    }
    assert_eq!(event_loop.enter(|| Door::expect("a test").tasks.ready()), 0);
}

#[test]
fn tasks_that_end_before_their_turn_do_not_stay_in_the_queue() {
    let mut event_loop = virtual_loop();
    event_loop.enter(|| (0..10_000).for_each(|_| spawn(async {}).abort()));
    let event_loop = &mut event_loop;
    assert_eq!(event_loop.next_deadline(), None);
    assert_eq!(event_loop.turn(Some(Duration::ZERO)).expect("a turn").polls, 0);
    let (length, room) = turn(event_loop);
    assert!(length == 0 && room <= KEPT, "{length} entries, room for {room}");
}
