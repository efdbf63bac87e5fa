//! Cancel tokens: which waits are woken, when, in which order, and what is left when nothing waits any more. And what
//! `run`, `timeout` and `abort` have in common: the future is gone before its end is reported.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::io;
#[cfg(not(sanitized))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::support::random::Random;
use crate::support::wakers::foreign;
#[cfg(not(sanitized))]
use crate::support::wakers::foreign_owning;
use crate::support::*;
use headwaiter::task::{CancelToken, Cancelled, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{EventLoop, Handle, block_on, explore, spawn};

fn polled<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Says its number when it is woken.
fn numbered(number: usize, woken: &Arc<Mutex<Vec<usize>>>) -> Waker {
    let woken = Arc::clone(woken);
    foreign(move || woken.lock().unwrap().push(number))
}

#[test]
fn a_token_cancels_its_clones_and_descendants_and_no_ancestors_or_siblings() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    let (leaf, twin) = (left.child(), left.clone());
    let of_twin = twin.child();
    assert!(
        ![&root, &left, &right, &leaf, &twin, &of_twin].iter().any(|token| token.is_cancelled())
    );
    left.cancel();
    assert!([&left, &leaf, &twin, &of_twin].iter().all(|token| token.is_cancelled()));
    assert!(!root.is_cancelled() && !right.is_cancelled());
    // A child of a cancelled token is cancelled, and no other token with it.
    let late = twin.child();
    assert!(late.is_cancelled() && late.child().is_cancelled());
    root.cancel();
    root.cancel();
    assert!(root.is_cancelled() && right.is_cancelled());
    assert!(format!("{root:?}").contains("cancelled: true"));
}

/// Against a model in which each token knows its parent for ever, whichever tokens are dropped in between.
#[test]
fn a_tree_agrees_with_a_model_whatever_is_dropped_and_cancelled_in_it() {
    let dice = Random::new(0);
    let random = |bound: usize| dice.below(bound);
    for _ in 0..300 {
        // Parent, cancelled, and the token with its clones as far as they live.
        let mut model: Vec<(Option<usize>, bool)> = vec![(None, false)];
        let mut tokens = vec![(0, CancelToken::new())];
        for _ in 0..200 {
            if tokens.is_empty() {
                break;
            }
            let pick = random(tokens.len());
            let (name, token) = &tokens[pick];
            let name = *name;
            match random(10) {
                0..5 => {
                    let token = token.child();
                    model.push((Some(name), model[name].1));
                    tokens.push((model.len() - 1, token));
                }
                5 => {
                    let token = token.clone();
                    tokens.push((name, token));
                }
                6..9 => drop(tokens.swap_remove(pick)),
                _ => {
                    token.cancel();
                    // A parent comes before its children.
                    model[name].1 = true;
                    for at in name..model.len() {
                        model[at].1 |= model[at].0.is_some_and(|parent| model[parent].1);
                    }
                }
            }
            for (name, token) in &tokens {
                assert_eq!(token.is_cancelled(), model[*name].1);
            }
        }
    }
}

#[test]
fn waiters_of_a_token_are_woken_in_the_order_in_which_they_began() {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let root = CancelToken::new();
    let branch = root.child();
    let leaf = branch.child();
    let other = root.child();
    // Made in one order, polled in another, some of them again, and some dropped.
    let mut waits: Vec<_> =
        (0..40).map(|n| [&root, &leaf, &other, &branch][n % 4].cancelled()).collect();
    let waker = |number| numbered(number, &woken);
    let order: Vec<usize> = (0..40).map(|n| n * 17 % 40).collect();
    for n in &order {
        assert!(polled(&mut waits[*n], &waker(1000)).is_pending());
    }
    for (n, wait) in waits.iter_mut().enumerate() {
        assert!(polled(wait, &waker(n)).is_pending());
    }
    let mut waits: Vec<_> = waits.into_iter().map(Some).collect();
    for n in (0..40).step_by(3) {
        waits[n] = None;
    }
    let expected: Vec<_> = order.into_iter().filter(|n| n % 3 != 0).collect();
    root.cancel();
    assert_eq!(*woken.lock().unwrap(), expected);
    for wait in waits.iter_mut().flatten() {
        assert!(polled(wait, Waker::noop()).is_ready());
    }
    // Each wait has dropped its waker: none is kept.
    assert_eq!(Arc::strong_count(&woken), 1);
}

