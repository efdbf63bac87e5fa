//! What is not a socket: any descriptor through `Async`, and pipes.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::support::*;
use futures_lite::future::{or, zip};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwaiter::fs::File;
use headwaiter::io::{Async, PipeReader, PipeWriter, pipe};
use headwaiter::task::yield_now;
use headwaiter::{EventLoop, block_on, spawn};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{OFlags, fcntl_getfl, inotify};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

fn counter() -> Async<OwnedFd> {
    Async::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap()
}

fn add(counter: &impl AsFd, number: u64) {
    rustix::io::write(counter, &number.to_ne_bytes()).unwrap();
}

/// The operation of an eventfd and of a timerfd: reads a number.
fn number(fd: &OwnedFd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[headwaiter::test(within = "60s")]
async fn an_eventfd_is_waited_for() {
    let _beside_others = beside_other_tests();
    let counter = Rc::new(counter());
    assert!(is_nonblocking(&*counter));
    let other = Rc::clone(&counter);
    let waiting = spawn(async move { other.read_with(number).await });
    yield_now().await;
    yield_now().await;
    assert!(!waiting.is_finished());
    add(&*counter, 7);
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
    // Full: a write waits until it is read.
    add(&*counter, u64::MAX - 1);
    let other = Rc::clone(&counter);
    let one = 1_u64.to_ne_bytes();
    let waiting = spawn(async move {
        other.write_with(|fd| Ok(rustix::io::write(fd, &one)?)).await?;
        other.writable().await
    });
    yield_now().await;
    yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(counter.read_with(number).await.unwrap(), u64::MAX - 1);
    waiting.await.unwrap().unwrap();
    assert_eq!(counter.read_with(number).await.unwrap(), 1);
}

#[headwaiter::test(within = "60s")]
async fn a_timerfd_is_waited_for() {
    let _beside_others = beside_other_tests();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    let timer = Async::new(timer).unwrap();
    let tick = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let spec = Itimerspec { it_interval: tick, it_value: tick };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec).unwrap();
    for _ in 0..5 {
        timer.readable().await.unwrap();
        assert!(timer.read_with(number).await.unwrap() >= 1);
    }
}

#[headwaiter::test(within = "60s")]
async fn inotify_tells_of_a_new_file() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, folder.path(""), inotify::WatchFlags::CREATE).unwrap();
    let watch = Rc::new(Async::new(watch).unwrap());
    let waiting = Rc::clone(&watch);
    let waiting = spawn(async move {
        let mut events = [0; 1024];
        waiting.read_with(|fd| Ok(rustix::io::read(fd, &mut events)?)).await?;
        Ok::<_, io::Error>(events)
    });
    yield_now().await;
    std::fs::write(folder.path("soup"), b"").unwrap();
    let events = waiting.await.unwrap().unwrap();
    assert!(events.windows(5).any(|name| name == b"soup\0"));
}

#[headwaiter::test(within = "60s")]
async fn a_terminal_is_read_line_by_line() {
    let _beside_others = beside_other_tests();
    let (master, slave) = terminal();
    let (master, slave) = (Async::new(master).unwrap(), Async::new(slave).unwrap());
    let mut line = [0; 64];
    // A short read does not mean that nothing is left: two lines at once are one event, and take two reads.
    master.write_with(|fd| Ok(rustix::io::write(fd, b"soup\nsalad\n")?)).await.unwrap();
    for expected in ["soup\n", "salad\n"] {
        let n = slave.read_with(|fd| Ok(rustix::io::read(fd, &mut line)?)).await.unwrap();
        assert_eq!(&line[..n], expected.as_bytes());
    }
    // The end of input is not the end of a terminal.
    master.write_with(|fd| Ok(rustix::io::write(fd, b"\x04")?)).await.unwrap();
    assert_eq!(slave.read_with(|fd| Ok(rustix::io::read(fd, &mut line)?)).await.unwrap(), 0);
    let mut reading = slave.read_with(|fd| Ok(rustix::io::read(fd, &mut line)?));
    assert!(poll_once(&mut reading).await.is_pending());
    master.write_with(|fd| Ok(rustix::io::write(fd, b"bread\n")?)).await.unwrap();
    assert_eq!(reading.await.unwrap(), 6);
    assert_eq!(&line[..6], b"bread\n");
}

