//! What a listener does when the process has no more file descriptors (tokio #3529), and that whatever cannot be made leaves nothing
//! behind.

use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::logged::logged;
use crate::support::*;
use futures_lite::StreamExt;
use headwaiter::net::{TcpListener, UnixListener};
use headwaiter::task::yield_now;
use headwaiter::time::{self, sleep, timeout};
use headwaiter::{EventLoop, Interest, Next, block_on, on_ready, spawn};
use log::LevelFilter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Accepts connections and keeps them. Returns their number and the task.
macro_rules! serve {
    ($listener:expr) => {{
        let listener = $listener;
        let came = Rc::new(Cell::new(0));
        let counted = Rc::clone(&came);
        let serving = spawn(async move {
            let mut streams = Vec::new();
            let mut incoming = listener.incoming();
            while let Some(stream) = incoming.next().await {
                streams.push(stream.unwrap());
                counted.set(counted.get() + 1);
            }
        });
        (came, serving)
    }};
}

/// Clients that come to a listener when there are no files left.
macro_rules! accept_holds_back {
    ($listener:expr, $connect:expr) => {{
        let listener = $listener;
        let clients: Vec<_> = (0..5).map(|_| $connect).collect();
        let files = use_up();

        // A bare loop that ignores the errors: it does not spin.
        let tries = Rc::new(Cell::new(0));
        let counted = Rc::clone(&tries);
        let accepting = spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return (listener, stream),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(24), "EMFILE"),
                }
                counted.set(counted.get() + 1);
            }
        });
        let start = time::now();
        sleep(ms(500)).await;
        let per_second = f64::from(tries.get()) / (time::now() - start).as_secs_f64();
        assert!((2.0..=100.0).contains(&per_second), "{per_second} tries a second");

        drop(files);
        let (listener, first) = timeout(Duration::from_secs(10), accepting).await.unwrap().unwrap();

        // The stream of connections logs the error and continues.
        let files = use_up();
        let (came, serving) = serve!(listener);
        sleep(ms(100)).await;
        assert_eq!(came.get(), 0);
        drop(files);
        while came.get() < 4 {
            sleep(ms(1)).await;
            yield_now().await;
        }
        serving.abort();
        drop(first);
        assert_eq!(clients.len(), 5);
    }};
}

/// Unlike tokio: there, `accept` returns the error again and again.
#[test]
fn accept_holds_back_without_file_descriptors_and_recovers_when_there_are_some() {
    in_own_process(|| {
        limit_files();
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            accept_holds_back!(listener, std::net::TcpStream::connect(address).unwrap());
            let folder = Folder::new();
            let path = folder.path("door");
            let listener = UnixListener::bind(&path).unwrap();
            accept_holds_back!(listener, std::os::unix::net::UnixStream::connect(&path).unwrap());
        });
    });
}

#[test]
fn poll_accept_holds_back_too() {
    in_own_process(|| {
        limit_files();
        virtual_loop().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let files = use_up();
            let start = time::now();
            for _ in 0..10 {
                let error = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(24), "EMFILE");
            }
            assert!(time::now() - start >= ms(9 * 20), "{:?}", time::now() - start);
            drop(files);
            assert!(
                timeout(ms(100), poll_fn(|cx| listener.poll_accept(cx))).await.unwrap().is_ok()
            );
        });
    });
}

#[test]
fn a_shortage_that_comes_and_goes_is_logged_once() {
    in_own_process(|| {
        limit_files();
        let lines = logged(LevelFilter::Warn, || {
            virtual_loop().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut clients: Vec<_> =
                    (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
                let mut files = use_up();
                let (came, serving) = serve!(listener);
                // Each descriptor that comes free is taken at once by a connection, for two seconds.
                for served in 1..=15 {
                    drop(files.pop());
                    while came.get() < served {
                        sleep(ms(20)).await;
                    }
                    sleep(ms(130)).await;
                }
                assert_eq!(logged::lines().len(), 1);
                // Over for less than a second, and for longer.
                for (pause, lines) in [(900, 1), (1100, 2)] {
                    drop(files);
                    clients.push(std::net::TcpStream::connect(address).unwrap());
                    sleep(ms(pause)).await;
                    assert_eq!(came.get(), clients.len());
                    let client = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                    files = use_up();
                    drop(client);
                    clients.push(std::net::TcpStream::connect(address).unwrap());
                    sleep(ms(50)).await;
                    assert_eq!(logged::lines().len(), lines);
                }
                serving.abort();
            });
        });
        assert_eq!(lines.len(), 2);
        assert!(
            lines.iter().all(|line| line.starts_with("accept: ") && line.contains("os error 24")),
            "{lines:?}"
        );
    });
}