#[test]
fn a_wait_that_is_dropped_leaves_no_waker() {
    let woken = Arc::new(Mutex::new(Vec::new()));
    let token = CancelToken::new();
    let waker = numbered(0, &woken);
    for _ in 0..1000 {
        assert!(polled(&mut token.cancelled(), &waker).is_pending());
        assert!(polled(&mut pin!(token.run(pending::<()>())), &waker).is_pending());
    }
    token.cancel();
    drop(waker);
    assert_eq!(*woken.lock().unwrap(), [0; 0]);
    assert_eq!(Arc::strong_count(&woken), 1);
}

#[test]
fn run_drops_the_future_before_it_says_cancelled() {
    explore(0..20, || async {
        let (token, drops) = (CancelToken::new(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&drops);
        let runner = token.clone();
        let task = spawn(async move {
            let on_drop = OnDrop(move || counted.set(counted.get() + 1));
            let holding = Holding(on_drop, |_: &mut Context<'_>| Poll::<()>::Pending);
            (runner.run(holding).await, drops.get())
        });
        yield_now().await;
        token.cancel();
        assert_eq!(task.await.unwrap(), (Err(Cancelled), 1));
    });
}

/// The same rule for all three ways to end another's future.
#[headwaiter::test(clock = "virtual", within = "60s")]
async fn run_timeout_and_abort_drop_the_future_before_they_report_its_end() {
    let _beside_others = beside_other_tests();
    let log = Rc::new(RefCell::new(Vec::new()));
    let future = || {
        let log = Rc::clone(&log);
        Holding(OnDrop(move || log.borrow_mut().push("dropped")), |_: &mut Context<'_>| {
            Poll::<()>::Pending
        })
    };
    let token = CancelToken::new();
    let cancel = token.clone();
    drop(spawn(async move {
        sleep(ms(1)).await;
        cancel.cancel();
    }));
    assert_eq!(token.run(future()).await, Err(Cancelled));
    log.borrow_mut().push("cancelled");
    assert!(timeout(ms(1), future()).await.is_err());
    log.borrow_mut().push("too late");
    let task = spawn(future());
    yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    log.borrow_mut().push("aborted");
    let said = ["dropped", "cancelled", "dropped", "too late", "dropped", "aborted"];
    assert_eq!(*log.borrow(), said);
}

#[headwaiter::test(within = "60s")]
async fn a_future_that_is_ready_at_the_same_time_as_the_cancellation_wins() {
    let _beside_others = beside_other_tests();
    // It becomes ready, and the token is cancelled, between two polls.
    let (token, open) = (CancelToken::new(), Cell::new(false));
    let mut run =
        pin!(token.run(poll_fn(|_| if open.get() { Poll::Ready(7) } else { Poll::Pending })));
    assert!(poll_once(&mut run).await.is_pending());
    open.set(true);
    token.cancel();
    assert_eq!(poll_once(&mut run).await, Poll::Ready(Ok(7)));
    // It cancels its own token, and is ready in the same poll; or is not.
    for ready in [true, false] {
        let token = CancelToken::new();
        let own = token.clone();
        let run = token.run(poll_fn(move |_| {
            own.cancel();
            if ready { Poll::Ready(7) } else { Poll::Pending }
        }));
        let result = poll_once(&mut pin!(run)).await;
        assert_eq!(result, Poll::Ready(if ready { Ok(7) } else { Err(Cancelled) }));
    }
}

#[test]
fn under_a_cancelled_token_nothing_is_begun() {
    in_loop(|| async {
        let token = CancelToken::new();
        token.cancel();
        let result = token.run(async { unreachable!("it is not polled") }).await;
        let result: Result<(), Cancelled> = result;
        assert_eq!(result, Err(Cancelled));
        token.cancelled().await;
    });
    // So a loop of runs ends though there is always something to do.
    in_loop(|| async {
        let (token, done) = (CancelToken::new(), Rc::new(Cell::new(0)));
        let (of_loop, count) = (token.clone(), Rc::clone(&done));
        let task = spawn(async move {
            while of_loop.run(ready(())).await.is_ok() {
                count.set(count.get() + 1);
                if count.get() == 5 {
                    of_loop.cancel();
                }
            }
        });
        task.await.unwrap();
        assert_eq!(done.get(), 5);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_task_that_never_waits_is_cancelled_when_it_yields() {
    let _beside_others = beside_other_tests();
    // It spends its whole budget in each poll, so that none is left for the wait for the token.
    let token = CancelToken::new();
    let over = CancelToken::new();
    over.cancel();
    let (of_task, rounds) = (token.clone(), Rc::new(Cell::new(0)));
    let count = Rc::clone(&rounds);
    let task = spawn(async move {
        of_task
            .run(async {
                loop {
                    over.cancelled().await;
                    count.set(count.get() + 1);
                }
            })
            .await
    });
    yield_now().await;
    token.cancel();
    let result: Result<(), Cancelled> = task.await.unwrap();
    assert_eq!(result, Err(Cancelled));
    assert!((1..=1000).contains(&rounds.get()), "{}", rounds.get());
}

#[headwaiter::test(within = "60s")]
async fn waiting_for_what_was_cancelled_long_ago_yields_too() {
    let _beside_others = beside_other_tests();
    let token = CancelToken::new();
    token.cancel();
    for run in [false, true] {
        let token = token.clone();
        let hog = spawn(async move {
            loop {
                if run {
                    assert!(token.run(pending::<()>()).await.is_err());
                } else {
                    token.cancelled().await;
                }
            }
        });
        // If the hog kept the turn, this would not continue.
        yield_now().await;
        yield_now().await;
        hog.abort();
        let ended: Result<(), _> = hog.await;
        assert!(ended.unwrap_err().is_cancelled());
    }
}

#[headwaiter::test(within = "60s")]
async fn a_run_that_is_dropped_half_way_drops_its_future_and_one_that_is_over_says_so() {
    let _beside_others = beside_other_tests();
    let (token, drops) = (CancelToken::new(), Cell::new(0));
    let holding = || {
        Holding(OnDrop(|| drops.set(drops.get() + 1)), |_: &mut Context<'_>| Poll::<()>::Pending)
    };
    drop(token.run(holding()));
    let mut run = Box::pin(token.run(holding()));
    assert!(poll_once(&mut run).await.is_pending());
    drop(run);
    assert_eq!(drops.get(), 2);
    let mut run = pin!(token.run(ready(())));
    assert_eq!(poll_once(&mut run).await, Poll::Ready(Ok(())));
    let text = panic_text(|| assert!(polled(&mut run, Waker::noop()).is_pending()));
    assert!(text.contains("a `Cancellable` was polled again"), "{text}");
}

/// A transfer in five steps, cut by its token in front of each of them.
#[test]
fn a_future_under_run_is_cut_at_each_await_point_and_nowhere_else() {
    const STEPS: usize = 5;
    for cut in 0..=STEPS {
        explore(0..5, move || async move {
            let (token, reached) = (CancelToken::new(), Rc::new(Cell::new(0)));
            let of_task = Rc::clone(&reached);
            let transfer = async move {
                for _ in 0..STEPS {
                    of_task.set(of_task.get() + 1);
                    yield_now().await;
                }
            };
            let mut run = Box::pin(token.run(transfer));
            for _ in 0..cut {
                assert!(poll_once(&mut run).await.is_pending());
            }
            token.cancel();
            let result = run.as_mut().await;
            // In its last poll it has nothing left to wait for, and wins.
            let expected = if cut == STEPS { Ok(()) } else { Err(Cancelled) };
            // The poll in which the cancellation is seen goes one step further. A future that was never polled takes no step.
            let steps = if cut == 0 { 0 } else { (cut + 1).min(STEPS) };
            assert_eq!((result, reached.get()), (expected, steps), "cut at {cut}");
        });
    }
}

#[test]
fn tokens_are_cancelled_and_awaited_across_threads_and_loops() {
    fn send_and_sync<T: Send + Sync>(_: &T) {}
    bounded(|| {
        let token = CancelToken::new();
        send_and_sync(&token);
        send_and_sync(&token.cancelled());
        const LOOPS: usize = 4;
        let ready = Arc::new(Barrier::new(LOOPS + 1));
        let loops: Vec<_> = (0..LOOPS)
            .map(|n| {
                let (token, ready) = (token.child(), Arc::clone(&ready));
                thread::spawn(move || {
                    block_on(async {
                        let group = TaskGroup::<Cancelled>::new();
                        for _ in 0..10 {
                            let token = token.child();
                            group.spawn(async move { token.run(pending()).await? });
                        }
                        yield_now().await;
                        yield_now().await;
                        ready.wait();
                        if n % 2 == 0 {
                            token.cancelled().await;
                        }
                        group.join().await
                    })
                })
            })
            .collect();
        ready.wait();
        token.cancel();
        for joined in loops {
            assert_eq!(joined.join().unwrap(), Err(Cancelled));
        }
    });
}

/// Eight threads make, wait for, drop and cancel tokens of one tree, until it is cancelled as a whole.
#[test]
fn threads_may_do_all_this_to_one_tree_at_once() {
    bounded(|| {
        let root = CancelToken::new();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let root = root.clone();
                thread::spawn(move || {
                    let mut rounds = 0;
                    while !root.is_cancelled() || rounds < 100 {
                        let tokens: Vec<_> = (0..10).map(|_| root.child()).collect();
                        let deep = tokens[3].child().child();
                        let mut wait = deep.cancelled();
                        let _ = polled(&mut wait, Waker::noop());
                        tokens[3].cancel();
                        assert!(deep.is_cancelled() && polled(&mut wait, Waker::noop()).is_ready());
                        rounds += 1;
                    }
                })
            })
            .collect();
        let mut wait = root.cancelled();
        assert!(polled(&mut wait, Waker::noop()).is_pending());
        for _ in 0..1000 {
            drop(root.child());
        }
        root.cancel();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(polled(&mut wait, Waker::noop()).is_ready());
    });
}

#[test]
fn any_executor_will_do() {
    bounded(|| {
        let token = CancelToken::new();
        let cancel = token.clone();
        let other =
            thread::spawn(move || futures_lite::future::block_on(token.run(pending::<()>())));
        cancel.cancel();
        assert_eq!(other.join().unwrap(), Err(Cancelled));
    });
}

/// RUSTSEC-2020-0061, for tokens.
#[test]
fn a_token_outlives_the_loops_whose_tasks_wait_for_it() {
    bounded(|| {
        let token = CancelToken::new();
        let mut event_loop = EventLoop::new().unwrap();
        let of_task = token.child();
        event_loop.enter(|| drop(spawn(async move { of_task.cancelled().await })));
        event_loop.turn(None).unwrap();
        let mut wait = token.cancelled();
        event_loop.block_on(async { assert!(poll_once(&mut wait).await.is_pending()) });
        drop(event_loop);
        // It wakes nothing: the loop of the task is gone.
        token.cancel();
        assert!(polled(&mut wait, Waker::noop()).is_ready());
    });
}

#[test]
fn a_chain_of_a_hundred_thousand_tokens_is_cancelled_and_dropped_without_a_deep_stack() {
    // On a small stack, for which a recursion of this depth is far too much.
    let small = thread::Builder::new().stack_size(128 << 10);
    let test = || {
        for order in 0..3 {
            let mut chain = vec![CancelToken::new()];
            for n in 0..100_000 {
                let next = chain[n].child();
                chain.push(next);
            }
            let last = chain.last().unwrap().clone();
            let mut wait = last.cancelled();
            assert!(polled(&mut wait, Waker::noop()).is_pending());
            if order == 2 {
                chain.reverse();
            }
            if order == 0 {
                chain[0].cancel();
                assert!(last.is_cancelled() && polled(&mut wait, Waker::noop()).is_ready());
            }
            drop(chain);
            drop((wait, last));
        }
    };
    small.spawn(test).unwrap().join().unwrap();
}

/// Futures 2d4f685b, tokio-core #190: wakers are foreign code, in which anything may happen.
#[cfg(not(sanitized))] // It leaks on purpose.
#[test]
fn a_waker_may_use_its_token_in_its_wake_and_its_drop_and_may_panic() {
    fn reenters(token: &CancelToken, what: fn(&CancelToken)) -> Waker {
        let (of_drop, of_wake) = (token.clone(), token.clone());
        foreign_owning(OnDrop(move || what(&of_drop)), move |_| what(&of_wake))
    }

    bounded(|| {
        let anything: fn(&CancelToken) = |token| {
            token.cancel();
            let child = token.child();
            assert!(child.is_cancelled() && token.clone().is_cancelled());
        };
        let panics: fn(&CancelToken) = |_| panic!("a waker that panics");
        let token = CancelToken::new();
        let mut waits: Vec<_> = (0..6).map(|_| token.cancelled()).collect();
        for (n, wait) in waits.iter_mut().enumerate() {
            let what = if n % 2 == 0 { anything } else { panics };
            let waker = reenters(&token, what);
            assert!(polled(wait, &waker).is_pending());
            std::mem::forget(waker); // Its drop is tried below.
        }
        let woken = Arc::new(Mutex::new(Vec::new()));
        let last = numbered(1, &woken);
        let mut wait = token.cancelled();
        assert!(polled(&mut wait, &last).is_pending());
        token.cancel();
        assert_eq!(*woken.lock().unwrap(), [1], "the others are harmless");
        // Dropped with its wait, and replaced by another waker.
        for what in [anything, panics] {
            let token = CancelToken::new();
            let waker = || reenters(&token, what);
            let mut wait = token.cancelled();
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                let waker = waker();
                assert!(polled(&mut wait, &waker).is_pending());
            }));
            assert!(dropped.is_ok(), "a clone is left in the tree");
            assert!(polled(&mut wait, Waker::noop()).is_pending(), "the panic is logged");
            drop(wait);
            let mut wait = token.child().cancelled();
            if polled(&mut wait, &waker()).is_pending() {
                drop(wait); // What panics in there is logged.
            }
            token.cancel();
            assert!(token.is_cancelled());
        }
    });
}