#[headwaiter::test(within = "60s")]
async fn somebody_elses_epoll_and_another_event_loop_are_waited_for() {
    let _beside_others = beside_other_tests();
    let source = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&set, &source, epoll::EventData::new_u64(5), epoll::EventFlags::IN).unwrap();
    let set = Async::new(set).unwrap();
    let mut readable = set.readable();
    // It counts as ready until an operation would block.
    assert!(poll_once(&mut readable).await.is_ready());
    let ready = |fd: &OwnedFd| {
        let mut events = Vec::with_capacity(8);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(fd, rustix::buffer::spare_capacity(&mut events), Some(&now))?;
        if events.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(events.len()) }
    };
    let mut waiting = set.read_with(ready);
    assert!(poll_once(&mut waiting).await.is_pending());
    add(&source, 1);
    assert_eq!(waiting.await.unwrap(), 1);

    let other = EventLoop::new().unwrap();
    let handle = other.handle();
    let other = Async::new(other).unwrap();
    let mut waiting = other.readable();
    assert!(poll_once(&mut waiting).await.is_ready(), "taken to be ready");
    drop(waiting);
    let look = |other: &EventLoop| {
        if epoll_has_events(other) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    };
    let mut waiting = other.read_with(look);
    assert!(poll_once(&mut waiting).await.is_pending());
    let remote = thread::spawn(move || handle.spawn(|| async { 5 }).wait());
    waiting.await.unwrap();
    drop(other.into_inner());
    assert!(remote.join().unwrap().unwrap_err().is_cancelled());
}

fn epoll_has_events(epoll: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&now)).unwrap() > 0
}

