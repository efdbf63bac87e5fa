//! The steps that are reported to an observer, and what it may do.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::*;
use headwaiter::observe::{Direction, Observer, Outcome, Step, Timeline, WaitFor};
use headwaiter::sync::{Mutex, mpsc};
use headwaiter::task::{self, CancelToken, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{Clock, EventLoop};

/// An observer made of a closure.
struct Told<F>(F);

impl<F: FnMut(&Step<'_>)> Observer for Told<F> {
    fn step(&mut self, step: &Step<'_>) {
        (self.0)(step);
    }
}

/// A virtual loop whose steps are kept in words.
fn kept() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let steps = Rc::new(RefCell::new(Vec::new()));
    let keep = steps.clone();
    let builder = EventLoop::builder().clock(Clock::Virtual);
    let keeps = Told(move |step: &Step<'_>| keep.borrow_mut().push(format!("{step:?}")));
    (builder.observer(keeps).build().unwrap(), steps)
}

#[test]
fn an_observer_is_told_the_life_of_a_task() {
    bounded(|| {
        let story = Rc::new(RefCell::new(Vec::new()));
        let tell = story.clone();
        let tells = Told(move |step: &Step<'_>| {
            let line = match step {
                Step::Spawn { task, name, .. } => format!("{task} {name:?} spawned"),
                Step::Poll { task, .. } => format!("{task} is polled"),
                Step::Polled { task, outcome, took, .. } => {
                    format!("{task} {outcome:?} after {took:?}")
                }
                Step::AwaitTimer { timer, left, .. } => format!("waits {left:?} for timer {timer}"),
                Step::Fire { timer, woken, .. } => {
                    format!("timer {timer} wakes {}", woken.unwrap())
                }
                Step::Jump { by, .. } => format!("jumps by {by:?}"),
                Step::Wake { task, .. } => format!("{task} is ready"),
                Step::Turn { wait: WaitFor::Grace { .. }, .. } => {
                    "turn: nothing is ready".to_owned()
                }
                Step::Turn { .. } => "turn".to_owned(),
                _ => return,
            };
            tell.borrow_mut().push(line);
        });
        let mut event_loop =
            EventLoop::builder().clock(Clock::Virtual).observer(tells).build().unwrap();
        event_loop.block_on(async {
            task::Builder::new().name("nap").spawn(sleep(ms(20))).await.unwrap();
        });
        let expected = [
            "1 Some(\"main\") spawned",
            "turn",
            "1 is polled",
            "2 Some(\"nap\") spawned",
            "1 Pending after 0ns",
            "turn",
            "2 is polled",
            "waits 20ms for timer 1",
            "2 Pending after 0ns",
            "turn: nothing is ready",
            "jumps by 20ms",
            "timer 1 wakes 2",
            "2 is ready",
            "2 is polled",
            "2 Finished after 0ns",
            "1 is ready",
            "turn",
            "1 is polled",
            "1 Finished after 0ns",
        ];
        assert_eq!(*story.borrow(), expected);
    });
}

#[test]
fn an_observer_is_told_of_the_end_of_each_timer_whether_it_has_fired_or_not() {
    bounded(|| {
        let story = Rc::new(RefCell::new(Vec::new()));
        let tell = story.clone();
        let tells = Told(move |step: &Step<'_>| {
            tell.borrow_mut().push(match step {
                Step::AwaitTimer { timer, .. } => format!("waits for timer {timer}"),
                Step::Fire { timer, .. } => format!("timer {timer} fires"),
                Step::Disarm { timer, .. } => format!("timer {timer} is removed"),
                _ => return,
            });
        });
        let builder = EventLoop::builder().clock(Clock::Virtual).observer(tells);
        builder.build().unwrap().block_on(async {
            assert!(timeout(ms(50), sleep(ms(20))).await.is_ok());
        });
        let expected = [
            "waits for timer 1",
            "waits for timer 2",
            "timer 1 fires",
            "timer 1 is removed",
            "timer 2 is removed",
        ];
        assert_eq!(*story.borrow(), expected);
    });
}

