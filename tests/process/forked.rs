//! What a forked child does with the loop that it has inherited harms neither its parent nor itself. Each test has a
//! process of its own, because a child has only the thread that has forked.
#![allow(unsafe_code)]

use std::any::Any;
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;

use crate::support::*;
use headwaiter::io::{Async, pipe};
use headwaiter::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener};
use headwaiter::process::Command;
use headwaiter::time::sleep;
use headwaiter::{EventLoop, Interest, Next, block_on, on_ready, spawn};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(code: i32) -> !;
}

/// Runs this in a forked child, which must end. What the child drops is still alive here.
#[track_caller]
fn in_a_fork(child: impl FnOnce()) {
    // SAFETY: no other test runs, so no other thread holds a lock. The child ends in this function.
    let id = unsafe { fork() };
    if id == 0 {
        let result = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: it has no preconditions.
        unsafe { _exit(i32::from(result.is_err())) };
    }
    let id = Pid::from_raw(id).expect("a child");
    let pidfd = pidfd_open(id, PidfdFlags::empty()).unwrap();
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)).unwrap();
    if ended == 0 {
        kill_process(id, Signal::KILL).unwrap();
    }
    let (_, status) = waitpid(Some(id), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "the child has failed, or hangs: {status:?}");
}

/// All that a loop's poller watches, as the kernel tells it: proc_pid_fdinfo(5).
fn watched(event_loop: &EventLoop) -> Vec<String> {
    let info =
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", event_loop.as_raw_fd())).unwrap();
    let mut watched: Vec<_> =
        info.lines().filter(|line| line.starts_with("tfd:")).map(str::to_owned).collect();
    watched.sort();
    watched
}

fn has_events(event_loop: &EventLoop) -> bool {
    poll(&mut [PollFd::new(event_loop, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
        .unwrap()
        > 0
}

/// A handle of each kind.
fn one_of_each(event_loop: &mut EventLoop, folder: &Folder) -> Vec<Box<dyn Any>> {
    event_loop.block_on(async {
        // So short that the loop sets its own timer descriptor.
        sleep(ms(1)).await;
        let (client, server) = tcp_pair().await.unwrap();
        let (read, write) = client.into_split();
        let (one, other) = unix_pair().await.unwrap();
        let (datagram, another) = UnixDatagram::pair().unwrap();
        let (reader, writer) = pipe().unwrap();
        let counter = Async::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap();
        let mut cat = Command::new("cat");
        let cat =
            cat.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let registration =
            on_ready(mio_pair().0, Interest::READABLE, |_, _| Next::Continue).unwrap();
        #[cfg(not(feature = "signal"))]
        let listener = ();
        #[cfg(feature = "signal")]
        let listener = {
            use headwaiter::signal::unix::{SignalKind, signal};
            signal(SignalKind::user_defined1()).unwrap()
        };
        let handles: Vec<Box<dyn Any>> = vec![
            Box::new(listener),
            Box::new(TcpListener::bind("127.0.0.1:0").await.unwrap()),
            Box::new((read, write, server)),
            Box::new((one, other)),
            Box::new((datagram, another)),
            Box::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()),
            Box::new(UnixListener::bind(folder.path("door")).unwrap()),
            Box::new((reader, writer)),
            Box::new(counter),
            Box::new(cat),
            Box::new(registration),
        ];
        handles
    })
}

/// Unlike tokio: there, it is deregistered from the parent's poller.
#[test]
fn what_a_forked_child_drops_stays_registered_with_its_parent() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let folder = Folder::new();
        let mut handles = one_of_each(&mut event_loop, &folder);
        let before = watched(&event_loop);
        assert!(before.len() > 15, "{before:#?}");
        // The first edges, of sockets that have room.
        while has_events(&event_loop) {
            event_loop.turn(Some(ms(0))).unwrap();
        }
        // Between turns, where each drop is a message to the loop.
        in_a_fork(|| handles.clear());
        assert_eq!(watched(&event_loop), before);
        assert!(!has_events(&event_loop), "the child has woken its parent's loop");
        // Inside the loop, where it is done at once.
        event_loop.enter(|| in_a_fork(|| handles.clear()));
        assert_eq!(watched(&event_loop), before);
        // And here it is taken away, but for the loop's own waker and timer and what listens for signals.
        event_loop.enter(|| drop(handles));
        assert!(watched(&event_loop).len() <= 4, "{:#?}", watched(&event_loop));
    });
}

#[test]
fn a_forked_child_that_drops_the_loop_leaves_its_parents_at_work() {
    in_own_process(|| {
        let mut event_loop = EventLoop::builder().stall_watcher(true).build().unwrap();
        let folder = Folder::new();
        let mut handles = one_of_each(&mut event_loop, &folder);
        let (mut client, reading) = event_loop.block_on(async {
            let (client, mut server) = tcp_pair().await.unwrap();
            let reading = spawn(async move {
                let mut order = [0; 4];
                server.read_exact(&mut order).await.unwrap();
                order
            });
            // A thread of the pool, which the child does not have.
            headwaiter::spawn_blocking(|| ()).await.unwrap();
            (client, reading)
        });
        let callback = on_ready_in(&mut event_loop);
        event_loop.turn(Some(ms(0))).unwrap();
        let before = watched(&event_loop);
        let mut dropped = Some(event_loop);
        // Handles before their loop, and after it.
        in_a_fork(|| drop((std::mem::take(&mut handles), dropped.take())));
        in_a_fork(|| drop((dropped.take(), std::mem::take(&mut handles))));
        let mut event_loop = dropped.unwrap();
        assert_eq!(watched(&event_loop), before);
        let order = event_loop.block_on(async {
            client.write_all(b"soup").await.unwrap();
            reading.await.unwrap()
        });
        assert_eq!(&order, b"soup");
        drop(callback);
    });
}