#[headwaiter::test(within = "60s")]
async fn cancelling_is_safe_in_a_drop_also_while_a_panic_unwinds() {
    let _beside_others = beside_other_tests();
    let token = CancelToken::new();
    let of_task = token.clone();
    let task = spawn(async move {
        let _on_drop = OnDrop(move || of_task.cancel());
        yield_now().await;
        panic!("{}", std::hint::black_box("a task that panics"));
    });
    token.cancelled().await;
    let ended: Result<(), _> = task.await;
    assert!(ended.unwrap_err().is_panic());
    // In the drop of the future that this very token ends.
    let token = CancelToken::new();
    let of_drop = token.clone();
    let mut run =
        Box::pin(token.run(Holding(OnDrop(move || of_drop.cancel()), |_: &mut Context<'_>| {
            Poll::<()>::Pending
        })));
    assert!(poll_once(&mut run).await.is_pending());
    token.cancel();
    assert_eq!(run.await, Err(Cancelled));
}

/// A wait, a run and a token that are never dropped: the tree still works, and so do all others.
#[cfg(not(sanitized))] // It leaks on purpose.
#[headwaiter::test(within = "60s")]
async fn leaked_waits_are_harmless() {
    let _beside_others = beside_other_tests();
    let token = CancelToken::new();
    for _ in 0..3 {
        let mut wait = token.cancelled();
        let mut run = Box::pin(token.run(pending::<()>()));
        assert!(poll_once(&mut wait).await.is_pending());
        assert!(poll_once(&mut run).await.is_pending());
        std::mem::forget((wait, run, token.child()));
    }
    let task = spawn({
        let token = token.clone();
        async move { token.cancelled().await }
    });
    yield_now().await;
    token.cancel();
    task.await.unwrap();
    // A group that is never dropped: nothing ends its children.
    let ran = Rc::new(Cell::new(false));
    let group = TaskGroup::<()>::new();
    let told = Rc::clone(&ran);
    group.spawn(async move {
        yield_now().await;
        told.set(true);
        Ok(())
    });
    std::mem::forget(group);
    yield_now().await;
    yield_now().await;
    assert!(ran.get());
}