#[test]
fn an_observer_is_told_of_sources_and_system_calls() {
    bounded(|| {
        let story = Rc::new(RefCell::new(Vec::new()));
        let tell = story.clone();
        let tells = Told(move |step: &Step<'_>| {
            let line = match step {
                Step::Tried { source, direction: Direction::Read, done, .. } => {
                    format!("{source} read: {done}")
                }
                Step::AwaitSource { source, place: Some(_), .. } => format!("waits for {source}"),
                Step::Ready { source, woken, foreign: 0, callback: false, ready, .. }
                    if ready.is_readable() =>
                {
                    format!("{source} wakes {}", woken.len())
                }
                Step::Register { source, .. } => format!("{source} is watched"),
                Step::Deregister { source, .. } => format!("{source} is gone"),
                _ => return,
            };
            tell.borrow_mut().push(line);
        });
        let mut event_loop = EventLoop::builder().observer(tells).build().unwrap();
        event_loop.block_on(async {
            let (mut client, mut server) = tcp_pair().await.unwrap();
            story.borrow_mut().clear();
            let reader = headwaiter::spawn(async move {
                let mut bytes = [0; 8];
                server.read(&mut bytes).await.unwrap()
            });
            yield_now().await;
            client.write_all(b"soup").await.unwrap();
            assert_eq!(reader.await.unwrap(), 4);
        });
        let expected =
            ["3 read: false", "waits for 3", "3 wakes 1", "3 read: true", "3 is gone", "2 is gone"];
        assert_eq!(*story.borrow(), expected);
    });
}

#[test]
fn the_same_program_takes_the_same_steps() {
    bounded(|| {
        let run = || {
            let (mut event_loop, steps) = kept();
            event_loop.block_on(async {
                let (sender, mut receiver) = mpsc::channel(2);
                let cooks: Vec<_> = (0..3)
                    .map(|n| {
                        let sender = sender.clone();
                        headwaiter::spawn(async move {
                            sleep(ms(n)).await;
                            sender.send(n).await.unwrap();
                        })
                    })
                    .collect();
                drop(sender);
                while receiver.recv().await.is_some() {}
                for cook in cooks {
                    cook.await.unwrap();
                }
            });
            steps.take()
        };
        let first = run();
        assert!(first.len() > 40);
        assert_eq!(first, run());
    });
}

#[test]
fn polls_and_waits_take_the_time_they_take() {
    bounded(|| {
        let (polled, waited) =
            (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(Duration::ZERO)));
        let (longest_poll, all_waits) = (polled.clone(), waited.clone());
        let tells = Told(move |step: &Step<'_>| match step {
            Step::Polled { took, .. } => longest_poll.set(longest_poll.get().max(*took)),
            Step::Answer { waited, .. } => all_waits.set(all_waits.get() + *waited),
            _ => {}
        });
        let mut event_loop = EventLoop::builder().observer(tells).build().unwrap();
        event_loop.block_on(async {
            sleep(ms(20)).await;
            let start = Instant::now();
            while start.elapsed() < ms(10) {}
        });
        assert!(polled.get() >= ms(10) && waited.get() >= ms(19), "{polled:?} {waited:?}");
    });
}

#[test]
fn an_observer_may_do_anything_and_is_not_told_of_it() {
    bounded(|| {
        let told = Rc::new(Cell::new(0));
        let (count, spawned) = (told.clone(), Rc::new(Cell::new(0)));
        let ran = spawned.clone();
        let meddles = Told(move |step: &Step<'_>| {
            count.set(count.get() + 1);
            if let Step::Polled { outcome: Outcome::Pending, .. } = step {
                let ran = ran.clone();
                drop(headwaiter::spawn(async move { ran.set(ran.get() + 1) }));
                drop(headwaiter::dump().to_string());
            }
        });
        let mut event_loop = EventLoop::builder().observer(meddles).build().unwrap();
        event_loop.block_on(async {
            for _ in 0..10 {
                yield_now().await;
            }
        });
        assert!((8..=10).contains(&spawned.get()), "{spawned:?}");
        assert!(told.get() < 200, "{told:?}");
    });
}