#[headwaiter::test(within = "60s")]
async fn a_regular_file_is_refused_with_a_word_of_what_to_use_instead() {
    let _beside_others = beside_other_tests();
    for path in ["Cargo.toml", "."] {
        for _ in 0..1000 {
            let file = std::fs::File::open(path).unwrap();
            let duplicate = file.try_clone().unwrap();
            let error = Async::new(file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.to_string().contains("use `headwaiter::fs`"), "{error}");
            assert!(!is_nonblocking(duplicate));
        }
    }
    let folder = std::fs::File::open(".").unwrap();
    for _ in 0..100_000 {
        assert_eq!(Async::new(&folder).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    let dump = headwaiter::dump().to_string();
    assert!(dump.starts_with("1 task, 0 sources, "), "{dump}");
    let counter = counter();
    let error = Async::new(counter.as_fd()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("watches it already"), "{error}");
    let duplicate = Async::new(counter.as_fd().try_clone_to_owned().unwrap()).unwrap();
    add(&duplicate, 3);
    assert_eq!(counter.read_with(number).await.unwrap(), 3);
}

#[headwaiter::test(within = "60s")]
async fn an_operation_may_do_anything_with_its_own_descriptor_and_with_the_loop() {
    let _beside_others = beside_other_tests();
    let counter = Rc::new(counter());
    add(&*counter, 1);
    let inner = Rc::clone(&counter);
    let mut calls = 0;
    let seen = counter.read_with(|fd| {
        calls += 1;
        if calls == 1 {
            let mut cx = Context::from_waker(Waker::noop());
            // The same descriptor, read and waited for; a new one, dropped; a task.
            assert!(matches!(
                Pin::new(&mut inner.read_with(number)).poll(&mut cx),
                Poll::Ready(Ok(1))
            ));
            assert!(Pin::new(&mut inner.read_with(number)).poll(&mut cx).is_pending());
            drop(self::counter());
            let counter = Rc::clone(&inner);
            drop(spawn(async move { add(&*counter, 5) }));
        }
        number(fd)
    });
    assert_eq!(seen.await.unwrap(), 5);
    assert_eq!(calls, 2);
    // One that panics leaves it as it was.
    add(&*counter, 9);
    let panicking = Rc::clone(&counter);
    let task = spawn(async move {
        panicking.read_with(|_| -> io::Result<()> { panic!("an operation that panics") }).await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(counter.read_with(number).await.unwrap() >= 9);
}

#[headwaiter::test(within = "60s")]
async fn errors_are_handed_through_and_interruptions_tried_again() {
    let _beside_others = beside_other_tests();
    let mut counter = counter();
    let error = counter.read_with(|_| Err::<(), _>(ErrorKind::Deadlock.into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let mut tries = 0;
    let op = |_: &mut OwnedFd| {
        tries += 1;
        if tries < 500 { Err(ErrorKind::Interrupted.into()) } else { Ok("done") }
    };
    assert_eq!(counter.write_with_mut(op).await.unwrap(), "done");
    assert_eq!(tries, 500);
    add(&counter, 2);
    assert_eq!(counter.read_with_mut(|fd| number(fd)).await.unwrap(), 2);
}

#[test]
fn what_is_given_back_is_watched_no_more_and_may_be_watched_elsewhere() {
    bounded(|| {
        let counter = block_on(async {
            let counter = counter();
            let mut reading = counter.read_with(number);
            assert!(poll_once(&mut reading).await.is_pending());
            drop(reading);
            let fd = counter.into_inner();
            assert!(is_nonblocking(&fd));
            Async::new(fd).unwrap() // The same descriptor, a new registration.
        });
        // Its loop is gone.
        let fd = counter.into_inner();
        add(&fd, 4);
        assert_eq!(block_on(async { Async::new(fd).unwrap().read_with(number).await }).unwrap(), 4);
        // On another thread than the loop's.
        let mut event_loop = EventLoop::new().unwrap();
        let counter = event_loop.enter(self::counter);
        let fd = thread::spawn(move || counter.into_inner()).join().unwrap();
        add(&fd, 6);
        assert_eq!(event_loop.turn(Some(ms(0))).unwrap().events, 0);
        let again = event_loop.enter(|| Async::new(fd).unwrap());
        assert_eq!(event_loop.block_on(again.read_with(number)).unwrap(), 6);
    });
}

/// trio #1272.
#[headwaiter::test(within = "60s")]
async fn a_descriptor_that_is_closed_behind_the_loops_back_harms_nobody() {
    let _beside_others = beside_other_tests();
    let mut counter = counter();
    let other = self::counter();
    // The number of the first is free, and is used again at once.
    *counter.get_mut() = other.as_fd().try_clone_to_owned().unwrap();
    let third = self::counter();
    let mut waiting = third.read_with(number);
    assert!(poll_once(&mut waiting).await.is_pending());
    add(&counter, 1);
    assert_eq!(other.read_with(number).await.unwrap(), 1);
    drop(counter);
    add(&third, 2);
    assert_eq!(waiting.await.unwrap(), 2);
}

/// mio #219, with futures.
#[headwaiter::test(within = "60s")]
async fn an_event_of_a_descriptor_that_is_gone_reaches_no_successor() {
    let _beside_others = beside_other_tests();
    let (a, b) = (counter(), counter());
    let (to_a, to_b) =
        (a.as_fd().try_clone_to_owned().unwrap(), b.as_fd().try_clone_to_owned().unwrap());
    let both = Rc::new(Cell::new(Some((a, b))));
    {
        let (a, b) = both.take().unwrap();
        assert!(poll_once(&mut a.read_with(number)).await.is_pending());
        assert!(poll_once(&mut b.read_with(number)).await.is_pending());
        both.set(Some((a, b)));
    }
    add(&to_a, 1);
    add(&to_b, 1);
    let (a, b) = both.take().unwrap();
    a.readable().await.unwrap();
    drop(b);
    // In the slot of B, perhaps with its number.
    let c = counter();
    let mut reading = c.read_with(number);
    for _ in 0..200 {
        assert!(poll_once(&mut reading).await.is_pending());
        yield_now().await;
    }
    drop(reading);
    assert_eq!(a.read_with(number).await.unwrap(), 1);
}

/// smol #151.
#[headwaiter::test(within = "60s")]
async fn several_tasks_that_wait_for_one_descriptor_all_make_progress() {
    let _beside_others = beside_other_tests();
    let counter = Rc::new(
        Async::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE).unwrap()).unwrap(),
    );
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let counter = Rc::clone(&counter);
            spawn(async move { counter.read_with(number).await })
        })
        .collect();
    yield_now().await;
    yield_now().await;
    add(&*counter, 10);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 1);
    }
}

