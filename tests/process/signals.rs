//! Signals, as futures and as streams. A disposition is the whole process's, and these tests run at the same time:
//! so each has signals of its own, and sends them to its own thread.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::wakers::foreign_owning;
use crate::support::*;
use futures_lite::{FutureExt, StreamExt};
use headwaiter::signal::ctrl_c;
use headwaiter::signal::unix::{Signal, SignalKind, signal};
use headwaiter::sync::oneshot;
use headwaiter::task::yield_now;
use headwaiter::time::sleep;
use headwaiter::{Clock, Deadlock, EventLoop, block_on, spawn};
use rustix::process::{getpid, kill_process};
use signal_hook::low_level::raise;

/// One of the signals without a meaning, which go from SIGRTMIN, 34 or a little more, to 64.
const fn own(number: i32) -> SignalKind {
    SignalKind::from_raw(40 + number)
}

/// To this thread: its handler has run when this returns.
fn send(kind: SignalKind) {
    raise(kind.as_raw_value()).unwrap();
}

/// Whether a signal has come that `recv` has not returned yet.
async fn is_told(listener: &mut Signal) -> bool {
    // The loop asks the kernel meanwhile, and dispatches what has come.
    sleep(ms(1)).await;
    poll_once(&mut listener.recv()).await == Poll::Ready(Some(()))
}

#[test]
fn poll_recv_wakes_its_task_and_reports_each_signal_once() {
    in_a_loop(|| async {
        let mut listener = signal(own(16)).unwrap();
        let mut told = spawn(async move {
            poll_fn(|cx| listener.poll_recv(cx)).await.unwrap();
            listener
        });
        assert!(poll_once(&mut told).await.is_pending());
        send(own(16));
        assert!(!is_told(&mut told.await.unwrap()).await, "told twice");
    });
}

#[track_caller]
fn in_a_loop<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    in_loop(test);
}

#[test]
fn each_listener_in_each_loop_is_told_once() {
    bounded(|| {
        // Two loops on this thread, and one on another.
        let listen = || [signal(own(0)).unwrap(), signal(own(0)).unwrap(), signal(own(1)).unwrap()];
        let mut loops = [EventLoop::new().unwrap(), EventLoop::new().unwrap()];
        let mut listeners = loops.each_mut().map(|event_loop| event_loop.enter(listen));
        let is_right = async |[first, second, of_another]: &mut [Signal; 3]| {
            first.recv().await.unwrap();
            second.recv().await.unwrap();
            assert!(!is_told(first).await && !is_told(second).await, "told twice");
            assert!(!is_told(of_another).await, "told of another signal");
        };
        let (tell, told) = mpsc::channel();
        let elsewhere = thread::spawn(move || {
            block_on(async {
                let mut listeners = listen();
                tell.send(()).unwrap();
                is_right(&mut listeners).await;
            });
        });
        told.recv().unwrap();
        send(own(0));
        for (event_loop, listeners) in loops.iter_mut().zip(&mut listeners) {
            event_loop.block_on(is_right(listeners));
        }
        elsewhere.join().unwrap();
    });
}

#[test]
fn a_signal_to_the_process_wakes_the_task_that_waits_for_it() {
    in_a_loop(|| async {
        let mut listener = signal(SignalKind::user_defined1()).unwrap();
        for _ in 0..100 {
            let waiting = spawn(async move {
                listener.recv().await.unwrap();
                listener
            });
            yield_now().await;
            kill_process(getpid(), rustix::process::Signal::USR1).unwrap();
            listener = waiting.await.unwrap();
        }
    });
}

#[test]
fn signals_between_two_recv_are_remembered_as_one() {
    in_a_loop(|| async {
        let mut listener = signal(own(2)).unwrap();
        for _ in 0..5 {
            send(own(2));
        }
        listener.recv().await.unwrap();
        assert!(!is_told(&mut listener).await);
        // Also those that are dispatched one by one.
        for _ in 0..5 {
            send(own(2));
            sleep(ms(1)).await;
        }
        assert!(is_told(&mut listener).await);
        assert!(!is_told(&mut listener).await);
    });
}