/// But for blocking its own loop, which is refused as anywhere.
#[test]
fn an_observer_may_run_draw_and_drop_other_loops() {
    bounded(|| {
        let (timeline, refused) = (Timeline::new(), Rc::new(Cell::new(0)));
        let (draws, refuses) = (timeline.clone(), refused.clone());
        let mut doomed = EventLoop::builder().observer(Timeline::new()).build().unwrap();
        doomed.enter(|| drop(headwaiter::spawn(sleep(ms(1000)))));
        let mut doomed = Some(doomed);
        let meddles = Told(move |_: &Step<'_>| {
            let text = panic_text(|| headwaiter::block_on(async {}));
            assert!(text.contains("inside a running event loop"), "{text}");
            refuses.set(refuses.get() + 1);
            draws.to_text(80);
            drop((headwaiter::stats(), headwaiter::time::now(), doomed.take()));
        });
        let mut event_loop =
            EventLoop::builder().observer(timeline.clone()).observer(meddles).build().unwrap();
        event_loop.block_on(async { headwaiter::spawn(sleep(ms(2))).await.unwrap() });
        assert!(refused.get() > 5, "{refused:?}");
        assert!(timeline.to_text(80).contains("1 main"), "{}", timeline.to_text(80));
    });
}

/// The wake is not slept through (tokio 934f68d91).
#[test]
fn an_observer_may_abort_or_detach_the_very_task_whose_poll_it_is_told_of() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum At {
        Begin,
        End(Outcome),
    }
    bounded(|| {
        let times = [
            At::Begin,
            At::End(Outcome::Pending),
            At::End(Outcome::Finished),
            At::End(Outcome::Panicked),
        ];
        let ends = [Outcome::Pending, Outcome::Finished, Outcome::Panicked];
        let wakes_and_aborts = [(false, false), (false, true), (true, false), (true, true)];
        for (at, end, (wakes, aborts)) in times.into_iter().flat_map(|at| {
            ends.into_iter().flat_map(move |end| wakes_and_aborts.map(|which| (at, end, which)))
        }) {
            let handle = Rc::new(RefCell::new(None::<task::JoinHandle<()>>));
            let of_observer = Rc::clone(&handle);
            let told = Told(move |step: &Step<'_>| {
                let now = match step {
                    Step::Poll { .. } => At::Begin,
                    Step::Polled { outcome, .. } => At::End(*outcome),
                    _ => return,
                };
                if now == at && aborts {
                    of_observer.borrow().iter().for_each(task::JoinHandle::abort);
                } else if now == at {
                    drop(of_observer.take());
                }
            });
            let mut event_loop = EventLoop::builder().observer(told).build().unwrap();
            let dropped = Rc::new(Cell::new(0));
            let drops = Rc::clone(&dropped);
            let count = OnDrop(move || drops.set(drops.get() + 1));
            let poll = move |cx: &mut std::task::Context<'_>| {
                if wakes {
                    cx.waker().wake_by_ref();
                }
                match end {
                    Outcome::Pending => Poll::Pending,
                    Outcome::Finished => Poll::Ready(()),
                    _ => std::panic::resume_unwind(Box::new("on purpose")),
                }
            };
            *handle.borrow_mut() =
                Some(event_loop.enter(|| headwaiter::spawn(Holding(count, poll))));
            for _ in 0..3 {
                event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            let case = format!("{at:?}, {end:?}, wakes: {wakes}, aborts: {aborts}");
            let is_aborted = aborts
                && end == Outcome::Pending
                && matches!(at, At::Begin | At::End(Outcome::Pending));
            let has_ended = is_aborted || end != Outcome::Pending;
            assert_eq!(dropped.get(), u32::from(has_ended), "{case}");
            let polls = event_loop.enter(headwaiter::stats).polls;
            assert_eq!(polls, if wakes && !has_ended { 3 } else { 1 }, "{case}");
            if let Some(task) = handle.take().filter(|_| has_ended) {
                match event_loop.block_on(task) {
                    Ok(()) => assert_eq!(end, Outcome::Finished, "{case}"),
                    Err(error) if error.is_panic() => assert_eq!(end, Outcome::Panicked, "{case}"),
                    Err(error) => assert!(error.is_cancelled() && is_aborted, "{case}"),
                }
            }
            drop(event_loop);
            assert_eq!(dropped.get(), 1, "{case}");
        }
    });
}