/// tokio's coop budget.
#[headwaiter::test(within = "60s")]
async fn a_descriptor_that_is_always_ready_starves_nobody() {
    let _beside_others = beside_other_tests();
    let zero = Rc::new(counter());
    let busy = Rc::clone(&zero);
    let hog = spawn(async move {
        loop {
            busy.write_with(|_| Ok(())).await.unwrap();
        }
    });
    for _ in 0..100 {
        yield_now().await;
    }
    let (mut reader, mut writer) = pipe().unwrap();
    for _ in 0..100 {
        let reading = spawn(async move {
            let mut byte = [0];
            reader.read_exact(&mut byte).await.map(|()| reader)
        });
        yield_now().await;
        writer.write_all(&[1]).await.unwrap();
        reader = reading.await.unwrap().unwrap();
    }
    hog.abort();
}

#[headwaiter::test(within = "60s")]
async fn an_operation_dropped_half_way_leaves_the_descriptor_as_it_was() {
    let _beside_others = beside_other_tests();
    let mut counter = counter();
    assert!(poll_once(&mut counter.read_with(number)).await.is_pending());
    assert!(poll_once(&mut counter.read_with_mut(|fd| number(fd))).await.is_pending());
    assert!(poll_once(&mut counter.readable()).await.is_pending());
    add(&counter, u64::MAX - 1);
    let full = |fd: &OwnedFd| Ok(rustix::io::write(fd, &1_u64.to_ne_bytes())?);
    assert!(poll_once(&mut counter.write_with(full)).await.is_pending());
    assert!(poll_once(&mut counter.write_with_mut(|fd| full(fd))).await.is_pending());
    assert!(poll_once(&mut counter.writable()).await.is_pending());
    assert_eq!(counter.read_with(number).await.unwrap(), u64::MAX - 1, "nothing was written");
    add(&counter, 8);
    assert_eq!(counter.read_with(number).await.unwrap(), 8, "nothing was read");
    // async-io aae2473. A future that is leaked leaves its place, and nothing worse.
    for _ in 0..100_000 {
        assert!(poll_once(&mut counter.read_with(number)).await.is_pending());
    }
    for _ in 0..10 {
        let mut leaked = ManuallyDrop::new(counter.read_with(number));
        assert!(poll_once(&mut *leaked).await.is_pending());
    }
    add(&counter, 9);
    assert_eq!(counter.read_with(number).await.unwrap(), 9);
}

/// A blocking stream whose calls return the number that it holds.
struct Says(OwnedFd, usize);

impl AsFd for Says {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Says {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(self.1)
    }
}