#[test]
fn accept_holds_back_at_the_end_of_a_virtual_clock_too() {
    in_own_process(|| {
        limit_files();
        virtual_loop().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            time::advance(Duration::MAX).await;
            let files = use_up();
            for _ in 0..3 {
                assert_eq!(listener.accept().await.unwrap_err().raw_os_error(), Some(24), "EMFILE");
            }
            drop(files);
            listener.accept().await.unwrap();
        });
    });
}

/// A hundred, for this process.
fn limit_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
}

/// Opens files until there is no descriptor left.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// Makes something with no descriptor left, with one left, and so on. It is made or it is an error; and after its drop nothing is
/// left, neither a descriptor nor a slot.
#[track_caller]
fn is_made_or_leaves_nothing<T>(what: &str, make: impl AsyncFn() -> io::Result<T>) {
    /// Enough for anything.
    const MANY: usize = 12;
    let (mut made, mut refused) = (0, 0);
    for left in 0..=MANY {
        let before = open_files();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.block_on(async {
            let slots = sources_and_timers();
            let mut files = use_up();
            files.truncate(files.len() - left);
            match make().await {
                Ok(_) => made += 1,
                Err(error) => {
                    refused += 1;
                    assert!(
                        error.to_string().contains("os error 24"),
                        "{what}, {left} left: {error}"
                    );
                }
            }
            drop(files);
            // A child that was killed is reaped when its end is seen.
            within_a_minute(what, || sources_and_timers() == slots).await;
        });
        drop(event_loop);
        // A thread that ends may hold some for a moment.
        block_on(within_a_minute(what, || open_files() == before + OF_A_LOOP));
    }
    assert!(made > 0 && refused > 0, "{what}: made {made} times, refused {refused} times");
}

/// The poller, its waker, and a duplicate of the poller.
const OF_A_LOOP: usize = 3;

async fn within_a_minute(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what}: something is left: {}",
            headwaiter::dump()
        );
        yield_now().await;
    }
}

#[test]
fn whatever_cannot_be_made_for_want_of_descriptors_leaves_nothing() {
    in_own_process(|| {
        limit_files();
        use headwaiter::{fs, io, net, process};
        let folder = Folder::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _unix_listener = std::os::unix::net::UnixListener::bind(folder.path("door")).unwrap();
        let fifo = folder.path("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();

        is_made_or_leaves_nothing("a loop", async || EventLoop::new());
        let watched = async || EventLoop::builder().stall_watcher(true).build();
        is_made_or_leaves_nothing("a loop with a watcher", watched);
        is_made_or_leaves_nothing("TcpListener::bind", async || {
            TcpListener::bind("127.0.0.1:0").await
        });
        is_made_or_leaves_nothing("TcpStream::connect", async || {
            net::TcpStream::connect(address).await
        });
        let several = async || net::TcpStream::connect(&[address, address][..]).await;
        is_made_or_leaves_nothing("TcpStream::connect to several", several);
        let by_socket = async || net::TcpSocket::new_v4()?.connect(address).await;
        is_made_or_leaves_nothing("TcpSocket::connect", by_socket);
        is_made_or_leaves_nothing("TcpSocket::listen", async || {
            net::TcpSocket::new_v4()?.listen(16)
        });
        is_made_or_leaves_nothing("accept", async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _client = std::net::TcpStream::connect(listener.local_addr()?)?;
            listener.accept().await
        });
        is_made_or_leaves_nothing("into_std", async || {
            let stream = net::TcpStream::connect(address).await?;
            stream.into_std()
        });
        is_made_or_leaves_nothing("UdpSocket::bind", async || {
            net::UdpSocket::bind("127.0.0.1:0").await
        });
        is_made_or_leaves_nothing("UnixListener::bind", async || {
            let path = folder.path("another door");
            let bound = UnixListener::bind(&path);
            assert_eq!(path.exists(), bound.is_ok());
            let _ = std::fs::remove_file(path);
            bound
        });
        let connect = async || net::UnixStream::connect(folder.path("door")).await;
        is_made_or_leaves_nothing("UnixStream::connect", connect);
        is_made_or_leaves_nothing("UnixStream::pair", async || net::UnixStream::pair());
        is_made_or_leaves_nothing("UnixDatagram::pair", async || net::UnixDatagram::pair());
        is_made_or_leaves_nothing("UnixDatagram::bind", async || {
            net::UnixDatagram::bind(format!("\0headwaiter {}", std::process::id()))
        });
        is_made_or_leaves_nothing("pipe", async || io::pipe());
        is_made_or_leaves_nothing("Async::new", async || io::Async::new(std::io::pipe()?.0));
        is_made_or_leaves_nothing("on_ready", async || {
            let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
            on_ready(socket, Interest::READABLE, |_, _| Next::Continue)
        });
        is_made_or_leaves_nothing("a regular file", async || fs::File::open("Cargo.toml").await);
        is_made_or_leaves_nothing("a device", async || fs::File::open("/dev/zero").await);
        is_made_or_leaves_nothing("a FIFO", async || fs::File::open(&fifo).await);
        is_made_or_leaves_nothing("fs::read", async || fs::read("Cargo.toml").await);
        is_made_or_leaves_nothing("fs::copy", async || {
            fs::copy("Cargo.toml", folder.path("copy")).await
        });
        is_made_or_leaves_nothing("fs::read_dir", async || fs::read_dir("src").await);
        is_made_or_leaves_nothing("Command::spawn", async || {
            let mut command = process::Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        });
        is_made_or_leaves_nothing("Command::output", async || {
            process::Command::new("true").output().await
        });
        // These are made in any case.
        for left in 0..4 {
            let before = open_files();
            block_on(async {
                let mut files = use_up();
                files.truncate(files.len() - left);
                let streams = (io::stdin(), io::stdout(), io::stderr());
                // A timer that wants a descriptor to be exact.
                sleep(ms(1)).await;
                drop(streams);
                assert_eq!(sources_and_timers(), (0, 0), "{left}");
            });
            assert_eq!(open_files(), before, "{left}");
        }
    });
}