/// A callback that stays in the loop, so that the loop drops it; and the peer of its source.
fn on_ready_in(event_loop: &mut EventLoop) -> std::net::TcpStream {
    let (source, peer) = mio_pair();
    event_loop
        .enter(|| on_ready(source, Interest::READABLE, |_, _| Next::Continue).unwrap().detach());
    peer
}

#[test]
fn a_write_half_that_a_forked_child_drops_does_not_end_its_parents_stream() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (halves, mut server) = event_loop.block_on(async {
            let (client, server) = tcp_pair().await.unwrap();
            (client.into_split(), server)
        });
        let mut halves = Some(halves);
        in_a_fork(|| drop(halves.take()));
        event_loop.block_on(async {
            halves.as_mut().unwrap().1.write_all(b"soup").await.unwrap();
            let mut order = [0; 4];
            server.read_exact(&mut order).await.unwrap();
            assert_eq!(&order, b"soup");
        });
    });
}

#[test]
fn a_forked_child_does_not_kill_its_parents_children_by_dropping_them() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let cat = event_loop.enter(|| {
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
        });
        let mut cat = Some(cat);
        in_a_fork(|| drop(cat.take()));
        let output = event_loop.block_on(async {
            let mut cat = cat.unwrap();
            cat.stdin.as_mut().unwrap().write_all(b"soup").await.unwrap();
            cat.wait_with_output().await.unwrap()
        });
        assert!(output.status.success(), "{}", output.status);
        assert_eq!(output.stdout, b"soup");
    });
}

/// Unlike tokio: there, nothing refuses it.
#[test]
fn a_loop_of_the_parent_is_refused_in_a_forked_child_with_the_way_out() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        in_a_fork(|| {
            let refused = [
                panic_text(|| event_loop.block_on(async {})),
                panic_text(|| drop(event_loop.turn(Some(ms(0))))),
                panic_text(|| event_loop.enter(|| ())),
            ];
            for (text, what) in
                refused.iter().zip(["`block_on`", "`EventLoop::turn`", "`EventLoop::enter`"])
            {
                assert!(text.contains(what) && text.contains("in a forked child"), "{text}");
                assert!(text.contains("make a new loop"), "{text}");
            }
        });
        event_loop.block_on(async {
            in_a_fork(|| {
                let text = panic_text(|| block_on(async {}));
                assert!(text.contains("forked inside a running event loop"), "{text}");
                assert!(text.contains("exec or exit"), "{text}");
            });
        });
        // What is sent to it in the child does not hang there.
        let handle = event_loop.handle();
        in_a_fork(|| {
            assert!(handle.spawn(|| async {}).wait().unwrap_err().is_cancelled());
        });
        event_loop.block_on(async {});
    });
}

#[test]
fn a_forked_child_takes_a_socket_to_a_loop_of_its_own() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let folder = Folder::new();
        let mut handles = one_of_each(&mut event_loop, &folder);
        let (client, server) = event_loop.block_on(tcp_pair()).unwrap();
        let before = watched(&event_loop);
        let (mut client, mut server) = (Some(client), Some(server));
        in_a_fork(|| {
            let server = server.take().unwrap().into_std().unwrap();
            block_on(async {
                let mut server = TcpStream::from_std(server).unwrap();
                server.write_all(b"soup").await.unwrap();
            });
            // A child that has loops of its own still refuses those of its parent.
            let _own = EventLoop::new().unwrap();
            handles.clear();
            drop((client.take(), event_loop_is_refused(&mut event_loop)));
        });
        assert_eq!(watched(&event_loop), before);
        let order = event_loop.block_on(async {
            let mut order = [0; 4];
            client.as_mut().unwrap().read_exact(&mut order).await.unwrap();
            order
        });
        assert_eq!(&order, b"soup");
    });
}

fn event_loop_is_refused(event_loop: &mut EventLoop) {
    assert!(panic_text(|| event_loop.enter(|| ())).contains("in a forked child"));
}

/// Descriptors that are given back by `into_inner` and `into_fd` are taken from the poller, but not from the parent's.
#[test]
fn what_a_forked_child_takes_out_of_its_handle_stays_registered_with_its_parent() {
    in_own_process(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let counter = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let (counter, writer) =
            event_loop.enter(|| (Async::new(counter).unwrap(), pipe().unwrap().1));
        let before = watched(&event_loop);
        let (mut counter, mut writer) = (Some(counter), Some(writer));
        in_a_fork(|| {
            let _: OwnedFd = counter.take().unwrap().into_inner();
            let _: OwnedFd = writer.take().unwrap().into_fd().unwrap();
        });
        assert_eq!(watched(&event_loop), before);
        drop((counter, writer));
    });
}