#[test]
fn an_observer_may_wake_just_before_the_loop_waits() {
    bounded(|| {
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let wakes = waker.clone();
        let observer = Told(move |step: &Step<'_>| {
            if let Step::Turn { wait: WaitFor::Ever, .. } = step
                && let Some(waker) = wakes.take()
            {
                waker.wake();
            }
        });
        let mut event_loop = EventLoop::builder().observer(observer).build().unwrap();
        event_loop.block_on(async {
            let mut polls = 0;
            let wait = std::future::poll_fn(|cx| {
                polls += 1;
                *waker.borrow_mut() = Some(cx.waker().clone());
                if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
            });
            pin!(wait).await;
        });
    });
}

#[test]
fn an_observer_that_panics_is_removed_and_the_others_are_told_on() {
    bounded(|| {
        let (before, after) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let order = Rc::new(RefCell::new(String::new()));
        let (told_before, told_after) = (before.clone(), after.clone());
        let (first, third) = (order.clone(), order.clone());
        let mut steps = 0;
        let mut event_loop = EventLoop::builder()
            .observer(Told(move |_: &Step<'_>| {
                told_before.set(told_before.get() + 1);
                first.borrow_mut().push('1');
            }))
            .observer(Told(move |_: &Step<'_>| {
                steps += 1;
                assert!(steps < 3, "no more than three");
            }))
            .observer(Told(move |_: &Step<'_>| {
                told_after.set(told_after.get() + 1);
                third.borrow_mut().push('3');
            }))
            .build()
            .unwrap();
        event_loop.block_on(async {
            for _ in 0..5 {
                yield_now().await;
            }
        });
        assert!(before.get() > 10 && before == after, "{before:?} {after:?}");
        assert!(order.borrow().starts_with("1313"));
    });
}

#[test]
fn an_observer_is_told_of_its_own_loop_only_and_dropped_with_it() {
    bounded(|| {
        let (mut observed, steps) = kept();
        let mut other = EventLoop::new().unwrap();
        other.block_on(yield_now());
        assert!(steps.borrow().is_empty());
        observed.block_on(async move {
            drop(other); // It runs while it is dropped.
            yield_now().await;
        });
        let count = steps.borrow().len();
        assert!(count > 5);
        headwaiter::block_on(yield_now());
        assert_eq!(steps.borrow().len(), count);
        assert_eq!(Rc::strong_count(&steps), 2);
        drop(observed);
        assert_eq!(Rc::strong_count(&steps), 1);
    });
}