#[test]
#[cfg(feature = "signal")]
fn a_listener_for_signals_that_cannot_be_made_leaves_nothing() {
    use headwaiter::signal::unix::{SignalKind, signal};
    in_own_process(|| {
        limit_files();
        let (mut made, mut refused) = (0, 0);
        for left in 0..4 {
            let before = open_files();
            block_on(async {
                let mut files = use_up();
                files.truncate(files.len() - left);
                match signal(SignalKind::user_defined1()) {
                    // What the first listener of a loop needs stays until the loop ends.
                    Ok(_) => made += 1,
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().contains("os error 24"), "{error}");
                        assert_eq!(sources_and_timers().0, 0);
                    }
                }
            });
            assert_eq!(open_files(), before, "{left}");
        }
        assert!(made > 0 && refused > 0, "made {made} times, refused {refused} times");
        // The kernel refuses it as the last step: there is no such signal.
        block_on(async {
            let before = open_files();
            let error = signal(SignalKind::from_raw(100)).unwrap_err();
            assert!(error.to_string().starts_with("listen for signal 100: "), "{error}");
            assert_eq!((open_files(), sources_and_timers()), (before, (0, 0)));
            // One that there is can be listened for then.
            drop(signal(SignalKind::user_defined1()).unwrap());
            assert!(signal(SignalKind::from_raw(100)).is_err());
            drop(signal(SignalKind::user_defined1()).unwrap());
        });
    });
}

/// While the loop is dropped it takes nothing in: then each of these fails at its last step.
#[test]
fn whatever_is_made_while_the_loop_is_dropped_is_refused_and_leaves_nothing() {
    use headwaiter::{io, net, process};
    in_own_process(|| {
        let folder = Folder::new();
        let (door, box_) = (folder.path("door"), folder.path("box"));
        let before = open_files();
        let mut event_loop = EventLoop::new().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        event_loop.enter(|| {
            let (door, box_) = (door.clone(), box_.clone());
            let on_drop = OnDrop(move || {
                let std_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let (std_stream, _) = std_pair();
                let std_socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                let mio_socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let refused = [
                    UnixListener::bind(&door).map(drop),
                    net::UnixDatagram::bind(&box_).map(drop),
                    net::UnixDatagram::unbound().map(drop),
                    net::UnixDatagram::pair().map(drop),
                    net::UnixStream::pair().map(drop),
                    TcpListener::from_std(std_listener).map(drop),
                    net::TcpStream::from_std(std_stream).map(drop),
                    net::UdpSocket::from_std(std_socket).map(drop),
                    io::pipe().map(drop),
                    io::Async::new(std::io::pipe().unwrap().0).map(drop),
                    on_ready(mio_socket, Interest::READABLE, |_, _| Next::Continue).map(drop),
                    process::Command::new("cat").stdin(Stdio::piped()).spawn().map(drop),
                ];
                drop(io::stdin());
                tell.send(refused.map(|made| made.map_err(|error| error.to_string()))).unwrap();
            });
            drop(spawn(async move {
                let _on_drop = on_drop;
                std::future::pending::<()>().await;
            }));
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        for refused in told.recv().unwrap() {
            let error = refused.unwrap_err();
            assert!(error.contains("the event loop is being dropped"), "{error}");
        }
        assert!(!door.exists() && !box_.exists());
        assert_eq!(open_files(), before);
    });
}