impl Write for Says {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Ok(self.1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[headwaiter::test(within = "60s")]
async fn a_stream_that_claims_too_many_bytes_is_an_error() {
    let _beside_others = beside_other_tests();
    let mut says = Async::new(Says(eventfd(0, EventfdFlags::CLOEXEC).unwrap(), 9)).unwrap();
    let mut two = [[0; 4], [0; 4]];
    let [a, b] = &mut two;
    let results = [
        says.read(&mut [0; 8]).await,
        says.write(&[0; 8]).await,
        says.read_vectored(&mut [IoSliceMut::new(a), IoSliceMut::new(b)]).await,
        says.write_vectored(&[IoSlice::new(&[0; 4]), IoSlice::new(&[0; 4])]).await,
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("9 bytes"), "{error}");
    }
    says.get_mut().1 = 8;
    assert_eq!(says.read(&mut [0; 8]).await.unwrap(), 8);
    says.flush().await.unwrap();
    says.close().await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_reader_and_writer_of_std_is_one_of_futures_io() {
    let _beside_others = beside_other_tests();
    use std::os::unix::net::UnixStream;
    let (left, right) = UnixStream::pair().unwrap();
    let (mut left, right) = (Async::new(left).unwrap(), Async::new(right).unwrap());
    let mut read = [0; 5];
    let mut by_reference = &right;
    let reading = async {
        by_reference.read_exact(&mut read).await.unwrap();
        by_reference.write_all(b"salad").await.unwrap();
    };
    let writing = async {
        left.write_all(b"soup!").await.unwrap();
        left.flush().await.unwrap();
        let mut back = [0; 5];
        left.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"salad");
    };
    zip(reading, writing).await;
    assert_eq!(&read, b"soup!");
}

#[headwaiter::test(within = "60s")]
async fn a_pipe_carries_bytes_in_order_and_then_the_end() {
    let _beside_others = beside_other_tests();
    let (mut reader, mut writer) = pipe().unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let sending = spawn(async move { writer.write_all(&sent).await });
    let mut received = Vec::new();
    let mut buffer = [0; 7001];
    loop {
        match reader.read(&mut buffer).await.unwrap() {
            0 => break,
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
    sending.await.unwrap().unwrap();
    assert!(received == expected);
    assert_eq!(reader.read(&mut buffer).await.unwrap(), 0, "still the end");
    let error = reader.read_exact(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

/// Fills a pipe, and returns how much went in.
fn fill(writer: &PipeWriter) -> usize {
    let mut total = 0;
    loop {
        match writer.try_write(&[7; 10_000]) {
            Ok(n) => total += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

/// tokio 10f1507cf: only EPOLLERR arrives.
#[headwaiter::test(within = "60s")]
async fn a_writer_on_a_full_pipe_whose_reader_goes_gets_broken_pipe() {
    let _beside_others = beside_other_tests();
    let (reader, mut writer) = pipe().unwrap();
    fill(&writer);
    let waiting = spawn(async move { (writer.write_all(&[1]).await, writer) });
    yield_now().await;
    yield_now().await;
    assert!(!waiting.is_finished());
    drop(reader);
    let (result, mut writer) = waiting.await.unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(writer.write(&[1]).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(writer.try_write(&[1]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    let slices = [IoSlice::new(&[1]), IoSlice::new(&[2])];
    let vectored = poll_fn(|cx| Pin::new(&mut &writer).poll_write_vectored(cx, &slices)).await;
    assert_eq!(vectored.unwrap_err().kind(), ErrorKind::BrokenPipe);
    writer.writable().await.unwrap();
}

#[test]
fn an_end_that_has_come_and_is_not_read_costs_no_turns() {
    bounded(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let (reader, writer) = event_loop.enter(|| pipe().unwrap());
        event_loop.enter(|| fill(&writer));
        drop(reader);
        let (reader, gone) = event_loop.enter(|| pipe().unwrap());
        drop(gone);
        // (A child that another test starts may hold the ends for a moment, until it has its own program.)
        let mut told = 0;
        while told < 2 {
            told += event_loop.turn(None).unwrap().events;
        }
        let quiet = (0..10).map(|_| event_loop.turn(Some(ms(5))).unwrap().events).sum::<usize>();
        assert_eq!(quiet, 0, "each end is told once");
        event_loop.enter(|| drop((reader, writer)));
    });
}

#[headwaiter::test(within = "60s")]
async fn a_writer_is_told_when_the_last_reader_is_gone() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    let another = PipeReader::from_fd(reader.as_fd().try_clone_to_owned().unwrap()).unwrap();
    // A wait that is dropped does not affect the next.
    assert!(poll_once(&mut writer.closed()).await.is_pending());
    let writer = Rc::new(writer);
    let waiting = spawn({
        let writer = Rc::clone(&writer);
        async move { writer.closed().await }
    });
    drop(reader);
    for _ in 0..3 {
        yield_now().await;
    }
    assert!(!waiting.is_finished(), "there is a reader left");
    // New room is not the end, neither on a full pipe nor on one that is being read.
    let filled = fill(&writer);
    let mut another = another;
    another.read_exact(&mut vec![0; filled]).await.unwrap();
    writer.writable().await.unwrap();
    assert!(poll_once(&mut writer.closed()).await.is_pending() && !waiting.is_finished());
    drop(another);
    waiting.await.unwrap().unwrap();
    // It stays so.
    writer.closed().await.unwrap();
    writer.closed().await.unwrap();

    let (reader, writer) = pipe().unwrap();
    fill(&writer);
    drop(reader);
    writer.closed().await.unwrap();
}

/// A wait for the end of the reader must not clear writability: a pipe that always has room reports no new edge.
#[headwaiter::test(within = "60s")]
async fn waiting_for_the_end_of_the_reader_does_not_hold_up_writing() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    let mut closed = writer.closed();
    assert!(poll_once(&mut closed).await.is_pending());
    for n in 0..100 {
        assert!(poll_once(&mut closed).await.is_pending());
        (&writer).write_all(&[n]).await.unwrap();
        let mut byte = [0];
        (&reader).read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, [n]);
    }
    drop(reader);
    closed.await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn the_operations_of_a_pipe_dropped_half_way_lose_what_they_say() {
    let _beside_others = beside_other_tests();
    let (mut reader, mut writer) = pipe().unwrap();
    let mut bytes = [0; 8];
    assert!(poll_once(&mut reader.read(&mut bytes)).await.is_pending());
    assert_eq!(reader.try_read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(poll_once(&mut reader.readable()).await.is_pending());
    writer.write_all(b"soup").await.unwrap();
    reader.readable().await.unwrap();
    assert_eq!(reader.try_read(&mut bytes).unwrap(), 4, "nothing was lost");
    // Not cancel-safe: what came before is in the buffer, and it is unknown how much.
    writer.write_all(b"salad").await.unwrap();
    reader.readable().await.unwrap(); // The last read was short, so the next waits for the kernel's event.
    assert!(poll_once(&mut reader.read_exact(&mut bytes)).await.is_pending());
    assert_eq!(&bytes[..5], b"salad");

    let all = fill(&writer);
    assert!(poll_once(&mut writer.write(b"x")).await.is_pending());
    assert!(poll_once(&mut writer.writable()).await.is_pending());
    assert!(poll_once(&mut writer.write_all(&[7; 70_000])).await.is_pending(), "nothing of it");
    let mut drained = vec![0; 4096 * 2];
    reader.read_exact(&mut drained).await.unwrap();
    let much = vec![8; all * 2];
    writer.writable().await.unwrap();
    assert!(poll_once(&mut writer.write_all(&much)).await.is_pending());
    drop(writer);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > all - drained.len(), "some of it was written");
    assert!(rest.len() < all - drained.len() + much.len(), "not all");
}

#[headwaiter::test(within = "60s")]
async fn packets_of_a_pipe_that_keeps_them_apart_all_come() {
    let _beside_others = beside_other_tests();
    use rustix::pipe::{PipeFlags, pipe_with};
    let (reader, writer) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).unwrap();
    let (mut reader, writer) = (PipeReader::from_fd(reader).unwrap(), io::PipeWriter::from(writer));
    let mut bytes = [0; 64];
    assert!(poll_once(&mut reader.read(&mut bytes)).await.is_pending());
    (&writer).write_all(b"soup").unwrap();
    (&writer).write_all(b"salad").unwrap();
    assert_eq!(reader.read(&mut bytes).await.unwrap(), 4);
    assert_eq!(reader.read(&mut bytes).await.unwrap(), 5);
    // A try that is short does not prove that there is no more either.
    assert_eq!(reader.try_read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    (&writer).write_all(b"soup").unwrap();
    (&writer).write_all(b"salad").unwrap();
    reader.readable().await.unwrap();
    assert_eq!(reader.try_read(&mut bytes).unwrap(), 4);
    assert!(poll_once(&mut reader.readable()).await.is_ready());
    assert_eq!(reader.try_read_vectored(&mut [IoSliceMut::new(&mut bytes)]).unwrap(), 5);
    assert!(poll_once(&mut reader.readable()).await.is_ready());
}

#[test]
fn an_end_of_a_pipe_goes_to_a_child_in_blocking_mode_and_no_other_descriptor_does() {
    // It starts a child process.
    alone(|| {
        block_on(async {
            let command = || {
                let mut command = Command::new("sh");
                command.args(["-c", "cat; echo /proc/self/fd/*"]);
                command
            };
            let plain = command().stdin(Stdio::null()).output().unwrap().stdout;
            let (mut from_child, stdout) = pipe().unwrap();
            let (stdin, mut to_child) = pipe().unwrap();
            let _others = (pipe().unwrap(), counter());
            let (stdin, stdout) = (stdin.into_std().unwrap(), stdout.into_fd().unwrap());
            assert!(!is_nonblocking(&stdin) && !is_nonblocking(&stdout));
            // The command is dropped here: it holds the ends that the child has.
            let mut child = command().stdin(stdin).stdout(stdout).spawn().unwrap();
            to_child.write_all(b"soup\n").await.unwrap();
            drop(to_child);
            let mut said = Vec::new();
            from_child.read_to_end(&mut said).await.unwrap();
            assert!(child.wait().unwrap().success());
            assert_eq!(said.strip_prefix(b"soup\n"), Some(&*plain), "what was open in the child");
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn a_descriptor_of_a_pipe_is_given_back_in_the_mode_that_was_asked_for() {
    let _beside_others = beside_other_tests();
    let (first, second) = (pipe().unwrap(), pipe().unwrap());
    assert!(is_nonblocking(first.0.into_nonblocking_fd().unwrap()));
    assert!(is_nonblocking(first.1.into_nonblocking_fd().unwrap()));
    assert!(!is_nonblocking(second.0.into_fd().unwrap()));
    assert!(!is_nonblocking(second.1.into_fd().unwrap()));
}

#[headwaiter::test(within = "60s")]
async fn both_ends_of_a_pipe_have_the_traits_vectored_too() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    let many: Vec<_> = (0..2000).map(|_| IoSlice::new(b"x")).collect();
    let n = poll_fn(|cx| Pin::new(&mut &writer).poll_write_vectored(cx, &many)).await.unwrap();
    assert_eq!(n, 1024, "as many as one call takes");
    let (mut a, mut b) = ([0; 1000], [0; 1000]);
    let mut into = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    let n = poll_fn(|cx| Pin::new(&mut &reader).poll_read_vectored(cx, &mut into)).await.unwrap();
    assert_eq!(n, 1024);
    (&writer).flush().await.unwrap();
    let first = or(async { (&reader).read(&mut [0]).await.map(|_| "read") }, async {
        Ok("the pipe is empty")
    });
    assert_eq!(first.await.unwrap(), "the pipe is empty");
}

#[test]
fn outside_its_loop_a_descriptor_says_so() {
    bounded(|| {
        let text = panic_text(|| drop(pipe()));
        assert!(text.contains("pipe reader was used outside any event loop"), "{text}");
        let text = panic_text(|| drop(Async::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap())));
        assert!(text.contains("file descriptor was used outside any event loop"), "{text}");
        let counter = block_on(async { counter() });
        let text = panic_text(|| drop(block_on(counter.read_with(number))));
        assert!(text.contains("another event loop"), "{text}");
    });
}

/// A serial line without echo and lines, as programs that draw on a terminal use it.
#[headwaiter::test(within = "60s")]
async fn a_raw_terminal_gives_each_byte() {
    let _beside_others = beside_other_tests();
    let (master, slave) = terminal();
    let mut mode = tcgetattr(&slave).unwrap();
    mode.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &mode).unwrap();
    let (master, slave) = (Async::new(master).unwrap(), Async::new(slave).unwrap());
    let slave = Rc::new(slave);
    let reading = Rc::clone(&slave);
    let reading = spawn(async move {
        let mut byte = [0; 8];
        reading.read_with(|fd| Ok(rustix::io::read(fd, &mut byte)?)).await.map(|n| (n, byte))
    });
    yield_now().await;
    yield_now().await;
    master.write_with(|fd| Ok(rustix::io::write(fd, b"x")?)).await.unwrap();
    let (n, bytes) = reading.await.unwrap().unwrap();
    assert_eq!((n, bytes[0]), (1, b'x'));
}

#[test]
fn a_fifo_that_no_writer_has_opened_yet_has_not_ended() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::OpenOptionsExt;
    bounded(|| {
        let folder = Folder::new();
        let path = folder.path("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let open = |read: bool| {
            let mut options = std::fs::OpenOptions::new();
            let flags = OFlags::NONBLOCK.bits() as i32;
            options.read(read).write(!read).custom_flags(flags).open(&path).unwrap()
        };
        async fn serve(mut reader: impl AsyncRead + Unpin, writer: impl Fn() -> std::fs::File) {
            let mut order = [0; 4];
            let mut read = pin!(reader.read(&mut order));
            for _ in 0..100 {
                let polled = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
                assert!(polled.is_pending(), "nothing was written: {polled:?}");
                yield_now().await;
            }
            let mut writer = writer();
            writer.write_all(b"soup").unwrap();
            assert_eq!(read.await.unwrap(), 4);
            drop(writer);
            assert_eq!(reader.read(&mut order).await.unwrap(), 0, "now it has ended");
        }
        block_on(async {
            serve(PipeReader::from_fd(open(true).into()).unwrap(), || open(false)).await;
            serve(&PipeReader::from_fd(open(true).into()).unwrap(), || open(false)).await;
            serve(Async::new(open(true)).unwrap(), || open(false)).await;
            serve(&Async::new(open(true)).unwrap(), || open(false)).await;
            serve(File::open(&path).await.unwrap(), || open(false)).await;

            // A writer that opens and closes the pipe without writing ends it.
            let mut reader = PipeReader::from_fd(open(true).into()).unwrap();
            let error = reader.try_read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            drop(open(false));
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);

            // So does waiting without reading, once a try has said that there is nothing; and reading to the end.
            let mut reader = PipeReader::from_fd(open(true).into()).unwrap();
            assert_eq!(reader.try_read(&mut []).unwrap(), 0);
            assert_eq!(reader.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            for _ in 0..100 {
                let readable = poll_once(&mut reader.readable()).await;
                assert!(readable.is_pending(), "nothing was written: {readable:?}");
                yield_now().await;
            }
            let mut order = Vec::new();
            let mut all = AsyncReadExt::read_to_end(&mut reader, &mut order);
            for _ in 0..100 {
                let polled = poll_once(&mut all).await;
                assert!(polled.is_pending(), "nothing was written: {polled:?}");
                yield_now().await;
            }
            open(false).write_all(b"soup").unwrap();
            assert_eq!(all.await.unwrap(), 4);
            assert_eq!(order, b"soup");
            reader.readable().await.unwrap();

            // A copy waits too.
            let reader = Rc::new(PipeReader::from_fd(open(true).into()).unwrap());
            let copied = spawn(async move {
                let mut bytes = Vec::new();
                let count = headwaiter::io::copy(&mut &*reader, &mut bytes).await.unwrap();
                (count, bytes)
            });
            yield_now().await;
            yield_now().await;
            assert!(!copied.is_finished());
            open(false).write_all(b"soup").unwrap();
            assert_eq!(copied.await.unwrap(), (4, b"soup".to_vec()));
        });
    });
}

#[test]
fn everything_that_owns_a_descriptor_lends_it() {
    use headwaiter::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, UnixStream};
    use std::os::fd::AsRawFd;
    fn lends(owner: &(impl AsFd + AsRawFd)) -> i32 {
        assert_eq!(owner.as_raw_fd(), owner.as_fd().as_raw_fd());
        assert!(fcntl_getfl(owner).is_ok(), "it is open");
        owner.as_raw_fd()
    }
    // It starts a child process.
    alone(|| {
        block_on(async {
            let folder = Folder::new();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            lends(&listener);
            let stream =
                headwaiter::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let number = lends(&stream);
            let (reader, writer) = stream.into_split();
            assert_eq!((lends(&reader), lends(&writer)), (number, number));
            lends(&UdpSocket::bind("127.0.0.1:0").await.unwrap());
            lends(&UnixListener::bind(folder.path("listener")).unwrap());
            lends(&UnixDatagram::unbound().unwrap());
            let (one, _other) = UnixStream::pair().unwrap();
            lends(&one);
            let (reader, writer) = one.into_split();
            lends(&reader);
            lends(&writer);
            let (reader, writer) = pipe().unwrap();
            lends(&reader);
            lends(&writer);
            lends(&counter());
            lends(&File::open("Cargo.toml").await.unwrap());
            assert_eq!(lends(&headwaiter::io::stdin()), 0);
            assert_eq!(lends(&headwaiter::io::stdout()), 1);
            assert_eq!(lends(&headwaiter::io::stderr()), 2);
            let mut child = headwaiter::process::Command::new("cat");
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = child.spawn().unwrap();
            lends(child.stdin.as_ref().unwrap());
            lends(child.stdout.as_ref().unwrap());
            lends(child.stderr.as_ref().unwrap());
            drop(child.stdin.take());
            child.wait().await.unwrap();
        });
    });
}