#[test]
fn what_came_before_a_listener_was_made_is_not_for_it() {
    in_a_loop(|| async {
        let mut early = signal(own(3)).unwrap();
        send(own(3));
        let mut late = signal(own(3)).unwrap();
        early.recv().await.unwrap();
        assert!(!is_told(&mut late).await);
        send(own(3));
        assert!(is_told(&mut late).await);
    });
}

#[test]
fn a_recv_that_is_dropped_half_way_loses_no_signal() {
    in_a_loop(|| async {
        let mut listener = signal(own(4)).unwrap();
        let mut recv = listener.recv();
        assert!(poll_once(&mut recv).await.is_pending());
        send(own(4));
        // Told to the future that waits, and not fetched.
        sleep(ms(1)).await;
        drop(recv);
        assert!(is_told(&mut listener).await);

        let mut recv = listener.recv();
        assert!(poll_once(&mut recv).await.is_pending());
        drop(recv);
        send(own(4));
        assert!(is_told(&mut listener).await);
    });
}

#[test]
fn a_listener_is_a_stream() {
    in_a_loop(|| async {
        let mut listener = signal(own(5)).unwrap();
        for _ in 0..3 {
            send(own(5));
            assert_eq!(listener.next().await, Some(()));
        }
    });
}

#[test]
fn ctrl_c_listens_from_its_first_poll_on_and_is_told_to_all_who_wait() {
    in_a_loop(|| async {
        let mut never_polled = ctrl_c();
        let waiting: Vec<_> = (0..10).map(|_| spawn(ctrl_c())).collect();
        let mut dropped = ctrl_c();
        assert!(poll_once(&mut dropped).await.is_pending());
        drop(dropped);
        yield_now().await;
        send(SignalKind::interrupt());
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        assert!(poll_once(&mut never_polled).await.is_pending());
        // Nothing else waits for the signal, and still the process does not end.
        drop(never_polled);
        send(SignalKind::interrupt());
    });
}

#[test]
fn the_default_action_does_not_come_back_with_the_last_listener() {
    bounded(|| {
        block_on(async { drop(signal(SignalKind::terminate()).unwrap()) });
        send(SignalKind::terminate());
    });
}

#[test]
fn signals_that_cannot_be_listened_for_are_errors_with_their_names() {
    in_a_loop(|| async {
        let named =
            [(9, "SIGKILL"), (19, "SIGSTOP"), (4, "SIGILL"), (8, "SIGFPE"), (11, "SIGSEGV")];
        let numbered = [0, -1, 33, 65, 127, 128, i32::MIN, i32::MAX].map(|number| (number, ""));
        for (number, name) in named.into_iter().chain(numbered) {
            let error = signal(SignalKind::from_raw(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            let name = if name.is_empty() { format!("signal {number}") } else { name.to_owned() };
            assert!(error.to_string().contains(&format!("listen for {name}: ")), "{error}");
        }
        // The loop still works.
        let mut listener = signal(own(6)).unwrap();
        send(own(6));
        listener.recv().await.unwrap();
    });
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    bounded(|| {
        let outside = panic_text(|| drop(signal(own(7))));
        assert!(outside.contains("outside any event loop"), "{outside}");
        let mut future = ctrl_c();
        let outside = panic_text(|| drop(future.poll(&mut Context::from_waker(Waker::noop()))));
        assert!(outside.contains("outside any event loop"), "{outside}");
        let mut listener = block_on(async { signal(own(7)).unwrap() });
        let elsewhere = panic_text(move || block_on(async { listener.recv().await.unwrap() }));
        assert!(elsewhere.contains("another event loop"), "{elsewhere}");
    });
}

#[test]
fn listeners_come_and_go_inside_the_wake_of_a_foreign_waker() {
    in_a_loop(|| async {
        let mut watched = signal(own(8)).unwrap();
        let other = Arc::new(Mutex::new(Some(signal(own(8)).unwrap())));
        // Lets another listener go, and makes a new one.
        let waker = foreign_owning(Arc::clone(&other), |other| {
            let fresh = signal(own(8)).unwrap();
            let old = other.lock().unwrap().replace(fresh);
            drop(old);
        });
        let mut recv = watched.recv();
        assert!(recv.poll(&mut Context::from_waker(&waker)).is_pending());
        send(own(8));
        sleep(ms(1)).await;
        assert!(poll_once(&mut recv).await.is_ready());
        let mut fresh = other.lock().unwrap().take().unwrap();
        assert!(!is_told(&mut fresh).await, "it was made after the signal");
        send(own(8));
        assert!(is_told(&mut fresh).await);
    });
}

#[test]
fn a_listener_may_be_dropped_on_another_thread_or_after_its_loop() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let [first, second, mut third] =
            event_loop.enter(|| std::array::from_fn(|_| signal(own(9)).unwrap()));
        thread::spawn(move || drop(first)).join().unwrap();
        send(own(9));
        event_loop.block_on(async { third.recv().await.unwrap() });
        drop(event_loop);
        send(own(9));
        thread::spawn(move || drop(second)).join().unwrap();
        drop(third);
    });
}

