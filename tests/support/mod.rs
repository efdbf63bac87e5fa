//! What the tests share. Each test file uses some of it.
#![allow(dead_code)]

pub mod compiler;
pub mod docs;
pub mod drawings;
pub mod logged;
pub mod program;
pub mod random;
pub mod wakers;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use headwaiter::net::UnixStream;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::{Clock, Deadlock, EventLoop};

/// Runs a test as [`bounded`] in a process of its own, which is this test program again: for what is the whole process's, as its
/// limits are. `test` must be a closure of the test function.
#[track_caller]
pub fn in_own_process<F: FnOnce() + Send + 'static>(test: F) {
    const IS_OWN: &str = "HEADWAITER_OWN_PROCESS";
    if std::env::var_os(IS_OWN).is_some() {
        return bounded(test);
    }
    // "this_file::the_test::{{closure}}"
    let name = std::any::type_name::<F>().strip_suffix("::{{closure}}").expect("a closure");
    let (_, name) = name.split_once("::").expect("of a test function");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(IS_OWN, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn_alone(command).wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Held for reading by each test that runs, and for writing by one that runs alone.
static RUNNING: RwLock<()> = RwLock::new(());

thread_local! {
    /// Whether this thread runs a test that holds [`RUNNING`].
    static HOLDS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Waits until no test runs that must be [`alone`], and lets none begin while the guard lives: for tests with an attribute, which
/// are not [`bounded`]. (A type of its own, because a lock that is held while a task waits looks like a mistake.)
pub fn beside_other_tests() -> BesideOtherTests {
    let hold = || RUNNING.read().unwrap_or_else(PoisonError::into_inner);
    let guard = (!HOLDS_RUNNING.get()).then(hold);
    HOLDS_RUNNING.set(true);
    BesideOtherTests { guard }
}

#[must_use]
pub struct BesideOtherTests {
    guard: Option<RwLockReadGuard<'static, ()>>,
}

impl Drop for BesideOtherTests {
    fn drop(&mut self) {
        HOLDS_RUNNING.set(self.guard.is_none());
    }
}

/// Waits until no other test runs, and lets none begin while the guard lives.
fn no_other_test() -> Option<RwLockWriteGuard<'static, ()>> {
    let hold = || RUNNING.write().unwrap_or_else(PoisonError::into_inner);
    (!HOLDS_RUNNING.get()).then(hold)
}

/// Runs a test that must end by itself: one that hangs fails after a minute, whatever it hangs on.
#[track_caller]
pub fn bounded(test: impl FnOnce() + Send + 'static) {
    let _beside_others = beside_other_tests();
    run(Box::new(test));
}

/// As [`bounded`], while no other test runs that is bounded: for one that looks at what all tests of a process share, such as its
/// log and its descriptors, and for one that starts a child process. Until that has begun its program, it has a copy of every
/// descriptor of its parent, so that what another test closes at that moment is not closed yet.
#[track_caller]
pub fn alone(test: impl FnOnce() + Send + 'static) {
    let _alone = no_other_test();
    run(Box::new(test));
}

/// Starts a child process while no other test runs, see [`alone`]. The others continue when it has begun its program.
pub fn spawn_alone(mut command: Command) -> Child {
    let _alone = no_other_test();
    command.spawn().expect("the program starts")
}

/// Runs a program to its end, as [`spawn_alone`], and returns all that it says. It may take as long as a [`bounded`] test.
#[track_caller]
pub fn output_of(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = spawn_alone(command);
    let (ended, end) = mpsc::channel();
    bounded(move || ended.send(child.wait_with_output().unwrap()).unwrap());
    end.recv().unwrap()
}

/// Runs a test on a thread of its own, which has the name of the test. The test is boxed, so that this code is compiled once and not
/// for each test: together with [`block_on`] that saves a fifth of the time to build the tests.
#[track_caller]
fn run(test: Box<dyn FnOnce() + Send>) {
    let (done, ended) = mpsc::channel();
    let runner = thread::Builder::new().name(thread::current().name().unwrap_or("test").to_owned());
    let running = runner.spawn(move || {
        HOLDS_RUNNING.set(true);
        test();
        let _ = done.send(());
    });
    let running = running.expect("a thread for the test");
    match ended.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => {
            if let Err(payload) = running.join() {
                std::panic::resume_unwind(payload);
            }
        }
    }
}

/// As [`bounded`], in a loop of its own that takes no deadlock.
#[track_caller]
pub fn in_loop<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    bounded(|| {
        block_on(
            &mut EventLoop::builder().deadlock(Deadlock::Fail).build().expect("a loop"),
            Box::pin(test()),
        );
    });
}

/// As [`EventLoop::block_on`], for a future that is boxed for the same reason as in [`run`].
pub fn block_on(event_loop: &mut EventLoop, test: Boxed) {
    event_loop.block_on(test);
}