#[test]
fn cancelled_is_an_io_error_that_no_reader_retries() {
    assert_eq!(Cancelled.to_string(), "cancelled before the operation was done");
    let error = io::Error::from(Cancelled);
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.get_ref().unwrap().is::<Cancelled>());
}

/// The pattern of `docs/shutdown.md`: tasks that end in time have ended, the others are aborted, and none is left.
#[test]
fn a_token_a_group_and_a_grace_period_end_a_server() {
    for seed in 0..20 {
        in_virtual_time_shuffled(seed, || async {
            let (closing, group) = (CancelToken::new(), TaskGroup::<()>::new());
            let (finished, cut) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            for n in 0..10_u64 {
                let (closing, finished, cut) =
                    (closing.clone(), Rc::clone(&finished), Rc::clone(&cut));
                group.spawn(async move {
                    let _cut = OnDrop(move || cut.set(cut.get() + 1));
                    // Waits for work, until the end is announced; then needs some time to clean up.
                    let _ = closing.run(pending::<()>()).await;
                    sleep(Duration::from_secs(n)).await;
                    finished.set(finished.get() + 1);
                    Ok(())
                });
            }
            sleep(ms(1)).await;
            closing.cancel();
            let mut left = group.join();
            assert!(timeout(ms(4500), &mut left).await.is_err());
            assert_eq!((left.len(), finished.get(), cut.get()), (5, 5, 5));
            drop(left);
            assert_eq!((finished.get(), cut.get()), (5, 10));
        });
    }
}

fn in_virtual_time_shuffled<F: Future<Output = ()>>(
    seed: u64,
    test: impl Fn() -> F + Send + 'static,
) {
    bounded(move || explore([seed], test));
}

/// From a plain thread, through nothing but the token.
#[test]
fn a_thread_without_a_loop_ends_a_server_with_its_token() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let token = CancelToken::new();
        let cancel = token.clone();
        let (begun, begins) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            begins.recv().unwrap();
            cancel.cancel();
        });
        event_loop.block_on(async move {
            let _handle = Handle::current();
            begun.send(()).unwrap();
            token.cancelled().await;
        });
        thread.join().unwrap();
    });
}