#[test]
fn a_listener_that_is_used_while_its_loop_is_dropped_harms_nothing() {
    bounded(|| {
        let polled = Rc::new(Cell::new(false));
        let mut event_loop = EventLoop::new().unwrap();
        let mut listener = event_loop.enter(|| signal(own(10)).unwrap());
        let tell = Rc::clone(&polled);
        let last_words = OnDrop(move || {
            send(own(10));
            let _ = listener.recv().poll(&mut Context::from_waker(Waker::noop()));
            assert!(signal(own(10)).is_err(), "there are no more");
            tell.set(true);
        });
        let task =
            event_loop.enter(|| spawn(Holding(last_words, |_: &mut Context<'_>| Poll::Pending)));
        drop((task, event_loop));
        assert!(polled.get());
    });
}

#[test]
fn a_loop_that_has_listened_leaves_no_file_behind() {
    in_own_process(|| {
        let listen = || {
            block_on(async {
                let before = open_files();
                let mut listeners: Vec<_> = (0..100).map(|_| signal(own(11)).unwrap()).collect();
                listeners.push(signal(own(12)).unwrap());
                assert_eq!(open_files(), before + 2, "one socket pair for all");
                send(own(12));
                listeners[100].recv().await.unwrap();
            });
        };
        listen();
        let before = open_files();
        for _ in 0..50 {
            listen();
        }
        assert_eq!(open_files(), before);
    });
}

#[test]
fn quiescence_is_found_although_the_loop_has_once_listened() {
    bounded(|| {
        let mut event_loop = EventLoop::builder().deadlock(Deadlock::Fail).build().unwrap();
        let text = panic_text(|| {
            event_loop.block_on(async {
                let (_sender, receiver) = oneshot::channel::<()>();
                // A listener that is dropped.
                let mut listener = signal(own(13)).unwrap();
                assert!(poll_once(&mut listener.recv()).await.is_pending());
                drop(listener);
                receiver.await.unwrap();
            });
        });
        assert!(text.contains("nothing can wake this event loop any more"), "{text}");
        // What listens can still be woken.
        let mut listener = event_loop.enter(|| signal(own(14)).unwrap());
        let sender = thread::spawn(|| send(own(14)));
        event_loop.block_on(async { listener.recv().await.unwrap() });
        sender.join().unwrap();
    });
}

#[test]
fn a_loop_that_has_once_listened_jumps_without_a_grace() {
    bounded(|| {
        let grace = Duration::from_secs(40);
        let mut event_loop =
            EventLoop::builder().clock(Clock::Virtual).io_grace(grace).build().unwrap();
        let start = Instant::now();
        event_loop.block_on(async {
            drop(signal(own(15)).unwrap());
            sleep(Duration::from_secs(1)).await;
        });
        assert!(start.elapsed() < grace);
        // While there is a listener there is a grace period, and a signal in it is received before the clock jumps.
        event_loop.block_on(async {
            let mut listener = signal(own(15)).unwrap();
            let sender = thread::spawn(|| send(own(15)));
            assert!(
                headwaiter::time::timeout(Duration::from_secs(3600), listener.recv()).await.is_ok()
            );
            sender.join().unwrap();
        });
    });
}
