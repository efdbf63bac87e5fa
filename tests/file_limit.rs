//! What a listener does when the process has no more file descriptors (tokio #3529). In a process of its
//! own, and one test after the other, because the limit is the whole process's.
#![cfg(target_os = "linux")]

mod common;

use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::logged::logged;
use common::*;
use futures_lite::StreamExt;
use headwaiter::net::{TcpListener, UnixListener};
use headwaiter::spawn;
use headwaiter::task::yield_now;
use headwaiter::time::{self, sleep, timeout};
use log::LevelFilter;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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

        // The stream of connections logs it, and goes on.
        let files = use_up();
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

#[test]
fn accept_holds_back_without_file_descriptors_and_recovers_when_there_are_some() {
    let _limited = limit_files();
    in_loop(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        accept_holds_back!(listener, std::net::TcpStream::connect(address).unwrap());
        let folder = Folder::new();
        let path = folder.path("door");
        let listener = UnixListener::bind(&path).unwrap();
        accept_holds_back!(listener, std::os::unix::net::UnixStream::connect(&path).unwrap());
    });
}

#[test]
fn a_shortage_that_comes_and_goes_is_logged_once() {
    let _limited = limit_files();
    let lines = logged(LevelFilter::Warn, || {
        virtual_loop().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut clients: Vec<_> =
                (0..20).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
            let mut files = use_up();
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
}

#[test]
fn accept_holds_back_at_the_end_of_a_virtual_clock_too() {
    let _limited = limit_files();
    in_virtual_time(|| async {
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
}

/// Leaves this process a hundred files, until the next test.
fn limit_files() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
    alone
}

/// Opens files until there is no descriptor left.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