pub type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// As [`in_loop`], and then in some loops that permute the order in which ready tasks run: for promises that do not depend on
/// that order. In those loops the clock is virtual.
#[track_caller]
pub fn in_every_order<F: Future<Output = ()> + 'static>(test: impl Fn() -> F + Send + 'static) {
    bounded(move || run_in_every_order(&|| Box::pin(test())));
}

fn run_in_every_order(test: &dyn Fn() -> Boxed) {
    const SEEDS: u64 = 50;
    headwaiter::block_on(test());
    print!("under the seeds");
    for seed in 0..SEEDS {
        print!(" {seed}"); // Shown if it fails: of a test that hangs, the last is the one.
        headwaiter::explore([seed], test);
    }
}

/// As [`bounded`], in a loop with a virtual clock.
#[track_caller]
pub fn in_virtual_time<F: Future<Output = ()> + 'static>(
    test: impl FnOnce() -> F + Send + 'static,
) {
    bounded(|| block_on(&mut virtual_loop(), Box::pin(test())));
}

pub fn virtual_loop() -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).deadlock(Deadlock::Fail).build().expect("a loop")
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Both ends of a connection.
pub async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// Both ends of a connection of Unix sockets. Async only to be used in the place of [`tcp_pair`].
#[cfg(unix)]
pub async fn unix_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

/// The same test of a pair of TCP streams and of a pair of Unix streams.
#[allow(unused_macros)]
macro_rules! with_both_streams {
    ($($(#[$about:meta])* fn $test:ident($pair:ident) $body:block)*) => {$(
        $(#[$about])*
        mod $test {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn tcp() {
                use crate::support::tcp_pair as $pair;
                $body
            }

            #[test]
            #[cfg(unix)]
            fn unix() {
                use crate::support::unix_pair as $pair;
                $body
            }
        }
    )*};
}

#[allow(unused_imports)]
pub(crate) use with_both_streams;

/// A directory of the test's own, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Where temporary files are, with a short path, as Unix sockets need it.
    pub fn new() -> Self {
        Folder::on(std::env::temp_dir())
    }

    pub fn on(base: impl AsRef<Path>) -> Self {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder = base.as_ref().join(format!("hw-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder for the test");
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a file in it.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As [`tcp_pair`], not registered anywhere.
pub fn std_pair() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let client =
        std::net::TcpStream::connect(listener.local_addr().unwrap()).expect("a connection");
    let (server, _) = listener.accept().expect("the other end");
    (client, server)
}

/// As [`std_pair`], one end for a callback.
pub fn mio_pair() -> (mio::net::TcpStream, std::net::TcpStream) {
    let (server, client) = std_pair();
    server.set_nonblocking(true).unwrap();
    (mio::net::TcpStream::from_std(server), client)
}

/// Polls once, and is ready with what came of it.
pub async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// The waker of the task that awaits this.
pub async fn own_waker() -> Waker {
    std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// Ready at the second poll.
pub async fn pending_until_woken() {
    let mut polled = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Leaks a value. Its address is kept, so that a sanitizer that looks for leaks finds it in use.
pub fn leaked<T>(value: T) -> &'static T {
    static ADDRESSES: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value: &'static T = Box::leak(Box::new(value));
    ADDRESSES.lock().unwrap().push(std::ptr::from_ref(value).addr());
    value
}

/// Runs its closure when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A future that is polled by a closure, and has something that must live as long as it.
pub struct Holding<T, F>(pub T, pub F);

impl<T: Unpin, F: FnMut(&mut Context<'_>) -> Poll<()> + Unpin> Future for Holding<T, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        (self.1)(cx)
    }
}

/// Panics with a text that is not a constant.
pub fn burns(text: &str) {
    panic!("{text} is on fire");
}

/// What a panic said.
pub fn panic_text(run: impl FnOnce()) -> String {
    panic_text_of(Box::new(run))
}

fn panic_text_of(run: Box<dyn FnOnce() + '_>) -> String {
    let payload =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("it should panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a text")).to_owned(),
    }
}

pub fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().kind() == io::ErrorKind::WouldBlock
}

#[cfg(target_os = "linux")]
pub fn is_nonblocking(fd: impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd).unwrap().contains(rustix::fs::OFlags::NONBLOCK)
}

/// A child process that runs a script of sh(1).
#[cfg(unix)]
pub fn shell(script: &str) -> headwaiter::process::Command {
    let mut command = headwaiter::process::Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// How many sources and timers the loop that runs here has.
pub fn sources_and_timers() -> (usize, usize) {
    let dump = headwaiter::dump().to_string();
    let counts: Vec<_> = dump.lines().next().expect("the counts").split(", ").collect();
    let number = |text: &str| {
        text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (number(counts[1]), number(counts[2]))
}

/// How many file descriptors this process has open.
#[cfg(target_os = "linux")]
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the folder of file descriptors").count()
}

/// For tests with a crowd: many systems allow 1024 open files until one asks for more.
pub fn raise_file_limit() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Both ends of a new terminal: that of the user, and that of the program.
#[cfg(target_os = "linux")]
pub fn terminal() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    (master, slave)
}