/// In all that is logged, shown and drawn.
#[test]
fn a_name_with_control_characters_is_written_as_in_source() {
    const NAME: &str = "a\n\u{1b}[31mb\u{202e}\"";
    let (tell, told) = std::sync::mpsc::channel();
    let said = logged::logged(log::LevelFilter::Trace, move || {
        let timeline = Timeline::new();
        let builder = EventLoop::builder().stall_threshold(ms(1)).observer(timeline.clone());
        builder.build().unwrap().block_on(async {
            let lock = Rc::new(Mutex::named(NAME, ()));
            let held = lock.lock().await;
            let named = || task::Builder::new().name(NAME);
            let other = Rc::clone(&lock);
            let waits = named().spawn(async move { drop(other.lock().await) });
            let panics = named().spawn(async {
                let start = Instant::now();
                while start.elapsed() < ms(2) {}
                panic!("on fire");
            });
            named().spawn(async { Err::<(), _>("no flour") }).log_error();
            tell.send(panics.await.unwrap_err().to_string()).unwrap();
            tell.send(headwaiter::dump().to_string()).unwrap();
            let myself = named().spawn(async move {
                let lock = Mutex::named(NAME, ());
                let _held = lock.lock().await;
                drop(lock.lock().await); // A deadlock of one.
            });
            sleep(ms(5)).await; // Deadlocks are looked for before the loop sleeps.
            myself.abort();
            tell.send(format!("{lock:?} {}", headwaiter::stats())).unwrap();
            drop(held);
            waits.await.unwrap();
        });
        for text in [timeline.to_text(200), timeline.to_svg(), timeline.to_chrome_json()] {
            tell.send(text).unwrap();
        }
    });
    let shown: Vec<_> = told.iter().chain(said).collect();
    for what in [
        "was blocked for",
        "deadlock: a task waits for itself",
        "failed: no flour",
        "\"ph\":\"X\"",
        "<svg",
        "holds the lock",
    ] {
        assert!(shown.iter().any(|text| text.contains(what)), "{what} is not in {shown:#?}");
    }
    for text in shown {
        let is_bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(is_bad) && !text.contains("a\n"), "{text:?}");
    }
}

/// Runs a program of tasks, timers and channels in the order of this seed. Returns its log and its dump.
fn story(seed: u64) -> String {
    let dumped = Arc::new(StdMutex::new(String::new()));
    let dump = Arc::clone(&dumped);
    let said = logged::logged(log::LevelFilter::Trace, move || {
        let built = EventLoop::builder().clock(Clock::Virtual).shuffle(seed).build();
        built.unwrap().block_on(async {
            let lock = Rc::new(Mutex::named("till", 0));
            let (sender, mut receiver) = mpsc::channel(2);
            let group = TaskGroup::<()>::new();
            for n in 0..10 {
                let (sender, lock) = (sender.clone(), Rc::clone(&lock));
                task::Builder::new().name(format!("guest {n}")).spawn_in(&group, async move {
                    sleep(ms(n % 3)).await;
                    *lock.lock().await += n;
                    yield_now().await;
                    sender.send(n).await.unwrap();
                    Ok(())
                });
            }
            drop(sender);
            let token = CancelToken::new();
            let (listens, held) = (token.clone(), lock.lock().await);
            let _listener = headwaiter::spawn(async move { listens.cancelled().await });
            let _patient = headwaiter::spawn(timeout(ms(5), std::future::pending::<()>()));
            sleep(ms(4)).await;
            *dump.lock().unwrap() = headwaiter::dump().to_string();
            drop(held);
            while receiver.recv().await.is_some() {}
            group.join().await.unwrap();
            token.cancel();
            sleep(ms(10)).await;
        });
    });
    format!("{}\n{}\n", said.join("\n"), dumped.lock().unwrap())
}

/// Not a test of its own: the other process of the next test. It prints nothing unless a variable asks for it.
#[test]
fn a_story_told_by_another_process() {
    if let Ok(seed) = std::env::var("HEADWAITER_TELLS") {
        print!("the story\n{}the end\n", story(seed.parse().unwrap()));
    }
}

#[test]
fn the_same_program_says_the_same_text_in_every_run_and_every_process() {
    for seed in [1, 2] {
        let told = story(seed);
        assert!(told.lines().count() > 150 && told.contains("holds the lock \"till\""), "{told}");
        assert_eq!(told, story(seed), "under seed {seed}");
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args([
            "--exact",
            "observers::a_story_told_by_another_process",
            "--nocapture",
            "--test-threads=1",
        ]);
        other.env("HEADWAITER_TELLS", seed.to_string()).stdout(Stdio::piped());
        let said = spawn_alone(other).wait_with_output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let (_, said) = said.split_once("the story\n").expect("a story");
        assert_eq!(
            said.split_once("the end\n").map(|(story, _)| story),
            Some(&told[..]),
            "under seed {seed}"
        );
    }
    assert_ne!(story(1), story(2));
}
